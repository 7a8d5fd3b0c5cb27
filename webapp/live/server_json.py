"""The view of a server in its event stream: lanes, queues, new samples and events as compact JSON."""

from __future__ import annotations

from typing import Any

from coreserver.clock import NS_PER_S
from coreserver.records.server import ConnectionRecord
from webapp.lab.server_snapshot import Look
from webapp.live.sparklines import Row
from webapp.live.worker_lanes import Lane, busy_spans, list_lanes

MAX_WAITING = 50
MAX_EVENTS = 200


def server_view(look: Look, rows: list[Row]) -> dict[str, Any]:
    """Return a snapshot as JSON; times are seconds on the lab's clock, `rows` are the samples since the previous one.

    `lanes`: name, what it does, connection, client, since when, how many it serves. `waiting`: connection, client,
    since when. `busy`: lane, from, until. `events`: when, what, detail.
    """
    lanes = list_lanes(look)
    queue = [record for record in look.open if record.started_ns is None]
    stats = look.server.stats
    names = [lane.name for lane in lanes.shown]
    return {
        "at_s": _s(look.at_ns),
        "state": look.server.state,
        "run_ids": look.server.run_ids,
        "stats": stats.model_dump(exclude={"events", "outcomes"}) if stats else None,
        "outcomes": {name: count for name, count in stats.outcomes.items() if count} if stats else {},
        "lanes": [_lane(lane) for lane in lanes.shown],
        "more_lanes": lanes.more,
        "more_serving": lanes.more_serving,
        "waiting": [[record.number, peer_text(record), _s(record.accepted_ns)] for record in queue[:MAX_WAITING]],
        "more_waiting": max(len(queue) - MAX_WAITING, 0),
        "busy": [
            [name, _s(start), _s(end)] for name, spans in busy_spans(look.ended, names).items() for start, end in spans
        ],
        "samples": rows,
        "events": [[_s(event.at_ns), event.kind, event.detail] for event in look.events[-MAX_EVENTS:]],
    }


def peer_text(record: ConnectionRecord) -> str:
    """Return a client's address and port."""
    return f"{record.peer[0]}:{record.peer[1]}"


def _lane(lane: Lane) -> list[Any]:
    record = lane.record
    if record is None:
        return [lane.name, lane.does]
    return [lane.name, lane.does, record.number, peer_text(record), _s(record.started_ns or 0), lane.serving]


def _s(at_ns: int) -> float:
    return round(at_ns / NS_PER_S, 2)
