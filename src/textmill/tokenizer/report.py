"""What is known of how a vocabulary was learned: ``tokenizer.report.json``, beside the tokenizer.json.

It is a file of its own since Hugging Face's tokenizers refuse a tokenizer.json with keys that they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.tokenizer.formats.limits import read_limited

_OWNER = "tokenizer_sha256"
_MAX_COUNT = (1 << 64) - 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingReport:
    """How a vocabulary was learned.

    Attributes:
        corpus_sha256: SHA-256 over the texts in order: of each its UTF-8, then its length in bytes as 8 bytes, the
            lowest first. It does not depend on files, packing or batches. All that is said of texts is of texts as they
            were given; pieces, words and tokens are those of the normalised text, where there is a normaliser.
        num_texts, num_bytes: texts, and bytes in them.
        num_pieces, num_words: pieces of the text, and how many of them are different.
        num_tokens: tokens of the whole text under the finished vocabulary; ``num_bytes / num_tokens`` is exact.
        pattern, unicode_version: how text was split, and by which version of Unicode.
        tie: the rule for pairs of equal count.
        num_ties: merges where another pair stood as often, so that the rule decided.
        min_frequency, max_token_length: the limits that were given.
        merge_counts: uint64[num_learned]: how often each pair stood in the text when it was merged.
        unused_tokens: ids of merges that the text, under the finished vocabulary, holds nowhere: all that they made
            went into longer tokens.
        bytes_per_token: by source: exact where there is one alone, and else measured on up to 4 MB of it, the first
            64 KB of each 1 MB.
        seed_tokens: the seeds, in the characters of a tokenizer.json.
        extended_sha256: the hash of the tokenizer that this one extends, or None; its merges have no counts here.
        spilled_runs, spilled_bytes: how often words went to disk under the memory limit, and their bytes.
        files_left_out: what folders hold and was not read, counted by the ending of files, or by why ("(hidden)").
        num_empty_records: records that hold null in place of text.
    """

    corpus_sha256: str
    num_texts: int
    num_bytes: int
    num_pieces: int
    num_words: int
    num_tokens: int
    pattern: str
    unicode_version: str
    tie: str
    num_ties: int
    min_frequency: int
    max_token_length: int | None
    merge_counts: NDArray[np.uint64]
    unused_tokens: tuple[int, ...]
    bytes_per_token: Mapping[str, float]
    seed_tokens: tuple[str, ...]
    extended_sha256: str | None
    spilled_runs: int
    spilled_bytes: int
    files_left_out: Mapping[str, int] = field(default_factory=dict)
    num_empty_records: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return asdict(self) | {
            "merge_counts": self.merge_counts.tolist(),
            "unused_tokens": list(self.unused_tokens),
            "bytes_per_token": dict(self.bytes_per_token),
            "seed_tokens": list(self.seed_tokens),
            "files_left_out": dict(self.files_left_out),
        }

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Read what ``to_dict`` wrote; raises ``DataError`` for anything else. Unknown keys are passed over."""
        if not isinstance(content, dict):
            raise DataError(f"a training report is {type(content).__name__}, and must be an object")
        values: dict[str, Any] = {}
        for each in fields(cls):
            has_default = each.default is not MISSING or each.default_factory is not MISSING
            if has_default and each.name not in content:
                continue
            value = content.get(each.name)
            if not _IS_OF_TYPE[str(each.type)](value):
                raise DataError(f"a training report has {each.name} = {str(value)[:80]!r}, which is no {each.type}")
            values[each.name] = value
        return cls(
            **values
            | {
                "merge_counts": np.array(values["merge_counts"], dtype=np.uint64),
                "unused_tokens": tuple(values["unused_tokens"]),
                "seed_tokens": tuple(values["seed_tokens"]),
            }
        )


def report_file(tokenizer_file: Path, report: TrainingReport, tokenizer_sha256: str) -> tuple[Path, str]:
    """Return the place of a report, beside the file of its tokenizer, and what it is to hold."""
    content = {_OWNER: tokenizer_sha256, **report.to_dict()}
    return _path_of(tokenizer_file), json.dumps(content, ensure_ascii=False) + "\n"


def read_report(tokenizer_file: Path, tokenizer_sha256: Callable[[], str]) -> TrainingReport | None:
    """Read the report beside a tokenizer's file; None where there is none, or that of another tokenizer.

    Raises:
        DataError: the report is damaged.
    """
    path = _path_of(tokenizer_file)
    if not path.is_file():
        return None
    try:
        content = json.loads(read_limited(path))
        if isinstance(content, dict) and content.get(_OWNER) != tokenizer_sha256():
            return None
        return TrainingReport.from_dict(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be used: {error}. Remove it: the tokenizer works without") from error


def _path_of(tokenizer_file: Path) -> Path:
    return tokenizer_file.with_suffix(".report.json")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_IS_OF_TYPE = {
    "str": _is_text,
    "int": _is_count,
    "str | None": lambda value: value is None or _is_text(value),
    "int | None": lambda value: value is None or _is_count(value),
    "NDArray[np.uint64]": lambda value: isinstance(value, list) and all(map(_is_count, value)),
    "tuple[int, ...]": lambda value: isinstance(value, list) and all(map(_is_count, value)),
    "tuple[str, ...]": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "Mapping[str, int]": lambda value: (
        isinstance(value, dict) and all(_is_text(k) and _is_count(v) for k, v in value.items())
    ),
    "Mapping[str, float]": lambda value: (
        isinstance(value, dict) and all(_is_text(k) and isinstance(v, float) for k, v in value.items())
    ),
}
