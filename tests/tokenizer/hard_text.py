"""Text that is hard to split, for hypothesis."""

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MAX_EXAMPLES = int(os.environ.get("TEXTMILL_MAX_EXAMPLES", "150"))
examples = settings(
    max_examples=MAX_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# For a property that is tested under many settings of the same code.
fewer_examples = settings(examples, max_examples=max(1, MAX_EXAMPLES // 3))

WHITESPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_WHITESPACE = "\x1c\x1d\x1e\x1f\u180e\u200b\ufeff"
_FRAGMENTS = [
    "'s",
    "'S",
    "'ſ",
    "'ll",
    "'Re",
    "'VE",
    "'t",
    "''d",
    "  ",
    "\n\n",
    "\r\n",
    " \n ",
    "123",
    "1234567",
    "½²Ⅷ",
    "a" * 33,
]
_INVALID = [b"\xff", b"\xc0\x80", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\x80", b"\xc3"]

hard_characters = st.sampled_from(
    WHITESPACE + NOT_WHITESPACE + "aAzſKÅİß中あ한ि\u0301\u0300١½²Ⅷ'’_-.,!🤖\U000e0100\U00010400"
)
hard_text = st.lists(
    st.one_of(hard_characters, st.sampled_from(_FRAGMENTS), st.characters(exclude_categories=["Cs"])), max_size=60
).map("".join)
hard_bytes = st.lists(
    st.one_of(hard_text.map(str.encode), st.sampled_from(_INVALID), st.binary(max_size=6)), max_size=12
).map(b"".join)
# Few different characters, so that pairs repeat, overlap and tie.
repetitive_text = st.lists(st.text(alphabet="aab \n'sé中", max_size=60), min_size=1, max_size=6).filter(any)
