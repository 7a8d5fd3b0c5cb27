"""From a group's settings to its clients: who is made when it is due, who comes again, and who waits for whom."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from coreserver.clients.schedule import GroupPlan
from coreserver.clients.script_plan import Action, actions_of
from coreserver.clients.worker.connection import ClientConnection
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.echo_client import UNLIMITED, EchoClient
from coreserver.clients.worker.personas import (
    FloodPlayer,
    HalfClosePlayer,
    IdlePlayer,
    ResetPlayer,
    SlowReaderPlayer,
    SlowWriterPlayer,
)
from coreserver.clients.worker.script_client import ScriptPlayer
from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.load import (
    ClientGroup,
    ClosedGroup,
    FloodGroup,
    HalfCloseGroup,
    IdleGroup,
    LoadConfig,
    OpenGroup,
    ResetGroup,
    ScriptGroup,
    SlowReaderGroup,
    SlowWriterGroup,
)
from coreserver.records.client import ClientRecord, GroupCount
from coreserver.records.place import Place

_Here = tuple[WorkerContext, ClientRecord, Place]  # what every client is given
THINK_STRIDE = 61  # between the first pauses of clients one after the other


class GroupClients:
    """One group's clients in this process: each is made and started when it is due.

    Of the plan's clients, this process has the `share` (process, processes): dealt out in turn.
    """

    def __init__(
        self,
        stage: WorkerContext,
        group: ClientGroup,
        plan: GroupPlan,
        *,
        index: int,
        prefix: str,
        share: tuple[int, int],
    ) -> None:
        self._stage = stage
        self._group = group
        self._plan = plan
        self._index = index
        self._prefix = prefix
        self._numbers = range(share[0], len(plan.due_ns), share[1])
        self._at = 0  # how many of them have been made
        self._returns: dict[int, int] = {}  # by client: how often it has connected anew, which no plan foresaw
        self._coming: set[int] = set()  # clients that think before they connect anew
        self._zero_ns = 0
        self._actions: tuple[Action, ...] = actions_of(group) if isinstance(group, ScriptGroup) else ()
        stage.tally.expect(1)  # that we are done making clients

    def begin(self, zero_ns: int) -> None:
        """Make the clients as they come due, the run having begun at `zero_ns`."""
        self._zero_ns = zero_ns
        self._wait_for_next()

    def due(self, at_ns: int) -> int:
        """How many clients have come due."""
        planned = bisect_right(self._numbers, at_ns - self._zero_ns, key=self._plan.due_ns.__getitem__)
        return planned + sum(self._returns.values())

    def cancel(self) -> None:
        """Make no more. Clients that should exist by now, and those of a fixed number, are noted as not started."""
        for _ in self._coming:
            self._stage.tally.closed()
        self._coming.clear()
        if self._at < len(self._numbers):
            until = self.due(now_ns()) if isinstance(self._group, OpenGroup | FloodGroup) else len(self._numbers)
            for number in self._numbers[self._at : until]:
                self._make(number, self._plan.due_ns[number] + self._zero_ns).cancel()
            self._at = len(self._numbers)
            self._stage.tally.closed()

    def count(self, at_ns: int, started: int) -> GroupCount:
        """What became of the plan."""
        return GroupCount(self._group.name, self._group.kind, len(self._numbers), self.due(at_ns), started)

    def _wait_for_next(self) -> None:
        if self._at < len(self._numbers):
            self._stage.timers.at(self._plan.due_ns[self._numbers[self._at]] + self._zero_ns, self._start_next)
        else:
            self._stage.tally.closed()

    def _start_next(self) -> None:
        if self._at >= len(self._numbers):  # cancelled
            return
        number = self._numbers[self._at]
        self._at += 1
        self._make(number, self._plan.due_ns[number] + self._zero_ns).start()
        self._wait_for_next()

    def _make(self, number: int, due_ns: int) -> ClientConnection:
        group, pool, timeout_s = self._group, self._plan.pool, self._group.timeout_s
        turn, first = self._returns.get(number, 0), self._plan.first[number]
        here: _Here = (self._stage, self._record(number, turn, due_ns), (self._index, number, turn))
        match group:
            case ScriptGroup():
                return ScriptPlayer(*here, self._actions, timeout_s=timeout_s)
            case OpenGroup():
                return EchoClient(*here, pool, timeout_s=timeout_s, first=first, messages=group.messages_per_connection)
            case ClosedGroup():
                return self._returning(here, group, number, turn)
            case IdleGroup():
                return IdlePlayer(*here, timeout_s=timeout_s, hold_ns=round(group.hold_s * NS_PER_S))
            case SlowWriterGroup() | SlowReaderGroup():
                return (SlowWriterPlayer if isinstance(group, SlowWriterGroup) else SlowReaderPlayer)(
                    *here,
                    pool,
                    timeout_s=timeout_s,
                    first=first,
                    bytes_per_s=group.bytes_per_s,
                    duration_ns=round(group.duration_s * NS_PER_S),
                )
            case ResetGroup():
                data, reply = pool[first]
                sent = group.after_bytes
                return ResetPlayer(*here, timeout_s=timeout_s, data=data[:sent], reply=reply[: max(0, sent - 1)])
            case HalfCloseGroup():
                return HalfClosePlayer(*here, pool[first], timeout_s=timeout_s)
            case FloodGroup():
                return FloodPlayer(*here, timeout_s=timeout_s)

    def _record(self, number: int, turn: int, due_ns: int) -> ClientRecord:
        group = self._group
        name = f"{self._prefix}conn{number + 1}" + (f".{turn + 1}" if turn else "")
        record = ClientRecord(name, group.name, due_ns)
        if isinstance(group, ClosedGroup | OpenGroup):
            record.measured_from_ns = self._begins_ns() + round(group.warm_up_s * NS_PER_S)
        return record

    def _begins_ns(self) -> int:
        return self._zero_ns + round(self._group.start_s * NS_PER_S)

    def _returning(self, here: _Here, group: ClosedGroup, number: int, turn: int) -> ClientConnection:
        plan, until_ns = self._plan, self._begins_ns() + round(group.duration_s * NS_PER_S)
        sent = turn * (group.messages_per_connection or 0)  # in its connections before: it goes on where it was
        return EchoClient(
            *here,
            plan.pool,
            timeout_s=group.timeout_s,
            first=(plan.first[number] + sent) % len(plan.pool),
            messages=group.messages_per_connection or UNLIMITED,
            think_ns=plan.think_ns,
            think_from=number * THINK_STRIDE + sent,
            until_ns=until_ns,
            again=lambda due_ns: self._come_again(number, due_ns, until_ns),
        )

    def _come_again(self, number: int, due_ns: int, until_ns: int) -> None:
        if due_ns < until_ns and not self._stage.is_over:
            self._coming.add(number)
            self._stage.tally.expect(1)
            self._stage.timers.at(due_ns, lambda: self._return(number, due_ns))

    def _return(self, number: int, due_ns: int) -> None:
        if number in self._coming:  # else cancelled
            self._coming.remove(number)
            self._returns[number] = self._returns.get(number, 0) + 1
            self._make(number, due_ns).start()
            self._stage.tally.closed()


def groups_of(
    load: LoadConfig, plans: Sequence[GroupPlan], stage: WorkerContext, share: tuple[int, int] = (0, 1)
) -> list[GroupClients]:
    """Every group of `load` with this process's `share` of its clients, in their order."""
    return [
        GroupClients(stage, group, plan, index=index, prefix=prefix, share=share)
        for index, (group, plan, prefix) in enumerate(zip(load.clients, plans, name_prefixes(load), strict=True))
    ]


def name_prefixes(load: LoadConfig) -> list[str]:
    """What stands before conn1, conn2 …: the group's own name, where there are several groups."""
    return [f"{group.name}-" if len(load.clients) > 1 else "" for group in load.clients]
