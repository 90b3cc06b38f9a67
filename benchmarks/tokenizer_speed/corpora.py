"""The corpora: english, code and multilingual to encode, and all of them with the sources of Linux to train on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tokenizer_speed import texts
from tokenizer_speed.markup import read_text
from tokenizer_speed.places import CORPORA

MEGABYTE = 1_000_000
SIZES = {"english": 100 * MEGABYTE, "code": 50 * MEGABYTE, "multilingual": 50 * MEGABYTE, "all": 1000 * MEGABYTE}


def build() -> dict[str, dict[str, int]]:
    """Make the corpora where they are not there yet; returns the bytes of each, and of what each is made."""
    facts_file = CORPORA / "corpora.json"
    if not facts_file.exists():
        facts_file.parent.mkdir(parents=True, exist_ok=True)
        facts_file.write_text(json.dumps(_build(), indent=1) + "\n")
    facts = json.loads(facts_file.read_text())
    for name, parts in facts.items():
        size = corpus(name).stat().st_size
        described = ", ".join(f"{part} {num_bytes / MEGABYTE:.1f}" for part, num_bytes in parts.items())
        print(f"{name}: {size / MEGABYTE:.1f} of {SIZES[name] / MEGABYTE:.0f} MB ({described})")
    return facts


def corpus(name: str) -> Path:
    """Return the file of a corpus."""
    return CORPORA / f"{name}.txt"


def _build() -> dict[str, dict[str, int]]:
    seen = texts.Seen()
    sources, others = texts.linux_sources()
    documentation = _Corpus("english", seen)
    documentation.add("documentation, manual pages, dictionary", texts.english())
    documentation.write()

    code = _Corpus("code", seen)
    code.add("standard library", texts.standard_library())
    num_taken = code.add("C of Linux", map(read_text, sources))
    code.write()

    translated = _Corpus("multilingual", seen)
    translated.add("manual pages and help", texts.multilingual())
    translated.write()

    everything = _Corpus("all", seen)
    for part in (documentation, code, translated):
        everything.add_all(part)
    everything.add("Linux", map(read_text, [*sources[num_taken:], *others]))
    everything.write(mixed=False)
    return {part.name: part.facts for part in (documentation, code, translated, everything)}


class _Corpus:
    """Texts up to a number of bytes."""

    def __init__(self, name: str, seen: texts.Seen) -> None:
        self.name = name
        self.facts: dict[str, int] = {}
        self._texts: list[bytes] = []
        self._size = 0
        self._is_full = False
        self._seen = seen

    def add(self, part: str, new_texts: Iterable[str]) -> int:
        """Take texts until the corpus is full; returns how many were looked at."""
        begin = self._size
        num_seen = 0
        for text in new_texts:
            if self._is_full:
                break
            num_seen += 1
            if text and self._seen.is_new(text):
                self._append(text.encode())
        if self._size > begin:
            self.facts[part] = self._size - begin
        return num_seen

    def add_all(self, other: _Corpus) -> None:
        """Take all texts of another corpus."""
        begin = self._size
        for text in other._texts:
            self._append(text)
        self.facts[other.name] = self._size - begin

    def write(self, *, mixed: bool = True) -> None:
        """Write the file, the texts in the order of their hashes unless that is not wanted."""
        if mixed:
            self._texts.sort(key=lambda text: hashlib.blake2b(text, digest_size=8).digest())
        path = corpus(self.name)
        with path.with_suffix(".part").open("wb") as file:
            file.writelines(self._texts)
        path.with_suffix(".part").rename(path)

    def _append(self, text: bytes) -> None:
        text = text.replace(b"\0", b"")
        room = SIZES[self.name] - self._size
        if len(text) >= room:
            text = text[: text.rfind(b"\n", 0, room) + 1]
            self._is_full = True
        self._texts.append(text)
        self._size += len(text)
