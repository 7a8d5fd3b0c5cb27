"""The queue of a pool: its order, its limit, and which threads it wakes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from coreserver.models.shared.open_connections import Connection
from coreserver.models.shared.worker_queue import WorkerQueue
from coreserver.records.server import ConnectionRecord, Discipline
from tests.support.servers import wait_until

OLDEST_FIRST, NEWEST_FIRST = Discipline.FIRST_COME_FIRST_SERVED, Discipline.LAST_COME_FIRST_SERVED
DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def sock() -> Iterator[socket.socket]:
    with socket.socket() as one:
        yield one


@pytest.fixture
def connection(sock: socket.socket) -> Callable[[int], Connection]:
    return lambda number: Connection(sock, ConnectionRecord(number, ("127.0.0.1", number), 0))


Connect = Callable[[int], Connection]


def numbers(connections: list[Connection]) -> list[int]:
    return [connection.record.number for connection in connections]


@contextmanager
def waiting(queue: WorkerQueue, work: Callable[[], object]) -> Iterator[Future[object]]:
    """Run `work` in another thread, and close the queue at the end so that it returns."""
    with ThreadPoolExecutor(1) as other:
        try:
            yield other.submit(work)
        finally:
            queue.close()


@pytest.mark.parametrize(
    ("discipline", "expected"), [(OLDEST_FIRST, [1, 2, 3]), (NEWEST_FIRST, [3, 2, 1])], ids=["oldest", "newest"]
)
def test_take_follows_the_discipline(discipline: Discipline, expected: list[int], connection: Connect) -> None:
    queue = WorkerQueue(discipline)
    for number in (1, 2, 3):
        assert queue.put(connection(number))
    taken = [queue.take() for _ in range(3)]
    assert numbers([one for one in taken if one is not None]) == expected


def test_depth_counts_what_waits(connection: Connect) -> None:
    queue = WorkerQueue()
    assert queue.depth == 0
    queue.put(connection(1))
    queue.put(connection(2))
    assert queue.depth == 2
    queue.take()
    assert queue.depth == 1


def test_full_queue_rejects_an_offer(connection: Connect) -> None:
    queue = WorkerQueue(limit=1)
    assert queue.offer(connection(1))
    assert not queue.offer(connection(2))
    assert numbers(queue.close()) == [1]


def test_idle_worker_makes_room(connection: Connect) -> None:
    queue = WorkerQueue(limit=0)
    assert not queue.offer(connection(1))
    with waiting(queue, queue.take) as taken:
        wait_until(lambda: queue.offer(connection(2)), "a worker is idle")
        found = taken.result(DEADLINE_S)
    assert isinstance(found, Connection)
    assert found.record.number == 2


def test_put_blocks_until_there_is_room(connection: Connect) -> None:
    queue = WorkerQueue(limit=1)
    queue.put(connection(1))
    with waiting(queue, lambda: queue.put(connection(2))) as added:
        wait_until(lambda: queue.depth == 2, "the second connection waits for room")
        assert not added.done()
        first = queue.take()
        assert added.result(DEADLINE_S) is True
        second = queue.take()
    assert first is not None
    assert second is not None
    assert numbers([first, second]) == [1, 2]


def test_take_waits_for_a_connection(connection: Connect) -> None:
    queue = WorkerQueue()
    with waiting(queue, queue.take) as taken:
        queue.put(connection(5))
        found = taken.result(DEADLINE_S)
    assert isinstance(found, Connection)
    assert found.record.number == 5


def test_take_gives_up_after_its_timeout() -> None:
    assert WorkerQueue().take(timeout_s=0.01) is None


@pytest.mark.parametrize("method", ["put", "take", "wait_overdue"])
def test_close_wakes_every_waiting_thread(method: str, connection: Connect) -> None:
    queue = WorkerQueue(limit=0)
    began = threading.Event()
    works: dict[str, Callable[[], object]] = {
        "put": lambda: queue.put(connection(1)),
        "take": queue.take,
        "wait_overdue": lambda: queue.wait_overdue(0.0),
    }

    def work() -> object:
        began.set()
        return works[method]()

    with waiting(queue, work) as result:
        assert began.wait(DEADLINE_S)
        queue.close()
        assert not result.result(DEADLINE_S)


def test_close_returns_what_waits(connection: Connect) -> None:
    queue = WorkerQueue(NEWEST_FIRST)
    queue.put(connection(1))
    queue.put(connection(2))
    assert numbers(queue.close()) == [1, 2]
    assert queue.close() == []


def test_closed_queue_takes_nothing_more(connection: Connect) -> None:
    queue = WorkerQueue()
    queue.close()
    assert queue.is_closed
    assert not queue.put(connection(1))
    assert not queue.offer(connection(1))
    assert queue.take() is None


@pytest.mark.parametrize("discipline", [OLDEST_FIRST, NEWEST_FIRST], ids=["oldest", "newest"])
def test_overdue_is_the_oldest_wait(discipline: Discipline, connection: Connect) -> None:
    queue = WorkerQueue(discipline)
    queue.put(connection(1))
    waited_s = queue.wait_overdue(0.05)
    queue.put(connection(2))
    assert waited_s is not None
    assert waited_s >= 0.05
    again_s = queue.wait_overdue(0.0)
    assert again_s is not None
    assert again_s >= waited_s


def test_overdue_counts_from_a_later_instant(connection: Connect) -> None:
    queue = WorkerQueue()
    queue.put(connection(1))
    since = time.monotonic() + 0.05
    queue.wait_overdue(0.02, since=since)
    assert time.monotonic() >= since + 0.02


def test_nothing_is_overdue_with_an_idle_worker(connection: Connect) -> None:
    queue = WorkerQueue(limit=0)
    with ThreadPoolExecutor(1) as worker, waiting(queue, lambda: queue.wait_overdue(0.0)) as overdue:
        taken = worker.submit(queue.take)
        wait_until(lambda: queue.offer(connection(1)), "the worker is idle")
        assert taken.result(DEADLINE_S) is not None
        assert not overdue.done()
        queue.close()
        assert overdue.result(DEADLINE_S) is None


def test_many_threads_lose_no_connection(connection: Connect) -> None:
    queue = WorkerQueue(NEWEST_FIRST, limit=3)
    taken: list[int] = []  # list.append is atomic

    def work() -> None:
        while (found := queue.take()) is not None:
            taken.append(found.record.number)

    with ThreadPoolExecutor(4) as workers:
        for _ in range(4):
            workers.submit(work)
        for number in range(500):
            assert queue.put(connection(number))
        wait_until(lambda: queue.depth == 0, "every connection was taken")
        queue.close()
    assert sorted(taken) == list(range(500))
