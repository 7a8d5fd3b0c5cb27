"""The position of a client connection in its run."""

from __future__ import annotations

Place = tuple[int, int, int]  # of a client in the run: its group, its number there, its how-manieth connection
