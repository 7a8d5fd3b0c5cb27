"""Ctrl-C and SIGTERM while a command works: heard where it can stop, remembered where it has something to finish."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

EXIT_INTERRUPTED = 130

# One Ctrl-C may come twice: from the terminal, and from `timeout` or `make`, which pass it on.
SAME_S = 0.5


class SignalGuard:
    """Whether the person at the shell wants the end. Use it in a `with` block, in the main thread.

    The first signal raises KeyboardInterrupt where the work is `heard`, and is only remembered elsewhere; a later one
    raises it wherever the work is.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: float | None = None
        self._is_listening = False
        self._stack = contextlib.ExitStack()

    @property
    def is_asked(self) -> bool:
        """Whether there was a signal."""
        return self._asked_at is not None

    def __enter__(self) -> SignalGuard:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._stack.callback(signal.signal, number, signal.signal(number, self._on_signal))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """What may be broken off at any instant. Raises KeyboardInterrupt, at once if there was a signal before."""
        self._is_listening = True
        try:
            if self.is_asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_listening = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        now, first = self._clock(), self._asked_at
        if first is None:
            self._asked_at = now
        if self._is_listening if first is None else now - first > SAME_S:
            raise KeyboardInterrupt
