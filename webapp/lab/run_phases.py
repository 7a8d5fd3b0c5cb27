"""How far a run is: what its groups let expect of it, and the phase it is in, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coreserver.clients.script_plan import ARTICLE
from coreserver.config.load import ClientGroup, ClosedGroup, OpenGroup, ScriptGroup
from coreserver.config.personas import FloodGroup, IdleGroup
from coreserver.config.script_steps import Wait
from webapp.schemas.run_progress import RunPhase

WORDS: dict[RunPhase, str] = {
    "starting": "The server is being started.",
    "preparing": "The client processes are being started.",
    "connecting": "The clients are connecting.",
    "warm_up": "Warm-up: what is due now is left out of the figures.",
    "measuring": "The clients are at work.",
    "finishing": "Nothing new is begun; what was due is followed to its end.",
    "reading": "All clients have ended; the server's records are being read.",
    "reporting": "The report is being built.",
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the groups of a run let expect; seconds from its start.

    `is_about`: how long clients take also depends on what they find, as with scripts. `last_due_s` is when the last
    connection or message comes due; `warm_ups` are the spans in which a group's figures do not count yet.
    """

    end_s: float
    is_about: bool
    last_due_s: float
    warm_ups: tuple[tuple[float, float], ...]


def expectation(groups: Sequence[ClientGroup]) -> Expectation:
    """What these groups let expect, whatever the server does."""
    lasting = (ClosedGroup, OpenGroup, FloodGroup)
    return Expectation(
        end_s=max(_end_s(group) for group in groups),
        is_about=any(not isinstance(group, (*lasting, IdleGroup)) for group in groups),
        last_due_s=max(group.least_s if isinstance(group, lasting) else group.start_s for group in groups),
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
    """The phase of clients that have begun, by the time and by where they stand."""
    ended = counts.get("completed", 0) + counts.get("failed", 0)
    if not ended and not counts.get("in_service"):
        return "connecting"
    if elapsed_s > expected.last_due_s and ended >= counts.get("due", 0):
        return "reading"
    if any(begin <= elapsed_s < end for begin, end in expected.warm_ups):
        return "warm_up"
    return "measuring" if elapsed_s <= expected.end_s else "finishing"


def queued_words(before: int) -> str:
    """That a run waits for its turn, and behind how many."""
    place = (
        "it is the next" if before == 0 else "one run is before it" if before == 1 else f"{before} runs are before it"
    )
    return f"It waits for its turn, {place}: one run at a time, so that runs do not disturb each other."
