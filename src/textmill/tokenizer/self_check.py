"""What every loaded tokenizer must get right before anyone uses it, on a few hundred bytes of hard text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill import _core
from textmill.base.errors import DataError
from textmill.tokenizer.characters import CharacterRules
from textmill.tokenizer.normalize import normalize, with_prefix_space, without_bytes

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

# Contractions, numbers, whitespace of all widths, scripts with marks, Hangul and accents in pieces, emoji that are
# joined, code, and bytes that are not UTF-8.
CORPUS = (
    "It's naïve, isn't IT'S 'ſ: don’t!  12345 ½²Ⅷ ١٢٣\r\n\r\n\t x\u00a0\u3000y\u2028 \n"
    "Привет, мир! 中文分词 ひらがな 한국어 हिन्दी ไทย עברית العربية e\u0301a\u0323\u0302 \u1112\u1161\u11ab "
    "👩‍👩‍👧 🤖🏽 if (a[i]!=0x1F) {\n    return --b;\n}\n<|endoftext|> [INST] http://a.b/c?d=e&f#g "
).encode() + b"\xff\xc0\x80 \xe2\x82 \xed\xa0\x80 \xf0\x9f\x98"


def check(tokenizer: Tokenizer) -> None:
    """Encode and decode the corpus, and see that spans and pieces tile it; takes well under a millisecond.

    Raises:
        DataError: the tokenizer does not give back what it was given.
    """
    vocabulary = tokenizer.vocabulary
    if vocabulary.characters is not None:
        _check_over_characters(tokenizer, vocabulary.characters)
        return
    text = normalize(CORPUS, vocabulary.normalizer)
    if vocabulary.adds_prefix_space:
        text = with_prefix_space(text)
    kept = without_bytes(text, tokenizer.missing_bytes)
    ids, spans = tokenizer.encode_with_spans(CORPUS)
    decoded = tokenizer.decode_bytes(ids)
    if decoded != kept:
        shared = min(len(decoded), len(kept))
        at = next((i for i in range(shared) if decoded[i] != kept[i]), shared)
        raise DataError(
            f"it does not decode to what it encoded: {len(kept)} bytes became {len(decoded)}, and differ from byte "
            f"{at} on, {kept[at : at + 12]!r}; its tokens and merges do not belong together"
        )
    _check_spans(spans)
    piece_ends = _core.split(vocabulary.pattern.splitter(), text)[0].tolist()
    if piece_ends != sorted(set(piece_ends)) or piece_ends[-1:] != [len(text)]:
        name = vocabulary.pattern.name[:80]
        raise DataError(f'its pattern "{name}" does not split a text of {len(text)} bytes into pieces that tile it')


def _check_spans(spans: list[tuple[int, int]]) -> None:
    ends = [0, *(end for _, end in spans)]
    if [begin for begin, _ in spans] != ends[:-1] or ends[-1] != len(CORPUS):
        raise DataError(f"its spans do not tile a text of {len(CORPUS)} bytes: the last one ends at {ends[-1]}")


def _check_over_characters(tokenizer: Tokenizer, rules: CharacterRules) -> None:
    ids, spans = tokenizer.encode_with_spans(CORPUS)
    _check_spans(spans)
    # Without a piece for it, the space symbol becomes three bytes, and these do not become a space again.
    keeps_spaces = rules.escape_spaces and not rules.remove_extra_spaces and rules.has_space()
    is_lossless = keeps_spaces and rules.byte_fallback and not rules.charsmap
    before = b" " if rules.dummy_prefix != "never" and not rules.dummy_suffix and rules.strip_start == "never" else b""
    text = before + CORPUS + (b" " if rules.dummy_suffix and rules.dummy_prefix != "never" else b"")
    decoded = tokenizer.decode_bytes(ids)
    if is_lossless and decoded != text:
        raise DataError(f"it does not decode to what it encoded: {len(text)} bytes became {len(decoded)}")
