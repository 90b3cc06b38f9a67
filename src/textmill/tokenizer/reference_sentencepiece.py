"""BPE over characters in plain Python: what the native encoder must agree with, and the text to read to understand it.

Slow on purpose: the pair to merge is searched anew each time. A charsmap is left out. Bytes that are not UTF-8 are the
lone surrogates of Python's ``surrogateescape``.
"""

from __future__ import annotations

from collections.abc import Iterator

from textmill.tokenizer.characters import NORMAL, SPACE, UNKNOWN, UNUSED, USER_DEFINED, CharacterRules, byte_name
from textmill.tokenizer.vocabulary import Vocabulary


def encode(vocabulary: Vocabulary, text: bytes) -> list[int]:
    """Normalise a text, cut it into characters and user-defined pieces, merge them, and name what is left by ids."""
    rules = vocabulary.characters
    assert rules is not None
    ids = {piece: i for i, piece in enumerate(rules.pieces) if piece}
    user_defined = {piece for piece, i in ids.items() if rules.kinds[i] == USER_DEFINED}
    result: list[int] = []
    for word in _words(rules, normalize(rules, text.decode("utf-8", "surrogateescape"), user_defined)):
        if vocabulary.whole_pieces and word in ids and rules.kinds[ids[word]] == NORMAL:
            result.append(ids[word])
            continue
        follows_unknown = False
        for piece in merge(vocabulary, list(_chunks(word, user_defined)), user_defined):
            is_known = piece in ids and rules.kinds[ids[piece]] in {NORMAL, USER_DEFINED}
            if is_known:
                result.append(ids[piece])
            elif rules.byte_fallback:
                result += [ids[byte_name(byte)] for byte in piece.encode("utf-8", "surrogateescape")]
            elif not (follows_unknown and rules.fuse_unknown):
                result.append(rules.kinds.tolist().index(UNKNOWN))
            follows_unknown = not is_known
    return result


def normalize(rules: CharacterRules, text: str, user_defined: set[str]) -> str:
    """Remove and add spaces as the rules say, and write them as U+2581."""
    chunks = list(_chunks(text, user_defined))
    if not rules.byte_fallback:
        chunks = ["\ufffd" if "\udc80" <= chunk <= "\udcff" else chunk for chunk in chunks]
    while rules.remove_extra_spaces and chunks[:1] == [" "]:
        del chunks[0]
    body = ""
    for chunk in chunks:
        follows_space = rules.remove_extra_spaces and (body.endswith(" ") or not body)
        body += chunk.lstrip(" ") if follows_space else chunk
    is_there = rules.dummy_prefix == "unless_there" and body.startswith((" ", SPACE))
    dummy = " " if chunks and rules.dummy_prefix != "never" and not is_there else ""
    space = SPACE if rules.escape_spaces else " "
    body = (body if rules.dummy_suffix else dummy + body).replace(" ", space)
    while rules.remove_extra_spaces and body.endswith(space):
        body = body.removesuffix(space)
    return body + dummy.replace(" ", space) if rules.dummy_suffix else body


def _chunks(text: str, user_defined: set[str]) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = [piece for piece in user_defined if text.startswith(piece, at)]
        chunk = max(found, key=len) if found else text[at]
        yield chunk
        at += len(chunk)


def _words(rules: CharacterRules, text: str) -> list[str]:
    words = text.split(SPACE) if rules.splits_words else [text]
    return [word for word in [words[0], *(SPACE + word for word in words[1:])] if word]


def merge(vocabulary: Vocabulary, symbols: list[str], user_defined: set[str]) -> list[str]:
    """Merge the best pair, the leftmost of equals, as long as there is one; take unused pieces apart again."""
    ranks = _ranks(vocabulary)
    parts: dict[str, tuple[str, str]] = {}  # of each product, the pair that was last seen to make it

    def rank_of(at: int) -> float | None:
        if not 0 <= at < len(symbols) - 1 or {symbols[at], symbols[at + 1]} & user_defined:
            return None
        return ranks.get((symbols[at], symbols[at + 1]), ranks.get(symbols[at] + symbols[at + 1]))

    def see(at: int) -> None:
        if rank_of(at) is not None:
            parts[symbols[at] + symbols[at + 1]] = symbols[at], symbols[at + 1]

    for at in range(len(symbols)):
        see(at)
    while known := [(rank, at) for at in range(len(symbols)) if (rank := rank_of(at)) is not None]:
        _, at = min(known)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        see(at - 1)
        see(at)
    rules = vocabulary.characters
    assert rules is not None
    unused = {piece for piece, kind in zip(rules.pieces, rules.kinds.tolist(), strict=True) if kind == UNUSED}
    waiting, pieces = symbols[::-1], list[str]()
    while waiting:
        piece = waiting.pop()
        if piece in unused and piece in parts:
            waiting += reversed(parts[piece])
        else:
            pieces.append(piece)
    return pieces


def _ranks(vocabulary: Vocabulary) -> dict[str | tuple[str, str], float]:
    """The rank of a pair where merges are listed, of a product where they go by score; the lowest comes first."""
    rules = vocabulary.characters
    assert rules is not None
    if rules.scores.size:
        scored = zip(rules.pieces, rules.kinds.tolist(), rules.scores.tolist(), strict=True)
        return {piece: -score for piece, kind, score in scored if kind in {NORMAL, UNUSED}}
    pieces = rules.pieces
    return {(pieces[a], pieces[b]): rank for rank, (a, b, _) in enumerate(vocabulary.merges.tolist())}
