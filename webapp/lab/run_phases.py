"""Phase of a run in progress, in words, and what the client groups predict about its duration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coreserver.clients.script_plan import ARTICLE
from coreserver.config.load import ClientGroup, ClosedGroup, OpenGroup, ScriptGroup
from coreserver.config.personas import FloodGroup, IdleGroup
from coreserver.config.script_steps import Wait
from webapp.schemas.run_progress import RunPhase

WORDS: dict[RunPhase, str] = {
    "starting": "The server is starting.",
    "preparing": "The client processes are starting.",
    "connecting": "The clients are connecting.",
    "warm_up": "Warm-up: messages that are due now are left out of the figures.",
    "measuring": "The clients are running.",
    "finishing": "No new messages are sent; the clients wait for the remaining replies.",
    "reading": "All clients have ended; the server's records are being read.",
    "reporting": "The report is being built.",
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """Prediction from the client groups alone; seconds from the start of the run.

    `is_about` is true if the duration of a client also depends on the server, as with scripts. `last_due_s` is when
    the last connection or message is due. `warm_ups` are the spans that the figures of a group leave out.
    """

    end_s: float
    is_about: bool
    last_due_s: float
    warm_ups: tuple[tuple[float, float], ...]


def expectation(groups: Sequence[ClientGroup]) -> Expectation:
    """Return the prediction for these groups."""
    timed = (ClosedGroup, OpenGroup, FloodGroup)
    return Expectation(
        end_s=max(_end_s(group) for group in groups),
        is_about=any(not isinstance(group, (*timed, IdleGroup)) for group in groups),
        last_due_s=max(group.least_s if isinstance(group, timed) else group.start_s for group in groups),
        warm_ups=tuple(
            (group.start_s, group.start_s + group.warm_up_s)
            for group in groups
            if isinstance(group, ClosedGroup | OpenGroup) and group.warm_up_s
        ),
    )


def _end_s(group: ClientGroup) -> float:
    if isinstance(group, ScriptGroup) and group.script == "article":
        return group.start_s + sum(step.wait_s for step in ARTICLE if isinstance(step, Wait))
    return group.least_s


def phase_at(expected: Expectation, elapsed_s: float, counts: Mapping[str, int]) -> RunPhase:
    """Return the phase of a run whose clients have started, from the elapsed time and the client counts."""
    ended = counts.get("completed", 0) + counts.get("failed", 0)
    if not ended and not counts.get("in_service"):
        return "connecting"
    if elapsed_s > expected.last_due_s and ended >= counts.get("due", 0):
        return "reading"
    if any(begin <= elapsed_s < end for begin, end in expected.warm_ups):
        return "warm_up"
    return "measuring" if elapsed_s <= expected.end_s else "finishing"


def queued_words(before: int) -> str:
    """Describe a queued run with `before` runs ahead of it."""
    place = "this run is next" if before == 0 else f"{before} run{'s are' if before > 1 else ' is'} ahead"
    return f"Queued: {place}. Only one run executes at a time, so that runs do not disturb each other."
