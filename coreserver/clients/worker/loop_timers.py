"""The clock of a client process: timers on its event loop, and precedence for what has just come due."""

from __future__ import annotations

import asyncio

from coreserver.clock import now_ns
from coreserver.timerfd import Timers

FAR_BEHIND_NS = 5_000_000  # from here on what is due goes without precedence


class LoopTimers(Timers):
    """Timers on `loop`. The loop's own thread alone may call them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        loop.add_reader(self.fd, self.ready)

    def catch_up(self) -> bool:
        """Call what became due a moment ago and would else wait for the loop to come round; whether there was any.

        What waits longer does so until then: who cannot keep up must not neglect the replies as well.
        """
        due_ns = self.next_due_ns()
        if due_ns is None or not 0 <= now_ns() - due_ns < FAR_BEHIND_NS:
            return False
        self.call_due()
        return True

    def close(self) -> None:
        """Forget what is left and free the descriptor."""
        self.loop.remove_reader(self.fd)
        super().close()
