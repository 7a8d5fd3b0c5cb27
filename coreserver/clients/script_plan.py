"""What a scripted client says and expects, worked out once for all clients of a group.

The replies to a script are known before it is played: the protocol answers byte for byte. So a group's script is turned
into actions that carry their replies, and twenty thousand clients share them.
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
    """Send `data`; the server owes `reply` for it.

    `replies_end` has one entry for each message whose last reply byte this send calls for: how many reply bytes of the
    whole connection have come when that one has. None stands for a message without a reply, `^$`.
    """

    data: bytes
    reply: bytes
    replies_end: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for `wait_ns`; replies are read and checked meanwhile."""

    wait_ns: int


@dataclass(frozen=True, slots=True)
class Await:
    """Go on when `text` was seen among the replies that no earlier Await has used up."""

    text: bytes


Action = Say | Pause | Await


def actions_of(group: ScriptGroup) -> tuple[Action, ...]:
    """The actions of `group`'s script, with the replies they call for."""
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
    """Every send with its reply and the messages whose reply it completes.

    A message counts once its `$` is part of the script. Its reply is complete with its last byte before the `$`, which
    may belong to an earlier send than the `$` itself.
    """
    engine = ProtocolEngine()
    replies = [b""] * len(sends)
    ends: list[list[int | None]] = [[] for _ in sends]
    owed = 0
    last: int | None = None  # the send that holds the last byte to answer of the message at hand
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
