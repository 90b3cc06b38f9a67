"""Taking a text apart: characters, their bytes, the pieces, the merges of each piece, the tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.tokenizer.explanation import Change, Character, Explanation, Match, MergeStep, Piece, RunnerUp, Token
from textmill.tokenizer.merge_table import MergeTable
from textmill.tokenizer.merging import Join
from textmill.tokenizer.normalize import Segment, with_prefix_space
from textmill.tokenizer.patterns import Pattern
from textmill.tokenizer.special import Part
from textmill.tokenizer.splitting import splitter_of
from textmill.tokenizer.vocabulary import Encoder, Vocabulary

ADDED = "added token"
PREFIX_SPACE = "the tokenizer puts a space before a text"


@dataclass(frozen=True, slots=True, eq=False)
class Explainer:
    """Takes texts apart as the encoders of a vocabulary do.

    Attributes:
        encoders: of what stands at the start of a text, and after an added token.
        merge_counts: uint64[n]: how often the last n merges stood in the training text; None where it is not known.
    """

    vocabulary: Vocabulary
    table: MergeTable
    encoders: tuple[Encoder, Encoder]
    merge_counts: NDArray[np.uint64] | None

    def explain(self, text: bytes, parts: Sequence[Part], spans: Sequence[tuple[int, int]]) -> Explanation:
        """Take a text apart.

        Args:
            text: as it was given.
            parts: its ordinary text and added tokens.
            spans: where each of its tokens stands in it.
        """
        places = iter(spans)
        pieces: list[Piece] = []
        prepared: list[bytes] = []
        changes = list(normalized_changes(parts))
        for number, part in enumerate(parts):
            if part.token_id is not None:
                prepared.append(part.text)
                pieces.append(self._added_piece(part, next(places)))
                continue
            begin = pieces[-1].end if pieces else 0
            encoder = self.encoders[number > 0]
            if isinstance(encoder, _core.CharacterEncoder):
                text_of_part, part_pieces = self._character_pieces(encoder, part.text, begin, places)
            else:
                text_of_part, part_pieces = self._pieces(encoder, part.text, begin, places)
            end = part_pieces[-1].end if part_pieces else begin + len(part.text)
            changes += changes_before_splitting(encoder, text[begin:end], part.text, text_of_part, begin)
            prepared.append(text_of_part)
            pieces += part_pieces
        pattern = self.vocabulary.pattern
        missing = set(self.vocabulary.missing_bytes)
        return Explanation(
            text=text,
            prepared=b"".join(prepared),
            changes=tuple(sorted(changes, key=lambda change: change.begin)),
            dropped=bytes(byte for byte in text if byte in missing),
            pattern=pattern.name,
            num_stages=len(pattern.stages),
            unicode_version=_core.UNICODE_VERSION,
            characters=tuple(_characters(text)),
            pieces=tuple(pieces),
        )

    def _pieces(
        self, encoder: _core.Encoder, text: bytes, begin: int, places: Iterator[tuple[int, int]]
    ) -> tuple[bytes, list[Piece]]:
        if self.vocabulary.adds_prefix_space:
            text = with_prefix_space(text)
        pattern = self.vocabulary.pattern
        ends, alternatives = _core.split(pattern.splitter(), text)
        pieces, at = [], 0
        earlier = _earlier_matches(pattern, text, ends.tolist())
        for end, number, matches in zip(ends.tolist(), alternatives.tolist(), earlier, strict=True):
            piece = text[at:end]
            steps, ids = encoder.trace(piece)
            alternative = pattern.alternative(number)
            is_whole = len(piece) > 1 and len(ids) == 1 and not len(steps)
            pieces.append(
                Piece(
                    *self._ends(begin, tokens := self._tokens(ids.tolist(), places)),
                    text=piece,
                    alternative=alternative.name,
                    regex=alternative.regex,
                    stage=(stage := pattern.stage_of(number)),
                    earlier=tuple(match for match in matches if match.stage < stage),
                    symbols=tuple(self.table.symbols(piece)),
                    merges=() if is_whole else self._merges(piece),
                    tokens=tokens,
                    is_whole=is_whole,
                    is_added=False,
                )
            )
            begin, at = pieces[-1].end, end
        return text, pieces

    def _character_pieces(
        self, encoder: _core.CharacterEncoder, text: bytes, begin: int, places: Iterator[tuple[int, int]]
    ) -> tuple[bytes, list[Piece]]:
        """Take apart a text whose characters are merged: the pieces are what no merge crosses."""
        normalized, _, words, _, ids, _ = encoder.trace(text)
        rest = iter(ids.tolist())
        pieces, at = [], 0
        for end, num_steps, num_tokens in words.tolist():
            word = normalized[at:end]
            tokens = self._tokens(list(islice(rest, num_tokens)), places)
            symbols = tuple(self.table.symbols(word))
            is_whole = self.vocabulary.whole_pieces and num_tokens == 1 and len(symbols) > 1 and not num_steps
            pieces.append(
                Piece(
                    *self._ends(begin, tokens),
                    text=word,
                    alternative="",
                    regex="",
                    stage=0,
                    earlier=(),
                    symbols=symbols,
                    merges=() if is_whole else self._merges(word),
                    tokens=tokens,
                    is_whole=is_whole,
                    is_added=False,
                )
            )
            begin, at = pieces[-1].end, end
        return normalized, pieces

    def _added_piece(self, part: Part, span: tuple[int, int]) -> Piece:
        assert part.token_id is not None
        token = Token(part.token_id, *span, self.vocabulary.tokens[part.token_id])
        return Piece(*span, part.text, ADDED, "", 0, (), (), (), (token,), is_whole=True, is_added=True)

    def _tokens(self, ids: Sequence[int], places: Iterator[tuple[int, int]]) -> tuple[Token, ...]:
        return tuple(Token(token_id, *next(places), self.vocabulary.tokens[token_id]) for token_id in ids)

    @staticmethod
    def _ends(begin: int, tokens: tuple[Token, ...]) -> tuple[int, int]:
        return begin, tokens[-1].end if tokens else begin

    def _merges(self, piece: bytes) -> tuple[MergeStep, ...]:
        return tuple(self._step(join) for join in self.table.joins(piece))

    def _step(self, join: Join) -> MergeStep:
        merge, left, right = join.merge, join.left, join.right
        runner_up = None
        if join.runner_up is not None:
            other, first, second = join.runner_up
            is_lost = first.begin < right.end and left.begin < second.end
            runner_up = RunnerUp(first.begin, first.end, second.end, other.product, other.rank, is_lost)
        return MergeStep(
            begin=left.begin,
            middle=right.begin,
            end=right.end,
            left=merge.left,
            right=merge.right,
            product=merge.product,
            rank=merge.rank,
            count=self._count(merge.rank),
            runner_up=runner_up,
        )

    def _count(self, rank: int) -> int | None:
        """How often a merge's pair stood in the training text; merges that were there before training come first."""
        if self.merge_counts is None or self.vocabulary.characters is not None:
            return None
        place = rank - (len(self.table) - len(self.merge_counts))
        return int(self.merge_counts[place]) if place >= 0 else None


def _earlier_matches(pattern: Pattern, text: bytes, ends: Sequence[int]) -> list[list[Match]]:
    """Find, for each piece by its end, what matched it or a stretch that holds it in all stages but the last."""
    matches: list[list[Match]] = [[] for _ in ends]
    for stage in range(1, len(pattern.stages)):
        stage_ends, numbers = _core.split(splitter_of(pattern.regexes[:stage]), text)
        holders = np.searchsorted(stage_ends, ends)
        for found, number in zip(matches, numbers[holders].tolist(), strict=True):
            if pattern.stage_of(number) == stage:
                alternative = pattern.alternative(number)
                found.append(Match(alternative.name, alternative.regex, stage))
    return matches


def changes_before_splitting(
    encoder: Encoder, original: bytes, text: bytes, prepared: bytes, begin: int
) -> Iterator[Change]:
    """What an encoder changes in ordinary text, which begins at ``begin`` and is ``original`` as it was given."""
    if isinstance(encoder, _core.CharacterEncoder):
        if prepared != text:
            yield Change(begin, begin + len(original), original, prepared, "the tokenizer's normaliser")
    elif len(prepared) > len(text):
        yield Change(begin, begin, b"", b" ", PREFIX_SPACE)


def normalized_changes(parts: Sequence[Part]) -> Iterator[Change]:
    """What normalisation form C changed, from the segments that the parts were cut from."""
    seen: set[int] = set()
    for part in parts:
        segment: Segment = part.segment
        if segment.begin in seen or segment.text == segment.original:
            continue
        seen.add(segment.begin)
        for to_begin, to_end, begin, end in _core.nfc_changes(segment.original)[1].tolist():
            original, prepared = segment.original[begin:end], segment.text[to_begin:to_end]
            yield Change(segment.begin + begin, segment.begin + end, original, prepared, "normalisation form C")


def _characters(text: bytes) -> Iterator[Character]:
    at = 0
    for character in text.decode("utf-8", "surrogateescape"):
        utf8 = character.encode("utf-8", "surrogateescape")
        if 0xDC80 <= ord(character) <= 0xDCFF:
            yield Character(at, utf8, None, "", "")
        else:
            name = unicodedata.name(character, "")
            yield Character(at, utf8, ord(character), name, unicodedata.category(character))
        at += len(utf8)
