"""Files of records made items in tokens: by several processes where there is much to do, and once for a run.

Most of the time goes into rendering templates, which is Python: so processes, and not threads, share the lines. What
came out is kept with the run, under a hash of all that it depends on, and a resume reads it back.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import textmill
from textmill.base import units
from textmill.base.errors import ConfigError, DataError
from textmill.base.files import sha256_file
from textmill.data.engines.local import LocalEngine
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.tune.kept_items import Item, read_items, write_items
from textmill.tune.preference_records import RECORD_BYTES_MAX, numbered_lines, parsed

FOLDER = "tokens"
_BLOCK_BYTES = 1 << 20
# Processes take a second or two to start; one makes some MB of conversations in that time.
_BYTES_FOR_PROCESSES = 8 << 20

ItemT = TypeVar("ItemT", bound=Item)


class Maker(Protocol[ItemT]):
    """Makes items of records; it can be pickled."""

    @property
    def kind(self) -> type[ItemT]:
        """Of the items."""
        ...

    @property
    def name(self) -> str:
        """What one is called."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        ...

    @property
    def context(self) -> int:
        """Tokens that one may have."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """All that items depend on beside records, tokenizer and template, as JSON holds it."""
        ...

    def __call__(self, record: Mapping[str, Any], where: str) -> tuple[ItemT | None, bool]:
        """The item of a record, None where it is left out; and whether it was cut. Raises ``DataError``."""
        ...


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole lines of a file: ``num_bytes`` from ``begin`` on, after ``num_lines`` others; the maker, or it pickled."""

    number: int
    path: Path
    begin: int
    num_bytes: int
    num_lines: int
    maker: Maker[Any] | bytes


@dataclass(frozen=True, slots=True)
class _Made(Generic[ItemT]):
    """What a block came to; the error is that of its first bad line."""

    number: int
    num_bytes: int
    items: list[ItemT]
    num_cut: int
    num_dropped: int
    error: DataError | None


def tokenized(
    paths: Sequence[Path],
    maker: Maker[ItemT],
    folder: Path,
    *,
    say: Callable[[str], None],
    begin: Callable[[int], None] = lambda num_bytes: None,
    progress: Callable[[int], None] = lambda num_bytes: None,
) -> list[ItemT]:
    """Make items of the records of JSON Lines, in their order, or read back those that were made of the same.

    Args:
        paths: the files.
        maker: makes an item of a record.
        folder: the run's; items are kept in its folder ``tokens``.
        say: told how many were left out or cut.
        begin: told the bytes of all files, where there is anything to do.
        progress: told how many bytes are done.

    Raises:
        DataError: of the first line that cannot be used, named with file and line.
        ConfigError: a file cannot be read.
    """
    try:
        key, total = _key(paths, maker), sum(path.stat().st_size for path in paths)
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error
    kept = folder / FOLDER / f"{key[:32]}.safetensors"
    found = read_items(kept, maker.kind)
    if found is None:
        begin(total)
        made = _make_all(paths, maker, total, progress)
        items = [item for one in made for item in one.items]
        counts = (sum(one.num_dropped for one in made), "left out"), (sum(one.num_cut for one in made), "cut")
        said = [
            f"{count:,} {units.plural(count, maker.name)} longer than {maker.context:,} tokens {what}"
            for count, what in counts
            if count
        ]
        if items:
            write_items(kept, items, said)
        found = items, said
    for message in found[1]:
        say(message)
    return found[0]


def _make_all(
    paths: Sequence[Path], maker: Maker[ItemT], num_bytes: int, progress: Callable[[int], None]
) -> list[_Made[ItemT]]:
    """What all blocks came to, in their order."""
    engine = LocalEngine(None if num_bytes >= _BYTES_FOR_PROCESSES else 1)
    blocks = list(_blocks(paths, maker if engine.workers == 1 else pickle.dumps(maker)))
    made: dict[int, _Made[ItemT]] = {}
    num_done = num_in_order = 0
    try:
        for one in engine.run(_make_block, blocks, lambda: None):
            made[one.number] = one
            num_done += one.num_bytes
            progress(num_done)
            while num_in_order in made:  # the first bad line is told, whoever comes to one first
                error = made[num_in_order].error
                if error is not None:
                    raise error
                num_in_order += 1
    finally:
        engine.close()
    return [made[number] for number in range(len(blocks))]


def _blocks(paths: Sequence[Path], maker: Maker[Any] | bytes) -> Iterator[_Block]:
    number = 0
    for path in paths:
        with path.open("rb") as file:
            begin = num_lines = 0
            while lines := file.read(_BLOCK_BYTES):
                lines += file.readline(RECORD_BYTES_MAX + 1)
                yield _Block(number, path, begin, len(lines), num_lines, maker)
                number, begin, num_lines = number + 1, begin + len(lines), num_lines + lines.count(b"\n")


def _make_block(block: _Block) -> _Made[Any]:
    maker = _unpickled(block.maker) if isinstance(block.maker, bytes) else block.maker
    items: list[Any] = []
    num_cut = num_dropped = 0
    error: DataError | None = None
    with block.path.open("rb") as file:
        file.seek(block.begin)
        lines = io.BytesIO(file.read(block.num_bytes))
    try:
        for where, line in numbered_lines(lines, block.path, block.num_lines):
            item, is_cut = maker(parsed(line, where), where)
            num_cut, num_dropped = num_cut + is_cut, num_dropped + (item is None)
            items += [] if item is None else [item]
    except DataError as found:
        error = found
    return _Made(block.number, block.num_bytes, items, num_cut, num_dropped, error)


@functools.lru_cache(maxsize=1)
def _unpickled(pickled: bytes) -> Maker[Any]:
    """A worker's own copy, which takes a while to make; the process that began it wrote the bytes."""
    return pickle.loads(pickled)


def _key(paths: Sequence[Path], maker: Maker[Any]) -> str:
    """A hash of all that the items depend on."""
    template = maker.tokenizer.template_facts
    facts = {
        "version": textmill.__version__,
        "kind": maker.name,
        "files": [[str(path), sha256_file(path)] for path in paths],
        "tokenizer": maker.tokenizer.sha256,
        "template": template,
        "settings": maker.settings(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
