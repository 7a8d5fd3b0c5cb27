"""The position of a client connection in its run."""

from __future__ import annotations

Place = tuple[int, int, int]  # group, number of the client in the group, number of the connection of the client
