"""The timer wheel: a timer fires once, never early, and the loop has one timer per slot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coreserver.models.shared.timer_wheel import SLOT_NS, TimerWheel


class Timers:
    """A loop's timers, fired by the test."""

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
def fired() -> list[str]:
    return []


@pytest.fixture
def wheel(timers: Timers, fired: list[str]) -> TimerWheel[str]:
    return TimerWheel(timers.call_at, fired.append)


def test_fires_once_and_never_early(wheel: TimerWheel[str], timers: Timers, fired: list[str]) -> None:
    wheel.set("first", 5 * SLOT_NS + 1)
    timers.advance(5 * SLOT_NS + 1)
    assert fired == []
    timers.advance(6 * SLOT_NS)
    timers.advance(60 * SLOT_NS)
    assert fired == ["first"]


@pytest.mark.parametrize("moved_to", [2, 9])
def test_second_deadline_replaces_the_first(
    wheel: TimerWheel[str], timers: Timers, fired: list[str], moved_to: int
) -> None:
    wheel.set("first", 5 * SLOT_NS)
    wheel.set("first", moved_to * SLOT_NS)
    timers.advance((moved_to - 1) * SLOT_NS)
    assert fired == []
    timers.advance(20 * SLOT_NS)
    assert fired == ["first"]


def test_dropped_timers_do_not_fire(wheel: TimerWheel[str], timers: Timers, fired: list[str]) -> None:
    wheel.set("first", SLOT_NS)
    wheel.drop("first")
    wheel.drop("first")
    wheel.set("second", SLOT_NS)
    wheel.set("second", None)
    timers.advance(SLOT_NS)
    assert fired == []


def test_keys_of_one_slot_share_a_timer(wheel: TimerWheel[str], timers: Timers, fired: list[str]) -> None:
    for number in range(1000):
        wheel.set(f"key {number}", SLOT_NS - number)
    assert len(timers.set) == 1
    timers.advance(SLOT_NS)
    assert len(fired) == 1000


def test_timer_set_while_firing_waits_a_turn(timers: Timers) -> None:
    fired: list[str] = []

    def on_due(key: str) -> None:
        fired.append(key)
        again.set(key, SLOT_NS)

    again: TimerWheel[str] = TimerWheel(timers.call_at, on_due)
    again.set("first", SLOT_NS)
    timers.advance(SLOT_NS)
    assert fired == ["first"]
    timers.advance(SLOT_NS)
    assert fired == ["first", "first"]
