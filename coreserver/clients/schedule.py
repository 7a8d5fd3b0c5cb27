"""The schedule of a run: when clients are due and what they send, computed from the seed before any socket opens.

Everything here is a pure function. Each purpose has its own random stream, named by seed, group and purpose, so the
arrivals of a group do not depend on other groups or on its messages.
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
from coreserver.config.client_group import ArrivingGroup, Segment
from coreserver.config.load import ClientGroup, ClosedGroup, LoadConfig, OpenGroup

MAX_POOL_MESSAGES = 256  # the clients of a group take their messages from the pool, in turn
MAX_POOL_BYTES = 4 << 20
THINK_TIMES = 4093  # think times per group; a prime, so that clients with different offsets do not synchronise

_PAYLOAD = bytes(byte for byte in range(256) if byte != ord("$"))  # allowed inside a message, where ^ is data
_PLUS_ONE = bytes((byte + 1) % 256 for byte in range(256))


class Message(NamedTuple):
    """A message as it is sent, and its reply."""

    data: bytes
    reply: bytes


@dataclass(frozen=True)
class GroupPlan:
    """The plan of a group: one entry per client, by number from 0.

    Attributes:
        due_ns: when each client is due, from the start of the run, in ascending order.
        first: the index in `pool` of the first message of each client; its later messages follow in order.
        pool: the messages of the group.
        think_ns: the think times of the group, used in turn.
    """

    due_ns: array[int]
    first: array[int]
    pool: tuple[Message, ...]
    think_ns: array[int]


def plan_of(group: ClientGroup, seed: int) -> GroupPlan:
    """Return the plan of `group` in a run with that `seed`."""
    start_ns = round(group.start_s * NS_PER_S)
    if isinstance(group, ArrivingGroup):
        law = group.arrivals if isinstance(group, OpenGroup) else "constant"
        offsets = arrivals(group.segments, law, _stream(seed, group, "arrivals"))
        due_ns = array("q", (start_ns + offset for offset in offsets))
    else:
        due_ns = array("q", [start_ns]) * group.count
    pool = message_pool(group.payload_bytes, _stream(seed, group, "messages"))
    mix = _stream(seed, group, "mix")
    first = array("q", (mix.randrange(max(1, len(pool))) for _ in due_ns))
    return GroupPlan(due_ns, first, pool, thinks(group, _stream(seed, group, "thinks")))


def schedule_hash(load: LoadConfig, plans: Sequence[GroupPlan]) -> str:
    """Return the SHA-256 of all messages and due times; equal in every process for equal settings and seed."""
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
    """Yield ascending offsets in nanoseconds, from the start of the first segment to the end of the last.

    Points of unit rate are placed where the integral of the rate reaches them: 0, 1, 2 … for a constant law, sums of
    exponential gaps for a Poisson law. The latter is a Poisson process with exactly that rate at every instant.
    """
    points = itertools.count() if law == "constant" else itertools.accumulate(iter(lambda: random.expovariate(1.0), -1))
    begins_s = begins_at = 0.0  # of the current segment: in seconds, and in expected arrivals before it
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
    """Return random messages with `payload_bytes` each; none if it is 0."""
    count = min(MAX_POOL_MESSAGES, max(1, MAX_POOL_BYTES // payload_bytes)) if payload_bytes else 0
    pool = []
    for _ in range(count):
        payload = random.randbytes(payload_bytes).replace(b"$", _PAYLOAD[random.randrange(255)].to_bytes())
        pool.append(Message(b"^" + payload + b"$", payload.translate(_PLUS_ONE)))
    return tuple(pool)


def thinks(group: ClientGroup, random: Random) -> array[int]:
    """Return the think times of the group's clients in nanoseconds, used in turn."""
    if not isinstance(group, ClosedGroup):
        return array("q", [0])
    mean_ns = group.think_s * NS_PER_S
    if group.think == "fixed" or not mean_ns:
        return array("q", [round(mean_ns)])
    return array("q", (round(random.expovariate(1.0) * mean_ns) for _ in range(THINK_TIMES)))


def _time_of(arrivals: float, rate: float, slope: float) -> float:
    """Return when `arrivals` are expected at a rate that starts at `rate` and changes by `slope` per second."""
    # The usual root of rate * t + slope / 2 * t² = arrivals, in a form that includes a slope of 0.
    return 2 * arrivals / (rate + math.sqrt(rate * rate + 2 * slope * arrivals)) if arrivals else 0.0


def _stream(seed: int, group: ClientGroup, purpose: str) -> Random:
    return Random(f"{seed}/{group.name}/{purpose}")  # Random hashes text with SHA-512: the same on every machine
