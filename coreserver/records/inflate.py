"""Inflate untrusted bytes within a limit: a few deflated kilobytes can contain gigabytes."""

from __future__ import annotations

import zlib


def inflate(data: bytes, max_bytes: int) -> bytes:
    """Inflate `data` to at most `max_bytes`.

    Raises:
        ValueError: the result is longer, the data ends too early, or other bytes follow it.
        zlib.error: the data is not deflated.
    """
    inflater = zlib.decompressobj()
    found = inflater.decompress(data, max_bytes)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError(f"has more than {max_bytes:,} bytes when inflated, or ends too early")
    if inflater.unused_data:
        raise ValueError("has other bytes after its end")
    return found
