"""The client groups of the launch form: their kinds, and the settings of each group.

One field, `kinds`, has the kinds of all groups, such as `closed,idle`. The settings of group n are named `clients.n.…`,
as in the body of a run. Two settings are lists that are typed as text: the steps of a script and the stages of an open
group.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from coreserver.config.load import MAX_GROUPS
from webapp.forms.schema_form import (
    FormField,
    Problems,
    Submitted,
    check,
    document_of,
    fields_of,
    format_value,
    submitted_from,
)
from webapp.recipes.group_kinds import GROUP_KINDS

DEFAULT_KIND = "script"
MORE = ("start_s", "timeout_s", "name", "warm_up_s", "stages", "ramp")  # collapsed at first
FIRST_VALUES = {"script": {"count": "3"}, "open": {"rate_per_s": "50", "duration_s": "5"}}  # instead of the defaults
VERBS = {"send": "send", "hex": "send_hex", "wait": "wait_s", "expect": "expect"}
ARTICLE_STEPS = """\
send ^abc$de^abte$f
wait 1
send xyz^123
wait 1
send 25$^ab0000$abab
wait 0.2
expect 1111
"""
_STAGE = re.compile(r"\s*(\S+)\s+for\s+(\S+)\s*")


@dataclass(frozen=True)
class KindChoice:
    """A link to the form with other groups."""

    kind: str
    kinds: str
    summary: str
    is_current: bool = False


@dataclass(frozen=True)
class GroupForm:
    """One group: the kinds that can replace it, and its settings. Rarely changed settings are in `more`, collapsed."""

    prefix: str
    kind: str
    summary: str
    choices: tuple[KindChoice, ...]
    without: str  # the kinds without this group; empty if it is the only one
    fields: tuple[FormField, ...]
    more: tuple[FormField, ...]
    script: str
    steps: str
    steps_problem: str

    @property
    def is_open(self) -> bool:
        """Whether the collapsed fields must be visible, because one of them has a problem."""
        return any(field.has_problem for field in self.more)


def kinds_in(submitted: Submitted) -> list[str]:
    """Return the kinds of the submitted groups, at least one; unknown kinds are left out."""
    asked = submitted.get("kinds", DEFAULT_KIND).split(",")
    return [kind for kind in asked if kind in GROUP_KINDS][:MAX_GROUPS] or [DEFAULT_KIND]


def group_forms(submitted: Submitted, problems: Problems) -> tuple[GroupForm, ...]:
    """Return the forms of all groups with the typed values.

    Args:
        problems: messages by the name of the field in the body of a run, such as `clients.0.count`.
    """
    kinds = kinds_in(submitted)
    return tuple(_group_form(number, kinds, submitted, problems) for number in range(len(kinds)))


def one_more(submitted: Submitted) -> str:
    """Return the kinds with one more group; empty if the run has the maximum number of groups."""
    kinds = kinds_in(submitted)
    return ",".join([*kinds, "closed"]) if len(kinds) < MAX_GROUPS else ""


def _group_form(number: int, kinds: Sequence[str], submitted: Submitted, problems: Problems) -> GroupForm:
    kind, prefix = kinds[number], f"clients.{number}."
    group = GROUP_KINDS[kind]
    own = {name.removeprefix(prefix): reason for name, reason in problems.items() if name.startswith(prefix)}
    first_values = {"name": _name(number, kinds), **FIRST_VALUES.get(kind, {})}
    filled = {**{prefix + name: value for name, value in first_values.items()}, **submitted}
    fields = [name for name in group.model_fields if name not in (*MORE, "script")]
    before, after = list(kinds[:number]), list(kinds[number + 1 :])
    return GroupForm(
        prefix=prefix,
        kind=kind,
        summary=_summary(kind),
        choices=tuple(
            KindChoice(other, ",".join([*before, other, *after]), _summary(other), is_current=other == kind)
            for other in GROUP_KINDS
        ),
        without=",".join([*before, *after]),
        fields=fields_of(group, filled, own, prefix=prefix, only=fields),
        more=fields_of(group, filled, own, prefix=prefix, only=[name for name in MORE if name in group.model_fields]),
        script=submitted.get(prefix + "script", "article") if "script" in group.model_fields else "",
        steps=submitted.get(prefix + "steps", ARTICLE_STEPS),
        steps_problem=next((_step_problem(name, why) for name, why in own.items() if name.startswith("script")), ""),
    )


def _name(number: int, kinds: Sequence[str]) -> str:
    kind = kinds[number]
    return f"{kind}-{number + 1}" if kind in kinds[:number] else kind


def _summary(kind: str) -> str:
    return (GROUP_KINDS[kind].__doc__ or "").strip().splitlines()[0]


# --- typed values to groups and back ---------------------------------------------------------------------------------


def groups_of(submitted: Submitted) -> tuple[list[BaseModel], dict[str, str]]:
    """Return the valid groups, and the problems of the others by the name of the field in the body of a run."""
    groups: list[BaseModel] = []
    problems: dict[str, str] = {}
    kinds = kinds_in(submitted)
    for number, kind in enumerate(kinds):
        prefix = f"clients.{number}."
        document = {
            "name": _name(number, kinds),
            **document_of(GROUP_KINDS[kind], submitted, prefix=prefix),
            "kind": kind,
        }
        lists, found = _lists(kind, prefix, submitted)
        group, wrong = check(GROUP_KINDS[kind], {**document, **lists})
        if group is not None and not found:
            groups.append(group)
        problems |= {prefix + name: reason for name, reason in (wrong | found).items()}
    return groups, problems


def _lists(kind: str, prefix: str, submitted: Submitted) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings that are typed as text, and the problems of that text.

    If there is a problem, the setting has a valid placeholder, so that the other settings can be checked.
    """
    if kind == "script":
        if submitted.get(prefix + "script", "article") == "article":
            return {"script": "article"}, {}
        steps, problem = parse_steps(submitted.get(prefix + "steps", ""))
        return ({"script": "article"}, {"script": problem}) if problem else ({"script": steps}, {})
    if kind == "open" and (text := submitted.get(prefix + "stages", "").strip()):
        stages, problem = parse_stages(text)
        return ({"stages": None}, {"stages": problem}) if problem else ({"stages": stages}, {})
    return {}, {}


def parse_stages(text: str) -> tuple[list[dict[str, float]], str]:
    """Parse stages such as `20 for 5, 200 for 10` (arrivals per second, seconds); also return the problem, or ""."""
    stages = []
    for part in text.split(","):
        found = _STAGE.fullmatch(part)
        try:
            rate, seconds = map(float, found.groups() if found else ())
        except ValueError:
            return [], "must have a rate, “for” and seconds per stage, separated by commas: 20 for 5, 200 for 10"
        stages.append({"rate_per_s": rate, "duration_s": seconds})
    return stages, ""


def stages_text(stages: Sequence[Mapping[str, float]]) -> str:
    """Format stages as `parse_stages` reads them."""
    return ", ".join(f"{format_value(stage['rate_per_s'])} for {format_value(stage['duration_s'])}" for stage in stages)


def parse_steps(text: str) -> tuple[list[dict[str, Any]], str]:
    """Parse steps, one per line (`send …`, `hex …`, `wait …`, `expect …`); also return the first problem, or ""."""
    steps: list[dict[str, Any]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        verb, _, rest = line.partition(" ")
        kind = VERBS.get(verb)
        if kind is None or not rest:
            return steps, f"line {number}: must be send, hex, wait or expect, then a space and a value"
        if kind == "wait_s":
            try:
                steps.append({kind: float(rest)})
            except ValueError:
                return steps, f"line {number}: wait must have a number of seconds"
        else:
            steps.append({kind: rest.replace(" ", "") if kind == "send_hex" else rest})
    return steps, "" if steps else "must have at least one step"


def _step_problem(name: str, reason: str) -> str:
    """Return the reason with the number of its step."""
    step = next((int(part) + 1 for part in name.split(".") if part.isdigit()), None)
    return reason if step is None else f"step {step}: {reason}"


def steps_text(steps: Sequence[Mapping[str, Any]]) -> str:
    """Format steps as `parse_steps` reads them."""
    verbs = {kind: verb for verb, kind in VERBS.items()}
    return "".join(f"{verbs[kind]} {value}\n" for step in steps for kind, value in step.items())


def submitted_from_groups(groups: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the fields that fill the form with these groups."""
    fields = {"kinds": ",".join(group["kind"] for group in groups)}
    for number, group in enumerate(groups):
        prefix = f"clients.{number}."
        plain = {name: value for name, value in group.items() if name not in ("kind", "script", "stages")}
        fields |= submitted_from(plain, prefix=prefix)
        if stages := group.get("stages"):
            fields[prefix + "stages"] = stages_text(stages)
        script = group.get("script", "article")
        fields[prefix + "script"] = "article" if script == "article" else "steps"
        if script != "article":
            fields[prefix + "steps"] = steps_text(script)
    return fields
