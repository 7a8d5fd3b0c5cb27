"""The version of the stored form of records, apart from the code that reads and writes it."""

from __future__ import annotations

FORMAT = 3  # of `codec.encode_connections`
