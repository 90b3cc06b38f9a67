"""GGUF headers that are damaged, lie, or are made to exhaust: each is a DataError, quickly and in little memory."""

import random
import struct
import time
import tracemalloc

import pytest

from base.gguf_files import array, gguf_file, tensor, text, value
from textmill import Tokenizer
from textmill.base.errors import DataError
from textmill.base.gguf import read_header

HUGE = 1 << 62
F32 = 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGUF", "ends within its header, after 4 bytes"),
        (gguf_file(magic=b"GGML"), "begins with b'GGML'"),
        (gguf_file(version=1), "its version is 1"),
        (gguf_file(version=0x03000000), "big-endian"),
        (gguf_file(num_values=HUGE), f"claims {HUGE:,} values"),
        (gguf_file(num_tensors=HUGE), f"claims {HUGE:,} tensors"),
        (gguf_file(struct.pack("<Q", HUGE), num_values=1, data=b""), "claims 1 values|ends within its header"),
        (gguf_file(value("a", 9, array(8, HUGE, b""))), 'strings in "a"'),
        (gguf_file(value("a", 9, array(4, HUGE, b""))), 'numbers in "a"'),
        (gguf_file(value("a", 9, array(8, 1, struct.pack("<Q", HUGE)))), "ends within its header"),
        (gguf_file(value("a", 9, array(8, 2, text("b") + struct.pack("<Q", 5)))), "ends within its header"),
        (gguf_file(value("a", 9, array(8, 2, text("b") + text(b"c\xff") + bytes(8)))), "not UTF-8: byte 67"),
        (gguf_file(value("a", 9, array(9, 1, array(9, 1, b"12345678")))), "array of arrays"),
        (gguf_file(value("a", 99, b"12345678")), "type 99"),
        (gguf_file(value("a", 9, array(99, 1, b"12345678"))), "type 99"),
        (gguf_file(value("a", 7, b"\x02")), "boolean of 2"),
        (gguf_file(value("a", 9, array(7, 3, b"\x00\x01\x07"))), "boolean of 7"),
        (gguf_file(value("a", 8, text(b"\xff\xfe"))), "not UTF-8: byte"),
        (gguf_file(value(b"\xff", 7, b"\x00") + b"12345678"), "not UTF-8"),
        (gguf_file(value("", 7, b"\x00") + b"12345678"), "a name is empty"),
        (gguf_file(value("a", 7, b"\x00"), value("a", 7, b"\x01")), 'names "a" twice'),
        (gguf_file(value("general.alignment", 4, struct.pack("<I", 0))), "alignment is 0"),
        (gguf_file(value("general.alignment", 4, struct.pack("<I", 12))), "alignment is 12"),
        (gguf_file(value("general.alignment", 8, text("32"))), "alignment is 32"),
        (gguf_file(tensors=[tensor("t", (HUGE,), F32, 0)]), "ends at byte"),
        (gguf_file(tensors=[tensor("t", (HUGE, HUGE, HUGE, HUGE), F32, 0)]), "ends at byte"),
        (gguf_file(tensors=[tensor("t", (1,), F32, HUGE)]), "ends at byte"),
        (gguf_file(tensors=[tensor("t", (1,), F32, 4)], data=bytes(64)), "multiple of 32"),
        (gguf_file(tensors=[tensor("t", (1,), 99, 0)], data=bytes(64)), "type 99"),
        (gguf_file(tensors=[tensor("t", (33,), 2, 0)], data=bytes(64)), "blocks of 32"),
        (gguf_file(tensors=[tensor("t" * 9000, (1,), F32, 0)], data=bytes(64)), "a name of 9,000 letters"),
        (gguf_file(tensors=[tensor("t", (1,) * 5, F32, 0)], data=bytes(64)), "has 5 dimensions"),
        (gguf_file(tensors=[tensor("t", (), F32, 0)] * 2, data=bytes(64)), "has 0 dimensions"),
        (gguf_file(tensors=[tensor("t", (9,), F32, 0), tensor("u", (1,), F32, 32)], data=bytes(64)), "overlap"),
        (gguf_file(tensors=[tensor("t", (1,), F32, 0)] * 2, data=bytes(64)), 'names "t" twice'),
        (bytes(100_000), "begins with"),
        (b"GGUF" + b"\xff" * 100_000, "its version is"),
    ],
)
@pytest.mark.alone
def test_headers_that_lie(tmp_path, data, message):
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(DataError, match=message):
            read_header(path)
        with pytest.raises(DataError, match=message):
            Tokenizer.load(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.process_time() - start < 2
    assert peak < 4_000_000


def test_a_header_larger_than_any(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_file(value("a", 9, array(0, 1 << 30, b"")), num_values=1))
    with path.open("r+b") as file:
        file.truncate(3 << 30)  # sparse
    with pytest.raises(DataError, match="claims 1,073,741,824 numbers"):
        read_header(path)


def test_cut_off_anywhere_or_one_bit_flipped(tmp_path):
    tokens = b"".join(map(text, "abc"))
    good = gguf_file(
        value("tokenizer.ggml.model", 8, text("gpt2")),
        value("tokenizer.ggml.tokens", 9, array(8, 3, tokens)),
        value("tokenizer.ggml.token_type", 9, array(5, 3, struct.pack("<3i", 1, 1, 1))),
        tensors=[tensor("t", (4,), F32, 0)],
        data=bytes(16),
    )
    path = tmp_path / "x.gguf"
    path.write_bytes(good)
    read_header(path)
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(DataError):
            read_header(path)
    draw = random.Random(3)
    for _ in range(500):
        data = bytearray(good)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            read_header(path)
        except DataError as error:
            str(error).encode()
        with pytest.raises(DataError):  # three tokens are no 256 bytes
            Tokenizer.load(path)
