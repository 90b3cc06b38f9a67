"""Texts that are hard to split: words at the ends of windows, and characters of every kind in any order."""

import random
import unicodedata

from hypothesis import strategies as st

# Windows of 64 bytes are looked at, and what touches their end again in the next one.
EDGES = st.lists(
    st.sampled_from([*"a1-.,' \n#\x00\x1c", "word", "x" * 61, "--", "é", "’", "\u0301", "漢"]), max_size=40
).map("".join)

_KINDS = [
    "aAzZ09 \n\t'-_.,\x00\x1c\x7f",
    "éÉſKßẞİσςΣжЖﬁⅧǅ",
    "\u0301\u0308\u00ad\u200b\u200d\u2060\ufe0f\ufeff",
    "漢字かカｶﾞーー々กิ็ພမក",
    "한가힣ᄒ\u1161\u11ab",
    "٣²½①𝟘𐐀𐐨😀🏽\U0001f1e9\u2028\u00a0…’",
]


def nasty_text(length: int) -> str:
    """Make a text of so many characters, always the same one: short stretches of a kind, or of all that Unicode has."""
    generator = random.Random(length)
    characters: list[str] = []
    while len(characters) < length:
        kind = generator.choice([*_KINDS, ""])
        characters += [generator.choice(kind) if kind else _any(generator) for _ in range(generator.choice([1, 2, 7]))]
    return "".join(characters[:length])


def _any(generator: random.Random) -> str:
    """Pick a character that Python's tables know, of the planes that hold any."""
    while True:
        character = chr(generator.randrange(generator.choice([0x800, 0x10000, 0x20000, 0x110000])))
        if unicodedata.category(character) not in ("Cn", "Cs"):
            return character
