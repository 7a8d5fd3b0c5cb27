"""Readiness of sockets for clients without asyncio transports: an epoll instance inside the event loop.

The transports of an event loop are designed for long connections with large data. Creating one costs as much as a whole
short exchange, and their layers cost time for each of up to 100,000 small replies per second: without transports a
connection costs a third less.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
MAX_BATCH = 32  # sockets handled in one turn of the loop, which has other work to do

Handler = Callable[[int], object]


class Poller:
    """Poller that calls the handler of every ready socket. Loop thread only.

    Args:
        catch_up: called after each socket; runs the due callbacks and returns whether there were any. If so, the poller
            polls again, because a descriptor may belong to another socket by then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, catch_up: Callable[[], bool]) -> None:
        self._loop = loop
        self._catch_up = catch_up
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` with the events that `fd` is ready for; errors and hang-ups are always reported."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Watch `fd` for `events` from now on."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching `fd`, which the caller closes next; the kernel removes it then."""
        self._handlers.pop(fd, None)

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        handlers = self._handlers
        left = MAX_BATCH
        while left and (ready := self._epoll.poll(0, left)):
            for fd, events in ready:
                left -= 1
                if handler := handlers.get(fd):
                    handler(events)
                if self._catch_up():
                    break
            else:
                return
