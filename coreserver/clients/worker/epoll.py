"""Readiness of sockets, for clients that read and write by themselves: an epoll of our own inside the event loop.

A loop's transports are made for long connections of large data. Making one costs as much as a whole short exchange, and
at a hundred thousand small replies a second their layers show as well: without them a connection costs a third less.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
BATCH = 32  # sockets attended to in one turn of the loop, which has other duties too

Handler = Callable[[int], object]


class Poller:
    """Calls the handler of every socket that is ready. The loop's own thread alone may use it.

    Args:
        attend_to_due: called after each socket: does what cannot wait, and says whether there was any. Then we ask
            anew which sockets are ready: a descriptor may since be another socket's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, attend_to_due: Callable[[], bool]) -> None:
        self._loop = loop
        self._attend_to_due = attend_to_due
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` with what `fd` is ready for, as long as it is so; errors and ends are always told."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """From now on `fd` is watched for these."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """`fd` is about to be closed, by which the kernel forgets it too."""
        self._handlers.pop(fd, None)

    def close(self) -> None:
        """Free the descriptor."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        handlers = self._handlers
        left = BATCH
        while left and (ready := self._epoll.poll(0, left)):
            for fd, events in ready:
                left -= 1
                if handler := handlers.get(fd):
                    handler(events)
                if self._attend_to_due():
                    break
            else:
                return
