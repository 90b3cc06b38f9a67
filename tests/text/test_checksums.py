"""Block checksums equal their twin's, and every flipped bit shows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.text import reference_checksums
from textmill.text.checksums import block_checksums


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=300), block_bytes=st.integers(1, 120))
def test_they_are_the_twins(data, block_bytes):
    assert block_checksums(data, block_bytes).tolist() == reference_checksums.block_checksums(data, block_bytes)


@settings(deadline=None, max_examples=20)
@given(data=st.binary(min_size=1, max_size=100))
def test_every_flipped_bit_shows(data):
    before = int(block_checksums(data, 128)[0])
    for bit in range(8 * len(data)):
        flipped = np.frombuffer(data, np.uint8).copy()
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert int(block_checksums(flipped, 128)[0]) != before
