"""sentencepiece models that are damaged, lie, or are made to exhaust: each is a DataError, and quickly."""

import random
import struct
import time

import numpy as np
import pytest

from textmill import Tokenizer
from textmill.base.errors import DataError
from tokenizer import sentencepiece_models as models

PIECES = [*models.CONTROLS, *models.BYTES, ("\u2581", -1.0, 1), ("a", -2.0, 1), ("\u2581a", -3.0, 1), ("<sep>", 0.0, 4)]
GOOD = models.model(PIECES, byte_fallback=True)
TEXT = "a text, a<sep>text: naïve 中 \u2581 a a a"


def load(tmp_path, data, name="tokenizer.model"):
    path = tmp_path / name
    path.write_bytes(data)
    return Tokenizer.load(path)


def test_the_file_that_is_damaged_below_is_good(tmp_path):
    tokenizer = load(tmp_path, GOOD)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT.replace("\u2581", " ")


def test_cut_off_anywhere(tmp_path):
    for size in range(0, len(GOOD) - 1, 7):
        with pytest.raises(DataError):
            load(tmp_path, GOOD[:size])


def test_bits_flipped_are_refused_or_still_a_whole_tokenizer(tmp_path):
    draw = random.Random(3)
    for _ in range(600):
        data = bytearray(GOOD)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            tokenizer = load(tmp_path, bytes(data))
        except DataError as error:
            str(error).encode()
            continue
        ids, spans = tokenizer.encode_with_spans(TEXT)
        assert spans[-1][1] == len(TEXT.encode())
        tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither byte fallback nor an unknown|model_type is Unigram"),
        (b"\x00" * 1000, "number 0"),
        (b"\xff" * 1000, "has no end"),
        (models.varint(1 << 3 | 2) + b"\x80" * 9 + b"\x01", "claims"),
        (models.varint(1 << 3 | 2) + models.varint(1 << 62), "claims 4611686018427387904 bytes"),
        (b"\x0a\x05abc", "claims 5 bytes"),
        (models.varint(1 << 3 | 3), "wire type 3"),
        (models.varint(1 << 3 | 7), "wire type 7"),
        (models.number(1, 5), "piece has the wire type 0"),
        (models.data(1, models.number(1, 5)), "piece 0 has the wire type 0"),
        (models.data(1, models.data(1, b"\xff\xfe")), "not UTF-8"),
        (models.data(1, models.data(1, b"a") + models.data(2, b"1234")), "score of piece 0 has the wire type 2"),
        (models.data(1, models.data(1, b"a") + models.number(3, 7)), "type 7"),
        (models.data(1, models.data(1, b"a") + models.number(3, -1)), "type -1"),
        (models.data(2, models.data(3, b"BPE")), "model_type has the wire type 2"),
        (models.data(3, models.number(2, 1)), "precompiled_charsmap has the wire type 0"),
    ],
)
def test_wire_formats_that_are_none(tmp_path, data, reason):
    with pytest.raises(DataError, match=reason):
        load(tmp_path, data)


@pytest.mark.parametrize(
    ("pieces", "options", "reason"),
    [
        (PIECES, {"model_type": 1}, "Unigram"),
        (PIECES, {"model_type": 3}, "Word"),
        (PIECES, {"model_type": 4}, "Char"),
        (PIECES, {"model_type": 99}, "99"),
        ([*PIECES, ("a", -9.0, 1)], {"byte_fallback": True}, "pieces 260 and 263 have the same text"),
        ([*PIECES, ("<s>", -9.0, 1)], {"byte_fallback": True}, "same text"),
        ([*PIECES, ("", -9.0, 1)], {"byte_fallback": True}, "piece 263 is empty"),
        ([*PIECES, ("", 0.0, 3)], {"byte_fallback": True}, "piece 263 is empty"),
        ([*PIECES, ("x", float("nan"), 1)], {"byte_fallback": True}, "score nan"),
        ([*PIECES, ("x", float("-inf"), 1)], {"byte_fallback": True}, "score -inf"),
        ([*PIECES, ("x", 0.0, 6)], {"byte_fallback": True}, "not written as one"),
        ([*PIECES, ("<0xab>", 0.0, 6)], {"byte_fallback": True}, "not written as one"),
        ([*PIECES, ("x", 0.0, 2)], {"byte_fallback": True}, "both stand for what is unknown"),
        ([*PIECES, ("x" * 513, 0.0, 1)], {"byte_fallback": True}, "has 513 bytes, .* at most 512"),
        ([*models.CONTROLS, *models.BYTES[1:]], {"byte_fallback": True}, "no piece <0x00>"),
        ([("a", 0.0, 1)], {}, "neither byte fallback nor an unknown token"),
        (PIECES, {"byte_fallback": True, "charsmap": b"abc"}, "charsmap of 3 bytes"),
        (PIECES, {"byte_fallback": True, "charsmap": b"\xff\xff\xff\xff" + b"x" * 100}, "claims a table of 4294967295"),
        (PIECES, {"byte_fallback": True, "charsmap": struct.pack("<II", 4, 0) + b"abc"}, "no end"),
        (PIECES, {"byte_fallback": True, "charsmap": struct.pack("<II", 4, 0) + b"x" * 9999 + b"\0"}, "no end"),
    ],
)
def test_models_that_contradict_themselves(tmp_path, pieces, options, reason):
    with pytest.raises(DataError, match=reason):
        load(tmp_path, models.model(pieces, **options))


def test_a_denormalizer_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="denormalizer_spec"):
        load(tmp_path, GOOD + models.data(5, models.data(2, b"abc")))


def test_charsmaps_of_noise_stay_inside_their_bounds(tmp_path):
    draw = np.random.default_rng(4)
    for _ in range(200):
        units = draw.integers(0, 1 << 32, size=64, dtype=np.uint32)
        units &= draw.choice(np.array([0xFFFFFFFF, 0x800003FF, 0x0001FFFF], dtype=np.uint32))
        charsmap = struct.pack("<I", 256) + units.tobytes() + b"x\0" * 8
        tokenizer = load(tmp_path, models.model(PIECES, byte_fallback=True, charsmap=charsmap))
        ids, spans = tokenizer.encode_with_spans(bytes(range(256)) * 4)
        assert not ids or spans[-1][1] == 1024


def test_long_and_many_pieces_load_quickly(tmp_path):
    draw = random.Random(5)
    many = {"".join(draw.choices("ab", k=draw.randrange(300, 512))) for _ in range(3000)}
    runs = [("a" * size, -float(size), 1 + size % 2 * 3) for size in range(2, 512)]
    pieces = [*PIECES, *((text, draw.random(), 1) for text in sorted(many)), *runs]
    start = time.process_time()
    tokenizer = load(tmp_path, models.model(pieces, byte_fallback=True))
    ids = tokenizer.encode("a" * 100_000)
    assert time.process_time() - start < 10
    assert len(ids) < 1000
