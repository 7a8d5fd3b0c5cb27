"""The clients of a group: created when they are due, and created again for each reconnect."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from coreserver.clients.schedule import GroupPlan
from coreserver.clients.script_plan import Action, actions_of
from coreserver.clients.worker.connection import ClientConnection
from coreserver.clients.worker.context import WorkerContext
from coreserver.clients.worker.echo_client import UNLIMITED, EchoClient
from coreserver.clients.worker.personas import PERSONAS
from coreserver.clients.worker.script_client import ScriptClient
from coreserver.clock import NS_PER_S, now_ns
from coreserver.config.client_group import ArrivingGroup
from coreserver.config.load import ClientGroup, ClosedGroup, LoadConfig, OpenGroup, ScriptGroup
from coreserver.records.client import ClientRecord, GroupCount
from coreserver.records.place import Place

_Here = tuple[WorkerContext, ClientRecord, Place]  # the first arguments of every client
THINK_STRIDE = 61  # distance between the first think times of consecutive clients


class GroupClients:
    """The clients of one group in this process. Loop thread only.

    Args:
        index: the number of the group in the load.
        prefix: see `name_prefixes`.
        share: the number of this process, and the number of processes, which take the clients in turn.
    """

    def __init__(
        self,
        context: WorkerContext,
        group: ClientGroup,
        plan: GroupPlan,
        *,
        index: int,
        prefix: str,
        share: tuple[int, int],
    ) -> None:
        self._context = context
        self._group = group
        self._plan = plan
        self._index = index
        self._prefix = prefix
        self._numbers = range(share[0], len(plan.due_ns), share[1])
        self._at = 0  # how many of them have been created
        self._returns: dict[int, int] = {}  # number of reconnects by client; the plan does not contain them
        self._returning: set[int] = set()  # clients that think before they reconnect
        self._zero_ns = 0
        self._actions: tuple[Action, ...] = actions_of(group) if isinstance(group, ScriptGroup) else ()
        context.counts.expect(1)  # the group itself, until it has created its last client

    def begin(self, zero_ns: int) -> None:
        """Create and start the clients as they become due; the run starts at `zero_ns`."""
        self._zero_ns = zero_ns
        self._wait_for_next()

    def due(self, at_ns: int) -> int:
        """Return how many clients were due by `at_ns`."""
        planned = bisect_right(self._numbers, at_ns - self._zero_ns, key=self._plan.due_ns.__getitem__)
        return planned + sum(self._returns.values())

    def cancel(self) -> None:
        """Create no more clients.

        Clients that are already due, and all of a group with a fixed number, are recorded as not started.
        """
        for _ in self._returning:
            self._context.counts.count_closed()
        self._returning.clear()
        if self._at < len(self._numbers):
            until = self.due(now_ns()) if isinstance(self._group, ArrivingGroup) else len(self._numbers)
            for number in self._numbers[self._at : until]:
                self._make(number, self._plan.due_ns[number] + self._zero_ns).cancel()
            self._at = len(self._numbers)
            self._context.counts.count_closed()

    def count(self, at_ns: int, started: int) -> GroupCount:
        """Return the numbers of planned, due and started clients."""
        return GroupCount(self._group.name, self._group.kind, len(self._numbers), self.due(at_ns), started)

    def _wait_for_next(self) -> None:
        if self._at < len(self._numbers):
            self._context.timers.at(self._plan.due_ns[self._numbers[self._at]] + self._zero_ns, self._start_next)
        else:
            self._context.counts.count_closed()

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
        here: _Here = (self._context, self._record(number, turn, due_ns), (self._index, number, turn))
        match group:
            case ScriptGroup():
                return ScriptClient(*here, self._actions, timeout_s=timeout_s)
            case OpenGroup():
                return EchoClient(*here, pool, timeout_s=timeout_s, first=first, messages=group.messages_per_connection)
            case ClosedGroup():
                return self._make_closed(here, group, number, turn)
            case _:
                return PERSONAS[group.kind](*here, group, self._plan)

    def _record(self, number: int, turn: int, due_ns: int) -> ClientRecord:
        group = self._group
        name = f"{self._prefix}conn{number + 1}" + (f".{turn + 1}" if turn else "")
        record = ClientRecord(name, group.name, due_ns)
        if isinstance(group, ClosedGroup | OpenGroup):
            record.measured_from_ns = self._start_ns() + round(group.warm_up_s * NS_PER_S)
        return record

    def _start_ns(self) -> int:
        return self._zero_ns + round(self._group.start_s * NS_PER_S)

    # --- closed groups reconnect ---------------------------------------------------------------------------------

    def _make_closed(self, here: _Here, group: ClosedGroup, number: int, turn: int) -> ClientConnection:
        plan, until_ns = self._plan, self._start_ns() + round(group.duration_s * NS_PER_S)
        sent = turn * (group.messages_per_connection or 0)  # messages of the client's earlier connections
        return EchoClient(
            *here,
            plan.pool,
            timeout_s=group.timeout_s,
            first=(plan.first[number] + sent) % len(plan.pool),
            messages=group.messages_per_connection or UNLIMITED,
            think_ns=plan.think_ns,
            think_from=number * THINK_STRIDE + sent,
            until_ns=until_ns,
            again=lambda due_ns: self._plan_return(number, due_ns, until_ns),
        )

    def _plan_return(self, number: int, due_ns: int, until_ns: int) -> None:
        if due_ns < until_ns and not self._context.is_over:
            self._returning.add(number)
            self._context.counts.expect(1)
            self._context.timers.at(due_ns, lambda: self._return(number, due_ns))

    def _return(self, number: int, due_ns: int) -> None:
        if number in self._returning:  # else cancelled
            self._returning.remove(number)
            self._returns[number] = self._returns.get(number, 0) + 1
            self._make(number, due_ns).start()
            self._context.counts.count_closed()


def groups_of(
    load: LoadConfig, plans: Sequence[GroupPlan], context: WorkerContext, share: tuple[int, int] = (0, 1)
) -> list[GroupClients]:
    """Return every group of `load`, in order, with this process's share of its clients."""
    return [
        GroupClients(context, group, plan, index=index, prefix=prefix, share=share)
        for index, (group, plan, prefix) in enumerate(zip(load.clients, plans, name_prefixes(load), strict=True))
    ]


def name_prefixes(load: LoadConfig) -> list[str]:
    """Return the prefix of the client names of each group: the name of the group, if there are several groups."""
    return [f"{group.name}-" if len(load.clients) > 1 else "" for group in load.clients]
