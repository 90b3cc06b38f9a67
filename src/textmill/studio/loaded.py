"""What the studio has in memory: tokenizers, models' headers, runs' logs, and a few models that are ready to run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from textmill.checkpoint.stored_model import StoredModel, open_model
from textmill.infer.batcher import Batcher, Blocks
from textmill.infer.engine import LanguageModel, load
from textmill.studio.engine_feed import Watch
from textmill.studio.run_view import WatchedRun
from textmill.studio.subjects import Subjects
from textmill.studio.vocabulary import Vocabulary
from textmill.tokenizer.tokenizer import Tokenizer

KeyT = TypeVar("KeyT", bound=Hashable)
T = TypeVar("T")

# Two beside each other, and one that is being changed for another.
MODELS_MAX = 3
_TOKENIZERS_MAX = 8
_VOCABULARIES_MAX = 2
_STORED_MAX = 8
_RUNS_MAX = 16


class Recent(Generic[KeyT, T]):
    """The last few things that were asked for; any thread may ask, and each is made once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[KeyT, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: KeyT, make: Callable[[], T]) -> T:
        """What there is for a key, made now if need be."""
        with self._lock:
            if key not in self._found:
                self._found[key] = make()
                while len(self._found) > self._most:
                    self._found.popitem(last=False)
            self._found.move_to_end(key)
            return self._found[key]


class Loaded:
    """What is in memory, by the names of ``Subjects``; a file that has changed is read again."""

    def __init__(self, subjects: Subjects) -> None:
        self.subjects = subjects
        self._tokenizers: Recent[tuple[Path, float], Tokenizer] = Recent(_TOKENIZERS_MAX)
        self._own_tokenizers: Recent[tuple[Path, float], Tokenizer] = Recent(_TOKENIZERS_MAX)
        self._vocabularies: Recent[tuple[Path, float], Vocabulary] = Recent(_VOCABULARIES_MAX)
        self._stored: Recent[tuple[Path, float], StoredModel] = Recent(_STORED_MAX)
        self._runs: Recent[Path, tuple[WatchedRun, threading.Lock]] = Recent(_RUNS_MAX)
        self._models: OrderedDict[Path, LanguageModel] = OrderedDict()
        self._num_users: dict[Path, int] = {}
        self._loading = asyncio.Lock()
        self._watches: dict[Batcher, tuple[Watch, ...]] = {}
        self._watch_lock = threading.Lock()

    def tokenizer(self, name: str) -> Tokenizer:
        """A tokenizer by name; raises ``DataError``."""
        path = self.subjects.tokenizer(name)
        return self._tokenizers.get(_as_it_is(path), lambda: Tokenizer.load(path))

    def vocabulary(self, name: str) -> Vocabulary:
        """A tokenizer's vocabulary, to be looked through, by name; raises ``DataError``."""
        key = _as_it_is(self.subjects.tokenizer(name))
        return self._vocabularies.get(key, lambda: Vocabulary(self.tokenizer(name)))

    def stored(self, name: str) -> StoredModel:
        """A model as it lies on the disk, by name; raises ``DataError``."""
        path = self.subjects.model(name)
        return self._stored.get(_as_it_is(path), lambda: open_model(path))

    def tokenizer_of(self, name: str) -> Tokenizer:
        """The tokenizer of a model by the model's name; raises ``DataError``."""
        key = _as_it_is(self.subjects.model(name))
        return self._own_tokenizers.get(key, self.stored(name).load_tokenizer)

    @contextlib.contextmanager
    def runs(self, names: Sequence[str]) -> Iterator[list[WatchedRun]]:
        """Several runs at once; raises ``DataError``.

        They are taken in the order of their names, so that no two callers wait for each other.
        """
        with contextlib.ExitStack() as stack:
            found = {name: stack.enter_context(self.run(name)) for name in sorted(set(names))}
            yield [found[name] for name in names]

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[WatchedRun]:
        """A run by name, read to the end of its log, for one thread at a time; raises ``DataError``."""
        folder = self.subjects.run(name)
        run, lock = self._runs.get(folder, lambda: (WatchedRun(folder), threading.Lock()))
        with lock:
            run.read()
            yield run

    def is_loaded(self, place: Path) -> bool:
        """Whether a model that lies at a place, or in it, is ready to run."""
        return any(place == path or place in path.parents for path in list(self._models))

    @contextlib.asynccontextmanager
    async def lease(self, name: str) -> AsyncIterator[LanguageModel]:
        """Keep a model in memory while it is used; it is loaded first if need be, and stays as long as there is room.

        Raises:
            DataError: there is none of that name, or it is damaged.
        """
        path = await asyncio.to_thread(self.subjects.model, name)  # it may compare a checkpoint's hashes
        async with self._loading:
            if path not in self._models:
                self._make_room()
                self._models[path] = await asyncio.to_thread(load, path)
            self._models.move_to_end(path)
            self._num_users[path] = self._num_users.get(path, 0) + 1
        try:
            yield self._models[path]
        finally:
            self._num_users[path] -= 1

    @contextlib.asynccontextmanager
    async def watching(self, lm: LanguageModel, watch: Watch) -> AsyncIterator[Blocks]:
        """Have one watch hear what a model's engine does; several may. Gives how the blocks are as it begins."""

        def tell(change: Callable[[tuple[Watch, ...]], tuple[Watch, ...]]) -> Blocks:
            """Watch for others from one moment on: who is new hears of nothing that was before it."""
            with self._watch_lock:
                watches = self._watches[lm.batcher] = change(self._watches.get(lm.batcher, ()))
                if not watches:
                    del self._watches[lm.batcher]
                    return lm.batcher.watch(None, None)
                return lm.batcher.watch(
                    lambda what, block, answer: [one.on_change(what, block, answer) for one in watches],
                    lambda works: [one.on_step(works) for one in watches],
                )

        blocks = await asyncio.to_thread(tell, lambda watches: (*watches, watch))
        try:
            yield blocks
        finally:
            await asyncio.to_thread(tell, lambda watches: tuple(one for one in watches if one is not watch))

    def _make_room(self) -> None:
        for path in [path for path in self._models if not self._num_users.get(path)]:
            if len(self._models) < MODELS_MAX:
                return
            del self._models[path]


def _as_it_is(path: Path) -> tuple[Path, float]:
    return path, path.stat().st_mtime if path.exists() else 0.0
