"""Table rows of servers and runs, used by several pages."""

from __future__ import annotations

from dataclasses import dataclass

from webapp import formatting
from webapp.formatting import StatusBadge
from webapp.schemas.resources import RunResource, ServerResource

MAX_NOTE_CHARACTERS = 120  # in a table row


@dataclass(frozen=True)
class ServerRow:
    """Table row of one server."""

    id: int
    name: str
    model: str
    mark: StatusBadge
    address: str
    waiting: str
    in_service: str
    ended: str


@dataclass(frozen=True)
class RunRow:
    """Table row of one run."""

    id: int
    label: str
    model: str
    mark: StatusBadge
    verdict: StatusBadge | None
    clients: str
    sentence: str
    note: str
    took: str
    median: str
    p99: str
    throughput: str
    at: str
    at_iso: str
    is_over: bool
    is_imported: bool


def server_row(server: ServerResource) -> ServerRow:
    """Return the table row of a server."""
    stats = server.stats
    return ServerRow(
        id=server.id,
        name=server.name,
        model=server.model,
        mark=formatting.mark(server.state),
        address=address_text(server),
        waiting=formatting.count(stats.waiting if stats else None),
        in_service=formatting.count(stats.in_service if stats else None),
        ended=formatting.count(sum(stats.outcomes.values()) if stats else None),
    )


def run_row(run: RunResource) -> RunRow:
    """Return the table row of a run."""
    return RunRow(
        id=run.id,
        label=run.label,
        model=run.model,
        mark=formatting.mark(run.state),
        verdict=formatting.mark(run.verdict.status) if run.verdict else None,
        clients=_client_count(run),
        sentence=run.sentence or (run.reason.detail if run.reason else ""),
        note=_first_line(run.note),
        took=formatting.seconds(run.totals.duration_s) if run.totals else formatting.NONE,
        median=formatting.ms(run.response_p50_ms),
        p99=formatting.ms(run.response_p99_ms),
        throughput=formatting.rate(run.totals.throughput_messages_per_s) if run.totals else formatting.NONE,
        at=formatting.moment(run.created_at),
        at_iso=formatting.iso(run.created_at),
        is_over=run.is_over,
        is_imported=run.imported,
    )


def address_text(server: ServerResource) -> str:
    """Return the host and port on which a server listens; empty while it does not listen."""
    return f"{server.address.host}:{server.address.port}" if server.address else ""


def _first_line(note: str) -> str:
    line = note.strip().partition("\n")[0]
    return line if len(line) <= MAX_NOTE_CHARACTERS else line[: MAX_NOTE_CHARACTERS - 1].rstrip() + "…"


def _client_count(run: RunResource) -> str:
    """Return the number of clients; a dash while a run with open-loop groups has not ended."""
    if run.totals:
        return formatting.count(run.totals.connections.due)
    counts = [group.get("count") for group in run.config["clients"]]
    return formatting.NONE if None in counts else formatting.count(sum(counts))
