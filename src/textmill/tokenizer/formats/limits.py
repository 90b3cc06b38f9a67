"""Sizes that are checked before memory is taken, whatever a file says of itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textmill.base.errors import DataError
from textmill.base.units import num_bytes
from textmill.tokenizer.vocabulary import MAX_TOKENS

MAX_FILE_BYTES = 512 * 1024 * 1024


def read_limited(path: Path) -> bytes:
    """Read a tokenizer file whole; raises ``DataError`` where it is missing or larger than any tokenizer is."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DataError(
                f"{path} holds {num_bytes(size)}, and a tokenizer file may hold {num_bytes(MAX_FILE_BYTES)}; is it one?"
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def table_of_tokens(pairs: Iterable[tuple[int, bytes]]) -> tuple[bytes, ...]:
    """Lay tokens out by id, with ``b""`` for holes; raises ``DataError`` for ids that are double or far too large."""
    tokens = dict[int, bytes]()
    for token_id, token in pairs:
        if not token:
            raise DataError(f"token {token_id} is empty")
        if token_id in tokens:
            raise DataError(f"two tokens have the id {token_id}")
        tokens[token_id] = token
    size = max(tokens, default=-1) + 1
    most = min(MAX_TOKENS, 2 * len(tokens) + 65_536)
    if size > most:
        raise DataError(
            f"the highest id is {str(size - 1)[:40]} with {len(tokens)} tokens; ids above {most} are refused"
        )
    return tuple(tokens.get(token_id, b"") for token_id in range(size))
