"""Timers on the event loop of a client process, with precedence for callbacks that are just due."""

from __future__ import annotations

import asyncio

from coreserver.clock import now_ns
from coreserver.timerfd import Timers

FAR_BEHIND_NS = 5_000_000  # callbacks that are later than this have no precedence


class LoopTimers(Timers):
    """Timers on `loop`. Only the thread of the loop may use them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        loop.add_reader(self.fd, self.ready)

    def catch_up(self) -> bool:
        """Call what became due a moment ago instead of at the next turn of the loop; return whether there was any.

        What is further behind waits for the next turn: a process that cannot keep up must not neglect the replies too.
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
