"""Checksums of blocks, quicker than memory is read; the native core makes them."""

from __future__ import annotations

from textmill._core import block_checksums

__all__ = ["block_checksums"]
