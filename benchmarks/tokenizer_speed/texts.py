"""The texts that corpora are made of: whole files without markup, each once."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizer_speed.markup import read_text, strip_html, strip_roff
from tokenizer_speed.packages import ENGLISH, MULTILINGUAL, SOURCE_SUFFIXES, unpack, unpack_linux

_PART = 1 << 16
_LEAST = 100
_LISTS = ("changelog", "copyright", "news")
_GENERATED = "/asic_reg/"  # register tables, 0.3 GB of #define


class Seen:
    """What was taken already, so that nothing is in the corpora twice."""

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()

    def is_new(self, text: str) -> bool:
        """Tell whether a text is here for the first time, and remember it."""
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        is_new = key not in self._hashes
        self._hashes.add(key)
        return is_new


def english() -> Iterator[str]:
    """Yield documentation, manual pages and a dictionary."""
    return _parts(text for name in ENGLISH for text in _package_texts(name))


def multilingual() -> Iterator[str]:
    """Yield manual pages and help pages in Chinese, French, German, Japanese, Polish and Russian."""
    return _parts(text for name in MULTILINGUAL for text in _package_texts(name))


def standard_library() -> Iterator[str]:
    """Yield the modules of the interpreter's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    return (read_text(path) for path in by_hash(root.rglob("*.py"), root) if "site-packages" not in path.parts)


def linux_sources() -> tuple[list[Path], list[Path]]:
    """Return C sources, and all other sources of Linux, with generated tables last; its documentation is English's."""
    root = unpack_linux()
    files = [path for path in root.rglob("*") if path.suffix in SOURCE_SUFFIXES and path.is_file()]
    files = by_hash((path for path in files if not path.is_symlink() and "Documentation" not in path.parts), root)
    sources = [path for path in files if path.suffix == ".c"]
    others = [path for path in files if path.suffix != ".c"]
    return sources, sorted(others, key=lambda path: _GENERATED in str(path))


def by_hash(paths: Iterable[Path], root: Path) -> list[Path]:
    """Sort files by a hash of their names, which mixes subjects and languages and is the same on every machine."""
    return sorted(paths, key=lambda path: hashlib.blake2b(str(path.relative_to(root)).encode()).digest())


def _package_texts(name: str) -> Iterator[str]:
    root = unpack(name)
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        if _is_left_out(path):
            continue
        if path.suffix == ".html":
            yield strip_html(read_text(path))
        elif "man" in path.parts and path.suffix == ".gz":
            yield strip_roff(read_text(path))
        elif path.suffix == ".dz" or (path.suffix == ".gz" and _is_prose(path)):
            yield read_text(path)


def _is_left_out(path: Path) -> bool:
    """Tell whether a file is the source of a page that is there as HTML, a translation, or a list of changes."""
    return not {"_sources", "translations"}.isdisjoint(path.parts) or path.name.lower().startswith(_LISTS)


def _is_prose(path: Path) -> bool:
    return "Documentation" in path.parts and path.with_suffix("").suffix in {"", ".txt"}  # the .rst are there as HTML


def _parts(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        begin = 0
        while begin + _PART < len(text):
            end = text.rfind("\n", begin, begin + _PART) + 1 or begin + _PART
            if end <= begin:
                end = begin + _PART
            yield text[begin:end]
            begin = end
        if len(text) - begin >= _LEAST:
            yield text[begin:]
