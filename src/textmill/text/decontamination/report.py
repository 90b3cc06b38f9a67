"""What decontamination found, in counts by evaluation file that can be added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

import numpy as np

from textmill.text.decontamination.decontaminator import Contamination, Decontaminator, Hit
from textmill.text.decontamination.profiles import PROFILES

_SHOWN_TOO_SHORT = 5


@dataclass(slots=True)
class ContaminationCounts:
    """Counts over many batches. Adding is the same in any order.

    Attributes:
        num_documents: that were looked at.
        num_dropped: of these.
        num_cut: documents that had something cut out of them.
        documents_by_file: documents with an item, by the item's file.
        hits_by_item: by number.
        rejected_by_item: documents that share an n-gram with it, and too little more, by number.
    """

    num_documents: int = 0
    num_dropped: int = 0
    num_cut: int = 0
    documents_by_file: Counter[str] = field(default_factory=Counter)
    hits_by_item: Counter[int] = field(default_factory=Counter)
    rejected_by_item: Counter[int] = field(default_factory=Counter)

    def add(self, found: Contamination, decontaminator: Decontaminator) -> None:
        """Count what was found in a batch."""
        self.num_documents += len(found.kept)
        self.num_dropped += int(np.count_nonzero(~found.kept))
        self.num_cut += len({hit.document for hit in found.hits if hit.action == "cut"})
        pairs = {(hit.document, decontaminator.items[hit.item].file) for hit in found.hits}
        self.documents_by_file.update(file for _, file in sorted(pairs))
        self.hits_by_item.update(hit.item for hit in found.hits)
        rejected = np.flatnonzero(found.num_rejected).tolist()
        self.rejected_by_item.update({item: int(found.num_rejected[item]) for item in rejected})

    def merge(self, other: ContaminationCounts) -> None:
        """Add the counts of other batches."""
        self.num_documents += other.num_documents
        self.num_dropped += other.num_dropped
        self.num_cut += other.num_cut
        for name in ("documents_by_file", "hits_by_item", "rejected_by_item"):
            getattr(self, name).update(getattr(other, name))

    def to_json(self) -> dict[str, Any]:
        """Return all counts as JSON holds them; ``from_json`` takes them back."""
        return {
            "num_documents": self.num_documents,
            "num_dropped": self.num_dropped,
            "num_cut": self.num_cut,
            "documents_by_file": dict(sorted(self.documents_by_file.items())),
            "hits_by_item": {str(item): count for item, count in sorted(self.hits_by_item.items())},
            "rejected_by_item": {str(item): count for item, count in sorted(self.rejected_by_item.items())},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ContaminationCounts:
        """Take counts back from ``to_json``."""
        counts = cls(value["num_documents"], value["num_dropped"], value["num_cut"])
        counts.documents_by_file.update(value["documents_by_file"])
        counts.hits_by_item.update({int(item): count for item, count in value["hits_by_item"].items()})
        counts.rejected_by_item.update({int(item): count for item, count in value["rejected_by_item"].items()})
        return counts

    def summary(self, decontaminator: Decontaminator) -> dict[str, Any]:
        """Sum up for people and programs: totals, and for each evaluation file how many of its items were found."""
        too_short = decontaminator.cannot_be_found
        files: dict[str, dict[str, int]] = {}
        for number, item in enumerate(decontaminator.items):
            of_file = files.setdefault(
                item.file, {"items": 0, "found": 0, "never_found": 0, "too_short": 0, "hits": 0, "rejected": 0}
            )
            of_file["items"] += 1
            hits = self.hits_by_item[number]
            of_file["too_short" if too_short[number] else "found" if hits else "never_found"] += 1
            of_file["hits"] += hits
            of_file["rejected"] += self.rejected_by_item[number]
        for name, of_file in files.items():
            of_file["documents"] = self.documents_by_file[name]
        profile = decontaminator.profile
        return {
            "profile": profile.name,
            "ngram": profile.ngram,
            "min_ratio": profile.min_ratio if profile.has_ratio else None,
            "min_words": profile.min_words,
            "action": decontaminator.action,
            "documents": self.num_documents,
            "dropped": self.num_dropped,
            "cut": self.num_cut,
            "files": files,
        }


def too_short(decontaminator: Decontaminator, bigram: str) -> str | None:
    """Name the items that a profile cannot find, in a sentence; ``bigram`` says how the profile for these is chosen."""
    numbers = decontaminator.cannot_be_found.nonzero()[0].tolist()
    if not numbers:
        return None
    names = ", ".join(quote(decontaminator.items[number].id) for number in numbers[:_SHOWN_TOO_SHORT])
    more = f", and {len(numbers) - _SHOWN_TOO_SHORT:,} more" if len(numbers) > _SHOWN_TOO_SHORT else ""
    least, fewest = decontaminator.profile.min_words, PROFILES["bigram"].min_words
    hint = f"; {bigram} looks for those of {fewest} words and more" if fewest < least else ""
    return (
        f"{len(numbers):,} of {len(decontaminator.items):,} items have fewer than {least} words and cannot be found: "
        f"{names}{more}{hint}"
    )


def hit_record(hit: Hit, decontaminator: Decontaminator, document_id: Callable[[int], str]) -> dict[str, Any]:
    """Say all of a hit, as a line of a report: item, document, span in characters, n-gram, ratio and action."""
    return {
        "item": decontaminator.items[hit.item].id,
        "document": document_id(hit.document),
        "span": [hit.begin, hit.end],
        "ngram": hit.ngram,
        "ratio": round(hit.ratio, 4),
        "action": hit.action,
    }
