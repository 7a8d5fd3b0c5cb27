"""The version of encoded records, in a module that other packages can import without the codec."""

from __future__ import annotations

FORMAT = 3  # of `codec.encode_connections`
