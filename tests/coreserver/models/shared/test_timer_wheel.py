"""The timer wheel: alarms ring once, never early, and cost the loop one timer a slot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coreserver.models.shared.timer_wheel import SLOT_NS, TimerWheel


class Timers:
    """A loop's timers, fired by hand."""

    def __init__(self) -> None:
        self.set: list[tuple[int, Callable[[], None]]] = []

    def call_at(self, due_ns: int, callback: Callable[[], None]) -> None:
        self.set.append((due_ns, callback))

    def advance(self, now_ns: int) -> None:
        due = [timer for timer in self.set if timer[0] <= now_ns]
        self.set = [timer for timer in self.set if timer[0] > now_ns]
        for _, callback in due:
            callback()


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def rung() -> list[str]:
    return []


@pytest.fixture
def deadlines(timers: Timers, rung: list[str]) -> TimerWheel[str]:
    return TimerWheel(timers.call_at, rung.append)


def test_rings_once_and_never_early(deadlines: TimerWheel[str], timers: Timers, rung: list[str]) -> None:
    deadlines.set("anna", 5 * SLOT_NS + 1)
    timers.advance(5 * SLOT_NS + 1)
    assert rung == []
    timers.advance(6 * SLOT_NS)
    timers.advance(60 * SLOT_NS)
    assert rung == ["anna"]


@pytest.mark.parametrize("moved_to", [2, 9])
def test_a_second_deadline_takes_the_place_of_the_first(
    deadlines: TimerWheel[str], timers: Timers, rung: list[str], moved_to: int
) -> None:
    deadlines.set("anna", 5 * SLOT_NS)
    deadlines.set("anna", moved_to * SLOT_NS)
    timers.advance((moved_to - 1) * SLOT_NS)
    assert rung == []
    timers.advance(20 * SLOT_NS)
    assert rung == ["anna"]


def test_a_dropped_peer_and_one_without_a_deadline_do_not_ring(
    deadlines: TimerWheel[str], timers: Timers, rung: list[str]
) -> None:
    deadlines.set("anna", SLOT_NS)
    deadlines.drop("anna")
    deadlines.drop("anna")
    deadlines.set("bert", SLOT_NS)
    deadlines.set("bert", None)
    timers.advance(SLOT_NS)
    assert rung == []


def test_many_peers_of_one_slot_share_a_timer(deadlines: TimerWheel[str], timers: Timers, rung: list[str]) -> None:
    for number in range(1000):
        deadlines.set(f"peer {number}", SLOT_NS - number)
    assert len(timers.set) == 1
    timers.advance(SLOT_NS)
    assert len(rung) == 1000


def test_a_peer_that_is_due_again_at_once_waits_for_the_next_turn(timers: Timers) -> None:
    rung: list[str] = []

    def on_due(peer: str) -> None:
        rung.append(peer)
        wheel.set(peer, SLOT_NS)

    wheel: TimerWheel[str] = TimerWheel(timers.call_at, on_due)
    wheel.set("anna", SLOT_NS)
    timers.advance(SLOT_NS)
    assert rung == ["anna"]
    timers.advance(SLOT_NS)
    assert rung == ["anna", "anna"]
