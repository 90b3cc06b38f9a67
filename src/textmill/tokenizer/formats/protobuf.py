"""Reading the wire format of protocol buffers: what a message holds, field by field."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from textmill.base.errors import DataError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT_BYTES = 10

Field = tuple[int, int, int | memoryview]


def fields(message: memoryview) -> Iterator[Field]:
    """Yield (number, wire type, value) of each field; bytes and fixed sizes as views of the message.

    Raises:
        DataError: the message ends inside a field, or has a wire type that is not in use.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise DataError(f"a field before byte {at} has the number 0, so this is no protocol buffer")
        if wire_type == VARINT:
            value, at = _varint(message, at)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, at = _varint(message, at)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise DataError(f"field {number} before byte {at} has the wire type {wire_type}, which is not in use")
        if size > len(message) - at:
            raise DataError(
                f"field {number} claims {size} bytes at byte {at} of {len(message)}; the file is damaged or incomplete"
            )
        yield number, wire_type, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(message[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + place + 1
    raise DataError(f"a number at byte {at} of {len(message)} has no end; the file is damaged or incomplete")


def to_view(field: Field, name: str) -> memoryview:
    """Take the bytes of a field; raises ``DataError`` where it is of another type."""
    _, wire_type, value = field
    if wire_type != BYTES or not isinstance(value, memoryview):
        raise DataError(f"{name} has the wire type {wire_type}, and must be bytes")
    return value


def to_text(field: Field, name: str) -> str:
    """Take a text; raises ``DataError`` where it is of another type or not UTF-8."""
    try:
        return str(to_view(field, name), "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8: byte {error.start} cannot be decoded") from error


def to_int(field: Field, name: str) -> int:
    """Take a whole number, negative ones as protocol buffers write int32."""
    _, wire_type, value = field
    if wire_type != VARINT or not isinstance(value, int):
        raise DataError(f"{name} has the wire type {wire_type}, and must be a whole number")
    return value - (1 << 64) if value >= 1 << 63 else value


def to_float(field: Field, name: str) -> float:
    """Take a 32-bit floating point number."""
    _, wire_type, value = field
    if wire_type != FIXED32 or not isinstance(value, memoryview):
        raise DataError(f"{name} has the wire type {wire_type}, and must be a 32-bit number")
    return struct.unpack("<f", value)[0]
