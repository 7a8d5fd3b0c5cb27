"""Deflated bytes of somebody else, without trust: a few kilobytes of them can stand for gigabytes."""

from __future__ import annotations

import zlib


def inflate(data: bytes, most_bytes: int) -> bytes:
    """What was deflated; no more than `most_bytes` of it is ever made.

    Raises:
        ValueError: there is more, or less than its end, or something after it.
        zlib.error: it was not deflated.
    """
    inflater = zlib.decompressobj()
    found = inflater.decompress(data, most_bytes)
    if inflater.unconsumed_tail or not inflater.eof:
        raise ValueError(f"has more than {most_bytes:,} bytes when inflated, or ends too early")
    if inflater.unused_data:
        raise ValueError("goes on after its end")
    return found
