"""Base class of the personas."""

from __future__ import annotations

from typing import Generic, TypeVar

from coreserver.clients.schedule import GroupPlan, Message
from coreserver.clients.worker.connection import ClientConnection
from coreserver.clients.worker.context import WorkerContext
from coreserver.config.client_group import GroupSettings
from coreserver.records.client import ClientRecord
from coreserver.records.place import Place

Group = TypeVar("Group", bound=GroupSettings)


class Persona(ClientConnection, Generic[Group]):
    """A client that behaves according to the settings of its group; subclasses override hooks of `ClientConnection`.

    Attributes:
        group: the settings of the group.
    """

    def __init__(
        self, context: WorkerContext, record: ClientRecord, place: Place, group: Group, plan: GroupPlan
    ) -> None:
        super().__init__(context, record, place, timeout_s=group.timeout_s)
        self.group = group
        self._pool = plan.pool
        self._next = plan.first[place[1]]

    def take_message(self) -> Message:
        """Return the next message of the group's pool; the group's `payload_bytes` must not be 0."""
        message = self._pool[self._next]
        self._next = (self._next + 1) % len(self._pool)
        return message

    def record_message(self, due_ns: int, sent_ns: int) -> None:
        """Record a sent message; its reply ends with the last reply byte that is expected now."""
        row = self._context.columns.add(self._index, due_ns, sent_ns)
        self.replies.stamp_at(row, self.replies.received + self.replies.owed)
