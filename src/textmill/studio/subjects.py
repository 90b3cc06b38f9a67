"""What the studio may look at: tokenizers, models and runs by name. A page names them, and never a path."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from textmill.base.errors import DataError, did_you_mean
from textmill.checkpoint.cache import cached_names, find_cached
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.store import list_checkpoints
from textmill.tokenizer.formats import files
from textmill.train.run_record import find_run, is_run, list_runs

EXAMPLE = "example"
EXAMPLE_FOLDER = Path(__file__).parent / "example"
View = Literal["tokens", "positions", "attention", "training", "chat"]
Kind = Literal["example", "run", "model", "file"]


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """Something to look at.

    Attributes:
        name: what a page calls it.
        kind: where it comes from.
        path: of a tokenizer, its file or folder; of a model, its folder, file or run; of a run, its folder.
    """

    name: str
    kind: Kind
    path: Path


class Subjects:
    """What was given on the command line, the runs of a folder, fetched models, and the bundled example.

    Runs and fetched models are looked for each time: they come while the studio is open.
    """

    def __init__(self, given: Sequence[str] = (), runs: Path = Path("runs")) -> None:
        """Find what is given.

        Raises:
            DataError: one of them is no run, no model and no tokenizer.
        """
        self._runs_folder = runs
        self._given = [_find(argument, runs) for argument in given]
        self._good: dict[Path, tuple[tuple[Path, ...], Path]] = {}

    @property
    def first(self) -> Subject:
        """What the studio opens on: the first that was given, or the example."""
        return self._given[0] if self._given else _example()

    @property
    def view(self) -> View:
        """The view that it opens with: the one for what was given first."""
        if not self._given:
            return "tokens"
        return {"run": "training", "model": "chat", "file": "tokens", "example": "tokens"}[self.first.kind]  # type: ignore[return-value]

    def runs(self) -> dict[str, Subject]:
        """The runs by name: those given first."""
        return {subject.name: subject for subject in self._named() if is_run(subject.path)}

    def models(self) -> dict[str, Subject]:
        """The models by name: runs that have a checkpoint among them."""
        return {subject.name: subject for subject in self._named() if subject.kind != "file" and _has_model(subject)}

    def tokenizers(self) -> dict[str, Subject]:
        """The tokenizers by name: those of models and runs among them."""
        return {subject.name: subject for subject in self._named() if _has_tokenizer(subject)}

    def run(self, name: str) -> Path:
        """A run's folder by its name; raises ``DataError``."""
        return _named("run", name, self.runs()).path

    def tokenizer(self, name: str) -> Path:
        """A tokenizer's file or folder by its name, ``RUN@STEP`` among them; raises ``DataError``."""
        tokenizers = self.tokenizers()
        known = name if name in tokenizers else name.rpartition("@")[0] or name
        return _tokenizer_path(_named("tokenizer", known, tokenizers))

    def model(self, name: str) -> Path:
        """A model's folder or file by its name, or ``RUN@STEP``; raises ``DataError``."""
        models = self.models()
        if name in models:
            subject, step = models[name], None
        else:
            base, _, step = name.rpartition("@")
            subject = _named("model", base or name, models)
        if step is None:
            return self._resolved(subject)
        paths = checkpoints(subject)
        if not step.isascii() or not step.isdigit() or int(step) not in paths:
            there = ", ".join(map(str, paths)) or "none"
            raise DataError(f'there is no checkpoint {step[:20]} of "{subject.name}"; its steps are: {there}')
        return paths[int(step)]

    def _resolved(self, subject: Subject) -> Path:
        """The model itself; of a run its last good checkpoint, whose hashes are compared once."""
        if subject.kind != "run":
            return EXAMPLE_FOLDER / "model.gguf" if subject.kind == "example" else resolve_model(subject.path)
        there = tuple(checkpoints(subject).values())
        before, path = self._good.get(subject.path, ((), subject.path))
        if before != there or not there:
            path = resolve_model(subject.path)
            self._good[subject.path] = there, path
        return path

    def _named(self) -> Iterable[Subject]:
        """Every place once, by a name of its own: where another has the name, with the folder that it lies in."""
        names: set[str] = set()
        places: set[Path] = set()
        for subject in self._all():
            place = subject.path.resolve()
            if place in places:
                continue
            name = next(name for name in _names(subject, place) if name not in names)
            names.add(name)
            places.add(place)
            yield dataclasses.replace(subject, name=name)

    def _all(self) -> Iterable[Subject]:
        yield from self._given
        for path in list_runs(self._runs_folder):
            yield Subject(path.resolve().name, "run", path)
        for name in cached_names():
            path = _cached(name)
            if path is not None:
                yield Subject(name, "model", path)
        yield _example()


def checkpoints(subject: Subject) -> dict[int, Path]:
    """The checkpoints of a run by their steps, rising; of the example too, which keeps one of its beginning."""
    if subject.kind == "example":
        found = EXAMPLE_FOLDER.glob("step-*.gguf")
        return {int(path.stem.removeprefix("step-")): path for path in sorted(found)}
    return {int(path.name.removeprefix("step-")): path for path in list_checkpoints(subject.path)}


def told_subject(subject: Subject, **more: Any) -> dict[str, Any]:
    """A subject for the page."""
    path = None if subject.kind == "example" else str(subject.path)
    return {"name": subject.name, "kind": subject.kind, **more, "path": path}


def _example() -> Subject:
    return Subject(EXAMPLE, "example", EXAMPLE_FOLDER)


def _find(argument: str, runs: Path) -> Subject:
    """What an argument means: a run, a model, or a tokenizer's file, looked for in this order."""
    if argument == EXAMPLE:
        return _example()
    path = Path(argument).expanduser()
    name = path.resolve().name
    try:
        return Subject(name, "run", _checked_run(argument, runs))
    except DataError as error:
        no_run = error
    try:
        resolved = resolve_model(argument)
    except DataError as error:
        no_model = error
    else:
        return Subject(argument if _cached(argument) else name, "model", resolved)
    try:
        if files.find(path).is_file():
            return Subject(name, "file", path)
    except DataError:
        pass
    told = no_run if path.is_dir() and "begins" in str(no_run) else no_model
    raise DataError(f'"{argument}" is no run, no model and no tokenizer. {told}')


def _checked_run(argument: str, runs: Path) -> Path:
    folder = find_run(argument, runs)
    if not Path(argument).expanduser().exists() and not (runs / argument).exists() and _cached(argument):
        raise DataError("a fetched model has this name, and a run only begins so")
    return folder


def _cached(name: str) -> Path | None:
    try:
        return find_cached(name)
    except DataError:
        return None


def _has_model(subject: Subject) -> bool:
    if subject.kind == "run":
        return bool(list_checkpoints(subject.path))
    return subject.kind == "model" or (EXAMPLE_FOLDER / "model.gguf").is_file()


def _has_tokenizer(subject: Subject) -> bool:
    try:
        return files.find(_tokenizer_path(subject)).is_file()
    except DataError:
        return False


def _tokenizer_path(subject: Subject) -> Path:
    """Where a subject's tokenizer is: a run has it in its folder, or in its checkpoints alone."""
    if subject.kind == "example":
        return EXAMPLE_FOLDER / "model.gguf"
    if subject.kind == "run" and not files.find(subject.path).is_file():
        return next(reversed(checkpoints(subject).values()), subject.path)
    return subject.path


def _names(subject: Subject, place: Path) -> tuple[str, ...]:
    """What a subject may be called, the shortest first; nothing else can have the last of them."""
    folder = "bundled" if subject.kind == "example" else place.parent.name
    return subject.name, f"{subject.name} ({folder})", f"{subject.name} ({place})"


def _named(what: str, name: str, known: dict[str, Subject]) -> Subject:
    if name in known:
        return known[name]
    there = ", ".join(list(known)[:20]) or "none"
    raise DataError(f'there is no {what} "{name[:100]}"{did_you_mean(name[:100], known)} There are: {there}')
