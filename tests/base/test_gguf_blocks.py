"""The blocks of GGUF against gguf's own: the very same numbers, and the very same bytes."""

import gguf
import numpy as np
import pytest
from gguf import quants
from hypothesis import given
from hypothesis import strategies as st

from textmill.base.errors import DataError
from textmill.base.gguf_blocks import READABLE, WRITABLE, dequantize, quantize

pytestmark = pytest.mark.peer


def type_of(name):
    return gguf.GGMLQuantizationType[name]


def bytes_of(name, shape, rng):
    """Random bytes of a tensor, but for the float16 numbers in them, which are finite."""
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[type_of(name)]
    blocks = rng.integers(0, 256, (int(np.prod(shape)) // block_size, block_bytes), dtype=np.uint8)
    if name in {"F32", "F16", "BF16"}:
        return quants.quantize(rng.normal(size=shape).astype(np.float32), type_of(name)).view(np.uint8).reshape(-1)
    places = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}.get(name, (0,))
    for place in places:
        blocks[:, place : place + 2] = rng.normal(size=(len(blocks), 1)).astype("<f2").view(np.uint8)
    return blocks.reshape(-1)


@pytest.mark.parametrize("name", READABLE)
def test_reading_gives_the_values_of_gguf(name):
    rng = np.random.default_rng(1)
    for shape in [(256,), (3, 512), (2, 5, 256)]:
        data = bytes_of(name, shape, rng)
        rows = data.reshape(*shape[:-1], -1)
        expected = quants.dequantize(rows.view({"F32": "<f4", "F16": "<f2"}.get(name, np.uint8)), type_of(name))
        values = dequantize(name, data, shape)
        assert values.dtype == np.float32
        assert np.array_equal(values, np.asarray(expected, np.float32).reshape(shape))


@pytest.mark.parametrize("name", WRITABLE)
@given(seed=st.integers(0, 1 << 32), scale=st.sampled_from([0.0, 1e-30, 1e-3, 1.0, 300.0]))
def test_writing_gives_the_bytes_of_gguf(name, seed, scale):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(3, 96)) * scale).astype(np.float32)
    values[0, 32:64] = 0
    values[1, :32] = rng.integers(-8, 9, 32) / 2  # halves
    expected = np.ascontiguousarray(quants.quantize(values, type_of(name))).view(np.uint8).reshape(-1)
    written = quantize(name, values)
    assert written.tobytes() == expected.tobytes()
    assert np.allclose(dequantize(name, written, values.shape), values, atol=np.abs(values).max() / 7 + 1e-30)


def test_bfloat16_keeps_what_is_no_number():
    values = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    read = dequantize("BF16", quantize("BF16", values), (4,))
    assert np.isnan(read[0])
    assert np.array_equal(read[1:], values[1:])
    assert np.signbit(read[3])


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match="of the type IQ2_S cannot be read; these can: F32, F16"):
        dequantize("IQ2_S", b"", (256,))
    with pytest.raises(DataError, match="33 bytes are not the 32 values of a tensor of the type Q8_0"):
        dequantize("Q8_0", bytes(33), (32,))
    with pytest.raises(DataError, match="68 bytes are not the 65 values"):
        dequantize("Q8_0", bytes(68), (65,))
    with pytest.raises(DataError, match="cannot be written as Q6_K; the types are F32, F16, BF16, Q8_0, Q4_0"):
        quantize("Q6_K", np.zeros((1, 256), np.float32))
    with pytest.raises(DataError, match=r"rows of 48 values are not filled by blocks of 32 \(Q8_0\)"):
        quantize("Q8_0", np.zeros((2, 48), np.float32))
