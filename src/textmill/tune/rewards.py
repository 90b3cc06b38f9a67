"""Rewards: a Python function, or what else can be called, named ``file.py:function``; it says how good an answer is.

    def reward(prompt, completion, **record):
        return float(record["answer"] in completion)

``prompt`` is what the record has, a text or a list of messages; ``completion`` is the text that the model wrote; the
record's other keys come by their names. A function gets those of them that it names, or all with ``**record``. It
returns a number: the higher, the better. The file may import others that lie beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import math
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError, DataError, did_you_mean


class Reward:
    """A reward function and where it stands; ``load_reward`` makes one.

    Attributes:
        name: ``file.py:function``, for messages.
        sha256: of the file, 64 hexadecimal digits: a run that goes on with another says so.
    """

    def __init__(self, function: Callable[..., Any], name: str, path: Path, sha256: str) -> None:
        self._function = function
        self._path = path
        self.name = f"{path.name}:{name}"
        try:
            parameters = inspect.signature(function).parameters.values()
        except ValueError as error:
            raise ConfigError(
                f"{path}: what the reward {self.name} takes cannot be told ({error}); wrap it in a function"
            ) from error
        takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters)
        self._names = None if takes_all else frozenset(one.name for one in parameters)
        self.sha256 = sha256

    def __call__(self, prompt: Any, completion: str, record: Mapping[str, Any], where: str) -> float:
        """Judge an answer.

        Args:
            prompt: as in the record.
            completion: what the model wrote.
            record: the record's other keys.
            where: file and line of the record.

        Raises:
            DataError: the function raises an exception, or returns something else than a finite number.
        """
        given = {**record, "prompt": prompt, "completion": completion}
        if self._names is not None:
            given = {name: value for name, value in given.items() if name in self._names}
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a command prints is data
                value = self._function(**given)
        except (Exception, SystemExit) as error:  # a run does not end because a reward calls sys.exit()
            raise DataError(
                f"the reward {self.name} raised {type(error).__name__} at {self._line(error)}: {error}; it was asked "
                f"about the prompt of {where} and the answer {_shown(completion)}. Mend it, and go on with --resume"
            ) from error
        if isinstance(value, bool | int | float | np.bool_ | np.number):
            number = float(value)
            if math.isfinite(number):
                return number
        raise DataError(
            f"the reward {self.name} ({self._begin}) returned {value!r}, and must return a finite "
            f"number; it was asked about the prompt of {where} and the answer {_shown(completion)}. Mend it, and go on "
            "with --resume"
        )

    @property
    def _begin(self) -> str:
        """Where in the user's file the function begins, or what is called; the file alone where that cannot be told."""
        function: Any = inspect.unwrap(self._function)
        for one in (function, getattr(function, "func", None), type(function).__call__):
            code = getattr(one, "__code__", None)
            if code is not None:
                return f"{code.co_filename}:{code.co_firstlineno}"
        return str(self._path)

    def _line(self, error: BaseException) -> str:
        """Where in the user's file it happened; where that is not among the calls, where the function begins."""
        calls = [call for call in traceback.extract_tb(error.__traceback__) if call.filename == str(self._path)]
        return f"{self._path}:{calls[-1].lineno}" if calls else self._begin


def load_reward(name: str) -> Reward:
    """Load ``path/to/file.py:function``. The file is run, like any Python program: use only what you trust.

    Raises:
        ConfigError: there is no such file or function, or the file fails.
    """
    file, colon, function_name = name.rpartition(":")
    if not colon or not file.endswith(".py") or not function_name.isidentifier():
        raise ConfigError(f'tune.reward is "{name}", and must name a file and a function, as in "rewards.py:score"')
    path = Path(file).resolve()
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read tune.reward's file {path}: {error.strerror}") from error
    sha256 = hashlib.sha256(source).hexdigest()
    # The hash keeps it apart from a module that happens to have the file's name.
    module = types.ModuleType(f"{path.stem}-{sha256[:12]}")
    module.__file__ = str(path)
    try:
        with contextlib.redirect_stdout(sys.stderr), _importable(module, path.parent):
            exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        line = error.lineno if isinstance(error, SyntaxError) else _line_in(path, error)
        raise ConfigError(f"{path}:{line}: the file of tune.reward fails: {type(error).__name__}: {error}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        own = [key for key, one in vars(module).items() if getattr(one, "__module__", None) == module.__name__]
        found = [key for key in own if callable(getattr(module, key))]
        raise ConfigError(
            f'{path} has no function "{function_name}"{did_you_mean(function_name, found)} It has: '
            f"{', '.join(found) or 'none'}"
        )
    return Reward(function, function_name, path, sha256)


@contextlib.contextmanager
def _importable(module: types.ModuleType, folder: Path) -> Iterator[None]:
    """Let a module be found by its name, as dataclasses and pickle look for it, and import what lies in its folder."""
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(folder))
    try:
        yield
    except BaseException:
        sys.modules.pop(module.__name__, None)
        raise
    finally:
        with contextlib.suppress(ValueError):  # the file may have changed the path itself
            sys.path.remove(str(folder))


def _line_in(path: Path, error: BaseException) -> int | str | None:
    calls = [call for call in traceback.extract_tb(error.__traceback__) if call.filename == str(path)]
    return calls[-1].lineno if calls else "?"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:119] + "…")
