"""SIGINT and SIGTERM during a command: interrupt it at once where that is safe, otherwise at the next safe point."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

# One Ctrl-C may arrive twice: from the terminal, and from `timeout` or `make`, which forward it.
SAME_SIGNAL_S = 0.5


class SignalGuard:
    """Context manager that handles SIGINT and SIGTERM; for the main thread.

    The first signal raises KeyboardInterrupt inside an `interruptible` block; outside of one it only sets
    `is_signalled`. A later signal raises KeyboardInterrupt anywhere.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first_at: float | None = None
        self._is_interruptible = False
        self._stack = contextlib.ExitStack()

    @property
    def is_signalled(self) -> bool:
        """Whether a signal has arrived."""
        return self._first_at is not None

    def __enter__(self) -> SignalGuard:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._stack.callback(signal.signal, number, signal.signal(number, self._on_signal))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Allow the first signal to raise KeyboardInterrupt in this block; raises at once if it has arrived before."""
        self._is_interruptible = True
        try:
            if self.is_signalled:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_interruptible = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        now, first = self._clock(), self._first_at
        if first is None:
            self._first_at = now
        if self._is_interruptible if first is None else now - first > SAME_SIGNAL_S:
            raise KeyboardInterrupt
