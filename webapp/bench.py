"""The forms that set an experiment up: which design with which options, and which clients are sent at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from coreserver.config import ScriptGroup, ServerOptions
from coreserver.models import MODELS
from webapp.forms import FormField, Problems, Submitted, check, document_of, fields_of, problems_of, submitted_from
from webapp.schemas import ModelResource, RunSpec, ServerResource

DEFAULT_MODEL = "bounded_pool"  # the article's picture; two workers and three clients show it at once
FIRST_OPTIONS = ("name", "port", "work")  # of the common ones, those that people change
OWN_SERVER = "new"
GROUP = "clients."  # prefix of the client group's fields, and of the run's own: server fields are named as in a config
RUN = "run."
GROUP_FIELDS = ("start_s", "timeout_s", "name")
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


@dataclass(frozen=True)
class DesignForm:
    """The options of one design: its own and the ones people change first, then the rest, folded away."""

    model: ModelResource
    fields: tuple[FormField, ...]
    more: tuple[FormField, ...]
    problem: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the folded fields must be seen."""
        return any(field.has_problem for field in self.more)


@dataclass(frozen=True)
class Target:
    """A server that clients can be sent at."""

    value: str
    label: str


@dataclass(frozen=True)
class LaunchForm:
    """Which clients go where; `origin` is the page that shows the form, for when it must be shown again."""

    origin: str
    targets: tuple[Target, ...]
    server: str
    server_problem: str
    count: FormField
    script: str
    steps: str
    steps_problem: str
    label: FormField
    seed: FormField
    more: tuple[FormField, ...]
    problem: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the folded fields must be seen."""
        return any(field.has_problem for field in self.more)


# --- the design ------------------------------------------------------------------------------------------------------


def design_form(model: ModelResource, submitted: Submitted, problems: Problems, problem: str = "") -> DesignForm:
    """The form of one design, holding what was typed."""
    config = MODELS[model.name].Config
    own = [name for name in config.model_fields if name not in ServerOptions.model_fields]
    rest = [name for name in ServerOptions.model_fields if name not in (*FIRST_OPTIONS, "model")]
    return DesignForm(
        model=model,
        fields=fields_of(config, submitted, problems, only=(*own, *FIRST_OPTIONS)),
        more=fields_of(config, submitted, problems, only=rest),
        problem=problem or problems.get("model", ""),
    )


def server_config(submitted: Submitted) -> tuple[ServerOptions | None, dict[str, str]]:
    """The server that was asked for, or None and what is wrong with it."""
    model = MODELS.get(submitted.get("model", ""))
    if model is None:
        return None, {"model": "there is no such design"}
    return check(model.Config, document_of(model.Config, submitted))


# --- the clients -----------------------------------------------------------------------------------------------------


def launch_form(
    origin: str, targets: Sequence[Target], submitted: Submitted, problems: Problems, problem: str = ""
) -> LaunchForm:
    """The form that sends clients, holding what was typed. Problems are named as in a run's body, `clients.0.count`."""
    group = {name.removeprefix("clients.0."): reason for name, reason in problems.items()}
    defaults = {GROUP + "count": "3", **submitted}
    [count] = fields_of(ScriptGroup, defaults, group, prefix=GROUP, only=["count"])
    label, seed = fields_of(RunSpec, submitted, problems, prefix=RUN, only=["label", "seed"])
    return LaunchForm(
        origin=origin,
        targets=tuple(targets),
        server=submitted.get("server", targets[0].value if targets else OWN_SERVER),
        server_problem=problems.get("server", "") or problems.get("server.id", ""),
        count=count,
        script=submitted.get("script", "article"),
        steps=submitted.get("steps", ARTICLE_STEPS),
        steps_problem=next((_step_problem(name, why) for name, why in group.items() if name.startswith("script")), ""),
        label=label,
        seed=seed,
        more=fields_of(ScriptGroup, submitted, group, prefix=GROUP, only=GROUP_FIELDS),
        problem=problem,
    )


def run_spec(submitted: Submitted) -> tuple[RunSpec | None, dict[str, str]]:
    """The run that was asked for, or None and what is wrong, named as in a run's body (`server.workers`)."""
    problems: dict[str, str] = {}
    server, found = _run_server(submitted)
    problems |= found
    script, steps_problem = _script(submitted)
    document = {**document_of(ScriptGroup, submitted, prefix=GROUP), "kind": "script", "script": script}
    group, found = check(ScriptGroup, document)
    problems |= {f"clients.0.{name}": reason for name, reason in found.items()}
    if steps_problem:
        problems["clients.0.script"] = steps_problem
    run = document_of(RunSpec, {name: value for name, value in submitted.items() if name.startswith(RUN)}, prefix=RUN)
    try:
        spec = RunSpec.model_validate({**run, "server": server, "clients": [group]})
    except ValidationError as error:
        return None, _run_problems(error, server is not None) | problems
    return (None if problems else spec), problems


def _run_problems(error: ValidationError, has_server: bool) -> dict[str, str]:
    """What is wrong with the run itself; a missing server or group was found and named before."""
    found = problems_of(error)
    named = {name: reason for name, reason in found.items() if name in ("label", "seed")}
    if has_server and any(name.startswith("server") for name in found):
        named["server"] = "choose one of the servers listed"
    return named


def _run_server(submitted: Submitted) -> tuple[dict[str, int] | BaseModel | None, dict[str, str]]:
    chosen = submitted.get("server", OWN_SERVER)
    if chosen == OWN_SERVER:
        config, found = server_config(submitted)
        return config, {f"server.{name}": reason for name, reason in found.items()}
    if chosen.isascii() and chosen.isdigit() and len(chosen) < 15:
        return {"id": int(chosen)}, {}
    return None, {"server": "choose one of the servers listed"}


def _script(submitted: Submitted) -> tuple[str | list[dict[str, Any]], str]:
    if submitted.get("script", "article") == "article":
        return "article", ""
    steps, problem = parse_steps(submitted.get("steps", ""))
    return ("article", problem) if problem else (steps, "")  # a stand-in, so that the rest is checked all the same


def parse_steps(text: str) -> tuple[list[dict[str, Any]], str]:
    """Steps written a line each (`send …`, `hex …`, `wait …`, `expect …`), and what is wrong with the first bad one."""
    steps: list[dict[str, Any]] = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        verb, _, rest = line.partition(" ")
        kind = VERBS.get(verb)
        if kind is None or not rest:
            return steps, f"line {number}: write send, hex, wait or expect, a space, and what"
        if kind == "wait_s":
            try:
                steps.append({kind: float(rest)})
            except ValueError:
                return steps, f"line {number}: wait needs a number of seconds"
        else:
            steps.append({kind: rest.replace(" ", "") if kind == "send_hex" else rest})
    return steps, "" if steps else "write at least one step"


def _step_problem(name: str, reason: str) -> str:
    """The reason, with the step it is about."""
    step = next((int(part) + 1 for part in name.split(".") if part.isdigit()), None)
    return reason if step is None else f"step {step}: {reason}"


def steps_text(steps: Sequence[Mapping[str, Any]]) -> str:
    """The lines that `parse_steps` reads as these steps."""
    verbs = {kind: verb for verb, kind in VERBS.items()}
    return "".join(f"{verbs[kind]} {value}\n" for step in steps for kind, value in step.items())


# --- an earlier run, to be changed and run again ---------------------------------------------------------------------


def submitted_from_run(config: Mapping[str, Any]) -> dict[str, str]:
    """The fields that show the forms as they stood for this run; of several groups the first."""
    server, group = config["server"], config["clients"][0]
    script = group.get("script", "article")
    fields = {} if "id" in server else submitted_from(server)
    fields |= submitted_from({name: group[name] for name in ("count", *GROUP_FIELDS) if name in group}, prefix=GROUP)
    fields |= {RUN + "label": str(config.get("label", "")), RUN + "seed": str(config.get("seed", 0))}
    fields["server"] = str(server.get("id", OWN_SERVER))
    fields["script"] = "article" if script == "article" else "steps"
    if script != "article":
        fields["steps"] = steps_text(script)
    return fields


def targets_of(servers: Sequence[ServerResource]) -> list[Target]:
    """The servers that clients can be sent at now."""
    return [
        Target(str(server.id), f"{server.name} ({server.model}, port {server.address.port})")
        for server in servers
        if server.state == "listening" and server.address is not None
    ]
