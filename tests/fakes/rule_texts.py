"""Texts on which rules fail and do not."""

from __future__ import annotations

from hypothesis import strategies as st

_CHARACTERS = st.characters(exclude_categories=("Cs", "Cn"))
_BITS = st.sampled_from(
    [
        *("the ", "to ", "be", "with ", "a", "b ", "ab ", "#", "...", "…", "• ", "- ", ". ", "! ", '"', "'", "。"),
        *("\n", "\n\n", "\r\n", "\x1c", "\x85", "\u2028", "\u00a0", "漢", "é "),
        *("[1]", "[edit]", "[citation needed]", "[", "٣]", "{", "lorem ipsum ", "Javascript ", "Terms of Use "),
        *("use coo\u212aies ", "word " * 6, "line of text.\n", "x" * 31 + "\n", "x" * 1001),
    ]
)
TEXTS = st.lists(_BITS | _CHARACTERS, max_size=60).map("".join) | st.lists(_BITS, max_size=12).map(
    lambda bits: "".join(bits) * 3
)
