"""Timers on the event loop of a client process, with precedence for callbacks that have just become due."""

from __future__ import annotations

import asyncio

from coreserver.clock import now_ns
from coreserver.timerfd import Timers

FAR_BEHIND_NS = 5_000_000  # no precedence if the earliest callback is later than this


class LoopTimers(Timers):
    """Timers on `loop`. Loop thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        loop.add_reader(self.fd, self.ready)

    def catch_up(self) -> bool:
        """Call the due callbacks without waiting for the next turn of the loop; return whether there were any.

        If the earliest is later than FAR_BEHIND_NS, all wait for the next turn, so that a process that cannot keep up
        still reads replies.
        """
        due_ns = self.next_due_ns()
        if due_ns is None or not 0 <= now_ns() - due_ns < FAR_BEHIND_NS:
            return False
        self.call_due()
        return True

    def close(self) -> None:
        """Drop the remaining callbacks and close the descriptor."""
        self.loop.remove_reader(self.fd)
        super().close()
