"""The answer to why a text is not one token: its parts, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from textmill.tokenizer.as_json import to_json
from textmill.tokenizer.merging import NO_SYMBOL

_SHOWN_MERGES = 3

Reason = Literal["reached", "added", "no merge", "lost merge", "pattern", "normaliser", "kind", "unknown character"]


@dataclass(frozen=True, slots=True)
class Part:
    """A token of what the text is encoded to, or a symbol that is none."""

    id: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A piece that the pattern cuts out of the text, and the alternative that made it."""

    text: bytes
    alternative: str
    regex: str
    stage: int


@dataclass(frozen=True, slots=True)
class KnownMerge:
    """A merge of the tokenizer: two texts next to each other that become one, and its rank."""

    left: bytes
    right: bytes
    rank: int


@dataclass(frozen=True, slots=True)
class NewMerge:
    """A merge that is missing; ``token_id`` is that of its product where that is a token already."""

    left: bytes
    right: bytes
    token_id: int | None


@dataclass(frozen=True, slots=True)
class LostMerge:
    """A merge that never gets its turn.

    Attributes:
        wanted: the merge that makes the token, or a part of it.
        taken_by: the merge that is made instead.
        shared: what both want: the bytes that ``taken_by`` takes from ``wanted``.
    """

    wanted: KnownMerge
    taken_by: KnownMerge
    shared: bytes


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a text is one token, or is not.

    Attributes:
        text: the bytes asked about.
        token_id: the token with these bytes; None where there is none.
        is_reached: whether text becomes the token: with ``example`` for a yes; None where none was found to, and
            nothing proves that none does.
        example: a text whose encoding holds the token.
        reason: one word or two for the cause; "no merge": no merge makes it; "lost merge": one does, and another comes
            first; "pattern": pieces end inside; "normaliser": no text holds it; "kind": sentencepiece's kind of it.
        encoded: what the text is encoded to, by itself.
        cuts: the pieces that the pattern cuts it into, by itself; one where it does not cut it.
        normalized: what the normaliser makes of it, None where it stays as it is.
        merged: what its bytes become where no pattern cuts them: no merge joins two neighbours of these.
        lost: the merge that would have made it and never does.
        unmade: the token that the merge needs and that no merge makes.
        needed: merges which, added after all others, make it one token where no pattern cuts it; empty where it is
            one, or too many are needed.
        note: what a kind of token is for.
    """

    text: bytes
    token_id: int | None
    is_reached: bool | None
    example: bytes | None
    reason: Reason
    encoded: tuple[Part, ...]
    cuts: tuple[Cut, ...]
    normalized: bytes | None
    merged: tuple[Part, ...]
    lost: LostMerge | None
    unmade: bytes | None
    needed: tuple[NewMerge, ...]
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return nested dicts, lists, strings and numbers."""
        return to_json(self) | {"answer": str(self)}

    def sentences(self) -> list[str]:
        """The answer, a sentence each."""
        return list(_sentences(self))

    def __str__(self) -> str:
        return " ".join(_sentences(self))


def _sentences(answer: WhyNot) -> Iterator[str]:
    name = quoted(answer.text)
    if answer.reason == "added":
        yield f'{name} is the added token {answer.token_id}: text becomes it only with special="parse".'
    elif answer.is_reached:
        is_alone = answer.example == answer.text and len(answer.encoded) == 1
        where = "by itself" if is_alone else f"in {quoted(answer.example or b'')}, for one"
        yield f"{name} is token {answer.token_id}, and text becomes it: {where}."
        if is_alone:
            return
    elif answer.token_id is None:
        yield f"{name} is not a token."
    elif answer.is_reached is None:
        yield f"{name} is token {answer.token_id}, and no text was found that becomes it."
    else:
        yield f"{name} is token {answer.token_id}, and no text ever becomes it."
    if answer.encoded:
        yield f"By itself it is encoded as {_joined([part.text for part in answer.encoded])}."
    yield from _causes(answer)
    yield from _remedies(answer)


def _causes(answer: WhyNot) -> Iterator[str]:
    if answer.note:
        yield f"It is {answer.note}."
    if answer.normalized is not None:
        yield f"No text holds it when it is split: the normaliser makes it {quoted(answer.normalized)}."
    if len(answer.cuts) > 1:
        cuts = ", ".join(f"{quoted(cut.text)} ({cut.alternative})" for cut in answer.cuts)
        yield f"The pattern cuts it into {cuts}, and no token crosses a cut."
    if answer.reason == "unknown character":
        missing = next(part.text for part in answer.merged if part.id == NO_SYMBOL)
        yield f"No merge and no token has the character {quoted(missing)}."
    if answer.lost is not None:
        wanted, taken = answer.lost.wanted, answer.lost.taken_by
        yield (
            f"It needs the merge {_pair(wanted)} (rank {wanted.rank:,}), but {_pair(taken)} (rank {taken.rank:,}) "
            f"is made first and takes {quoted(answer.lost.shared)}."
        )
    elif answer.unmade is not None:
        whole = answer.unmade == answer.text
        yield f"No merge makes {'it' if whole else f'{quoted(answer.unmade)}, which it is made of'}."
    elif answer.reason in {"no merge", "pattern"} and len(answer.merged) > 1:
        first, second = (quoted(part.text) for part in answer.merged[:2])
        yield f"No merge joins {first} and {second}."


def _remedies(answer: WhyNot) -> Iterator[str]:
    if not answer.needed:
        return
    plural = "s" if len(answer.needed) > 1 else ""
    merges = ", ".join(f"{quoted(merge.left)} + {quoted(merge.right)}" for merge in answer.needed[:_SHOWN_MERGES])
    more = " and so on" if len(answer.needed) > _SHOWN_MERGES else ""
    where = "a pattern that does not cut it, and " if len(answer.cuts) > 1 else ""
    yield f"It would take {where}{len(answer.needed)} more merge{plural}: {merges}{more}."


def quoted(text: bytes) -> str:
    """Write bytes as Python does: a string where they are UTF-8, else bytes."""
    try:
        return repr(text.decode())
    except UnicodeDecodeError:
        return repr(text)


def _pair(merge: KnownMerge) -> str:
    return f"{quoted(merge.left)} + {quoted(merge.right)}"


def _joined(texts: list[bytes]) -> str:
    return " + ".join(map(quoted, texts))
