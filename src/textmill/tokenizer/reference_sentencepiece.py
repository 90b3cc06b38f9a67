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
    mergeable = {piece: i for piece, i in ids.items() if rules.kinds[i] in {NORMAL, UNUSED}}
    user_defined = {piece for piece, i in ids.items() if rules.kinds[i] == USER_DEFINED}
    ranks = _ranks(vocabulary, rules)
    result: list[int] = []
    for word in _words(rules, normalize(rules, text.decode("utf-8", "surrogateescape"), user_defined)):
        if vocabulary.whole_pieces and word in mergeable:
            result.append(mergeable[word])
            continue
        parts: dict[str, tuple[str, str]] = {}
        follows_unknown = False
        for symbol in _merge(list(_chunks(word, user_defined)), mergeable, user_defined, rules, ranks, parts):
            for piece in _take_apart(symbol, parts, rules, mergeable):
                found = ids[piece] if piece in user_defined else mergeable.get(piece)
                found = None if found is not None and rules.kinds[found] == UNUSED else found
                if found is not None:
                    result.append(found)
                elif rules.byte_fallback:
                    result += [ids[byte_name(byte)] for byte in piece.encode("utf-8", "surrogateescape")]
                elif not (follows_unknown and rules.fuse_unknown):
                    result.append(rules.kinds.tolist().index(UNKNOWN))
                follows_unknown = found is None
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
    if not rules.splits_words:
        return [text] if text else []
    words = text.split(SPACE)
    return [word for word in [words[0], *(SPACE + word for word in words[1:])] if word]


def _ranks(vocabulary: Vocabulary, rules: CharacterRules) -> dict[tuple[str, str], int]:
    pieces = rules.pieces
    return {(pieces[a], pieces[b]): rank for rank, (a, b, _) in enumerate(vocabulary.merges.tolist())}


def _merge(
    symbols: list[str],
    mergeable: dict[str, int],
    user_defined: set[str],
    rules: CharacterRules,
    ranks: dict[tuple[str, str], int],
    parts: dict[str, tuple[str, str]],
) -> list[str]:
    def rank_of(at: int) -> float | None:
        if not 0 <= at < len(symbols) - 1 or {symbols[at], symbols[at + 1]} & user_defined:
            return None
        pair = symbols[at], symbols[at + 1]
        if not rules.scores.size:
            return ranks.get(pair)
        product = mergeable.get(pair[0] + pair[1])
        return None if product is None else -float(rules.scores[product])

    def note_parts(at: int) -> None:
        if rank_of(at) is not None:
            parts[symbols[at] + symbols[at + 1]] = symbols[at], symbols[at + 1]

    for at in range(len(symbols)):
        note_parts(at)
    while known := [(rank, at) for at in range(len(symbols)) if (rank := rank_of(at)) is not None]:
        _, at = min(known)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        note_parts(at - 1)
        note_parts(at)
    return symbols


def _take_apart(
    symbol: str, parts: dict[str, tuple[str, str]], rules: CharacterRules, mergeable: dict[str, int]
) -> Iterator[str]:
    waiting = [symbol]
    while waiting:
        piece = waiting.pop()
        if piece in parts and piece in mergeable and rules.kinds[mergeable[piece]] == UNUSED:
            waiting += reversed(parts[piece])
        else:
            yield piece
