"""The twin of ``checksums`` in plain Python."""

from __future__ import annotations

_MULTIPLIER = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def block_checksum(block: bytes) -> int:
    """Compute the checksum of one block: four chains of words of 8 bytes, joined, and what is left behind them."""
    chains = [1, 2, 3, 4]
    whole = len(block) - len(block) % 32
    for at in range(0, whole, 8):
        number = at // 8 % 4
        chains[number] = _mix(chains[number], block[at : at + 8])
    state = len(block)
    for chain in chains:
        state = _mix(state, chain.to_bytes(8, "little"))
    for at in range(whole, len(block), 8):
        state = _mix(state, block[at : at + 8])
    return state


def block_checksums(data: bytes, block_bytes: int) -> list[int]:
    """Compute the checksum of each block, the last one shorter."""
    return [block_checksum(data[at : at + block_bytes]) for at in range(0, len(data), block_bytes)]


def _mix(state: int, word: bytes) -> int:
    state = (state ^ int.from_bytes(word, "little")) * _MULTIPLIER & _MASK
    return state ^ (state >> 32)
