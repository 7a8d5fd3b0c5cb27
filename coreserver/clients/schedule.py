"""When clients are due and what they say: worked out before the first socket opens, from the seed alone.

Everything here is a pure function. Each purpose draws from a stream of its own, named by seed, group and purpose, so
that a group's arrivals stay the same whatever else is sent beside it or with them.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from coreserver.clock import NS_PER_S
from coreserver.config.load import (
    ClientGroup,
    ClosedGroup,
    FloodGroup,
    IdleGroup,
    LoadConfig,
    OpenGroup,
    ResetGroup,
    ScriptGroup,
)

Segment = tuple[float, float, float]  # rate per second at its beginning, at its end, and its seconds

POOL_MESSAGES = 256  # that a group's clients take their messages from, in turn
POOL_BYTES = 4 << 20  # fewer when they are large
THINKS = 4093  # different pauses; a prime, so that clients which begin apart do not fall into step

_PAYLOAD = bytes(byte for byte in range(256) if byte != ord("$"))  # what may stand inside a message; ^ is data there
_PLUS_ONE = bytes((byte + 1) % 256 for byte in range(256))


class Message(NamedTuple):
    """A message on the wire, and the reply it calls for."""

    data: bytes
    reply: bytes


@dataclass(frozen=True)
class GroupPlan:
    """A group's clients, by their numbers from 0: when each is due and with which message of `pool` it begins.

    `due_ns` ascends and counts from the run's zero. A client's later messages follow in the order of the pool, and its
    pauses in that of `think_ns`, from the same number on.
    """

    due_ns: array[int]
    first: array[int]
    pool: tuple[Message, ...]
    think_ns: array[int]


def plan_of(group: ClientGroup, seed: int) -> GroupPlan:
    """The plan of `group` in a run of that `seed`."""
    start_ns = round(group.start_s * NS_PER_S)
    if isinstance(group, OpenGroup | FloodGroup):
        law = group.arrivals if isinstance(group, OpenGroup) else "constant"
        offsets = arrivals(group.segments, law, _stream(seed, group, "arrivals"))
        due_ns = array("q", (start_ns + offset for offset in offsets))
    else:
        due_ns = array("q", [start_ns]) * group.count
    pool = message_pool(_message_bytes(group), _stream(seed, group, "messages"))
    mix = _stream(seed, group, "mix")
    first = array("q", (mix.randrange(max(1, len(pool))) for _ in due_ns))
    return GroupPlan(due_ns, first, pool, thinks(group, _stream(seed, group, "thinks")))


def schedule_hash(load: LoadConfig, plans: Sequence[GroupPlan]) -> str:
    """SHA-256 of all that is sent and when: equal for equal settings and seeds, in whichever process."""
    digest = hashlib.sha256()
    for group, plan in zip(load.clients, plans, strict=True):
        digest.update(group.model_dump_json().encode())
        digest.update(plan.due_ns.tobytes())
        digest.update(plan.first.tobytes())
        digest.update(plan.think_ns.tobytes())
        for message in plan.pool:
            digest.update(message.data)
    return digest.hexdigest()


def arrivals(segments: Sequence[Segment], law: Literal["poisson", "constant"], random: Random) -> Iterator[int]:
    """Ascending offsets in nanoseconds, from the beginning of the first segment to the end of the last.

    Points at unit rate are put where the integral of the rate reaches them: 0, 1, 2 … for a constant law, sums of
    exponential gaps for a Poisson one, whose arrivals are then Poisson with exactly that rate at every instant.
    """
    points = itertools.count() if law == "constant" else itertools.accumulate(iter(lambda: random.expovariate(1.0), -1))
    begins_s = begins_at = 0.0  # of the segment at hand: in seconds, and in arrivals expected before it
    point = next(points)
    for first, last, seconds in segments:
        expected = (first + last) / 2 * seconds
        slope = (last - first) / seconds
        while point < begins_at + expected:
            yield round((begins_s + _time_of(point - begins_at, first, slope)) * NS_PER_S)
            point = next(points)
        begins_s += seconds
        begins_at += expected


def message_pool(payload_bytes: int, random: Random) -> tuple[Message, ...]:
    """Different messages of so many payload bytes each; none when there are none."""
    count = min(POOL_MESSAGES, max(1, POOL_BYTES // payload_bytes)) if payload_bytes else 0
    pool = []
    for _ in range(count):
        payload = random.randbytes(payload_bytes).replace(b"$", _PAYLOAD[random.randrange(255)].to_bytes())
        pool.append(Message(b"^" + payload + b"$", payload.translate(_PLUS_ONE)))
    return tuple(pool)


def thinks(group: ClientGroup, random: Random) -> array[int]:
    """Pauses of the group's clients in nanoseconds, to be taken in turn."""
    if not isinstance(group, ClosedGroup):
        return array("q", [0])
    mean_ns = group.think_s * NS_PER_S
    if group.think == "fixed" or not mean_ns:
        return array("q", [round(mean_ns)])
    return array("q", (round(random.expovariate(1.0) * mean_ns) for _ in range(THINKS)))


def _time_of(arrivals: float, rate: float, slope: float) -> float:
    """When so many arrivals are expected at a rate that begins at `rate` and changes by `slope` a second."""
    # The usual root of rate * t + slope / 2 * t² = arrivals, written so that a slope of 0 needs no case of its own.
    return 2 * arrivals / (rate + math.sqrt(rate * rate + 2 * slope * arrivals)) if arrivals else 0.0


def _message_bytes(group: ClientGroup) -> int:
    match group:
        case ScriptGroup() | IdleGroup() | FloodGroup():
            return 0
        case ResetGroup(after_bytes=after_bytes):
            return max(1, after_bytes)
        case _:
            return group.message_bytes


def _stream(seed: int, group: ClientGroup, purpose: str) -> Random:
    return Random(f"{seed}/{group.name}/{purpose}")  # seeding by text is by SHA-512: alike on every machine
