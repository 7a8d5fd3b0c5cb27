"""The actions of a scripted client, computed once for all clients of a group.

The protocol replies byte for byte, so the replies to a script are known before it is played. A script is converted once
into actions with their replies; up to 20,000 clients share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coreserver.clock import NS_PER_S
from coreserver.config.load import ScriptGroup
from coreserver.config.script_steps import Expect, Send, SendHex, Step, Wait
from coreserver.protocols.article import ProtocolEngine

ARTICLE: tuple[Step, ...] = (
    Send(send="^abc$de^abte$f"),
    Wait(wait_s=1.0),
    Send(send="xyz^123"),
    Wait(wait_s=1.0),
    Send(send="25$^ab0000$abab"),
    Wait(wait_s=0.2),
    Expect(expect="1111"),
)


@dataclass(frozen=True, slots=True)
class Say:
    """Send `data` and expect `reply`.

    Attributes:
        replies_end: one entry per message whose last reply byte belongs to this send: the number of reply bytes of
            the connection up to and including that byte; None for a message without a reply, `^$`.
    """

    data: bytes
    reply: bytes
    replies_end: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause for `wait_ns`; replies are still read and checked."""

    wait_ns: int


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until `text` occurs in the replies that no earlier Await has consumed."""

    text: bytes


Action = Say | Pause | Await


def actions_of(group: ScriptGroup) -> tuple[Action, ...]:
    """Return the actions of the group's script, with their replies."""
    steps = ARTICLE if group.script == "article" else group.script
    says = _says([_data(step) for step in steps if isinstance(step, Send | SendHex)])
    return tuple(_action(step, says) for step in steps)


def _action(step: Step, says: Iterator[Say]) -> Action:
    match step:
        case Wait(wait_s=wait_s):
            return Pause(round(wait_s * NS_PER_S))
        case Expect(expect=text):
            return Await(text.encode())
    return next(says)


def _data(step: Send | SendHex) -> bytes:
    return step.send.encode() if isinstance(step, Send) else bytes.fromhex(step.send_hex)


def _says(sends: Sequence[bytes]) -> Iterator[Say]:
    """Yield every send with its reply and the messages whose reply it completes.

    Only messages with a `$` in the script count. A reply is complete with the last byte before the `$`, which may be
    part of an earlier send.
    """
    engine = ProtocolEngine()
    replies = [b""] * len(sends)
    ends: list[list[int | None]] = [[] for _ in sends]
    owed = 0
    last: int | None = None  # the send that has the last payload byte of the current message so far
    for index, data in enumerate(sends):
        for opens, reply in engine.receive_by_message(data):
            if opens:
                last = None
            if reply:
                replies[index] += reply
                owed += len(reply)
                last = index
            if not engine.in_message:
                ends[index if last is None else last].append(None if last is None else owed)
    return (Say(data, reply, tuple(end)) for data, reply, end in zip(sends, replies, ends, strict=True))
