"""The 256 characters that stand for bytes in a tokenizer.json, as GPT-2 chose them."""

from __future__ import annotations

from textmill import _core

# Printable bytes of Latin-1 stand for themselves, the others for U+0100 and on: a space is U+0120, a newline U+010A.
BYTE_ORDER = _core.alphabet()
_NUM_PRINTABLE = 188
CHARACTER_OF_BYTE = {
    byte: chr(byte) if place < _NUM_PRINTABLE else chr(0x100 + place - _NUM_PRINTABLE)
    for place, byte in enumerate(BYTE_ORDER)
}
BYTE_OF_CHARACTER = {character: byte for byte, character in CHARACTER_OF_BYTE.items()}


def to_characters(token: bytes) -> str:
    """Write the bytes of a token as a tokenizer.json does."""
    return "".join(map(CHARACTER_OF_BYTE.__getitem__, token))


def to_bytes(characters: str) -> bytes:
    """Read a token as a tokenizer.json writes it; raises ``KeyError`` with a character that stands for no byte."""
    return bytes(map(BYTE_OF_CHARACTER.__getitem__, characters))
