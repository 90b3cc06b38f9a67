"""sentencepiece models made by hand: the wire format of protocol buffers, written a field at a time."""

import struct

BYTES = [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
CONTROLS = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]


def varint(value):
    value &= (1 << 64) - 1
    data = b""
    while value >= 0x80:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(int(value))


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def piece(text, score, kind):
    content = data(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind)
    return data(1, content)


def model(
    pieces,
    *,
    model_type=2,
    byte_fallback=False,
    suffix=False,
    prefix=True,
    remove_spaces=False,
    escape=True,
    charsmap=b"",
):
    """The bytes of a model with these (text, score, type)."""
    trainer = number(3, model_type) + number(24, suffix) + number(35, byte_fallback)
    normalizer = data(2, charsmap) + number(3, prefix) + number(4, remove_spaces) + number(5, escape)
    return b"".join(piece(*entry) for entry in pieces) + data(2, trainer) + data(3, normalizer)
