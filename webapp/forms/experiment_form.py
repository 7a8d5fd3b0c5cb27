"""The forms of the dashboard: a server with its options, and a run with its clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from coreserver.config.server import ServerOptions
from coreserver.models import MODELS
from webapp.forms.client_groups import GroupForm, group_forms, groups_of, one_more, submitted_from_groups
from webapp.forms.schema_form import (
    FormField,
    Problems,
    Submitted,
    check,
    document_of,
    fields_of,
    problems_of,
    submitted_from,
)
from webapp.schemas.resources import ModelResource, ServerResource
from webapp.schemas.run_spec import RUN_FIELDS, RunSpec

DEFAULT_MODEL = "bounded_pool"  # with two workers and three clients it shows the article's example
FIRST_OPTIONS = ("name", "port", "work")  # common options that are not collapsed
OWN_SERVER = "new"
ELSEWHERE = "address"
RUN = "run."  # prefix of the fields of the run; fields of the server are named as in its settings
_OPTIONS = {name for model in MODELS.values() for name in model.Config.model_fields}  # of any design


@dataclass(frozen=True)
class DesignForm:
    """Options of one design: its own and the frequently changed ones in `fields`, the others in `more`, collapsed."""

    model: ModelResource
    fields: tuple[FormField, ...]
    more: tuple[FormField, ...]
    problem: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the folded fields must be seen."""
        return any(field.has_problem for field in self.more)


@dataclass(frozen=True)
class TargetChoice:
    """An entry of the list of servers that a run can use."""

    value: str
    label: str


@dataclass(frozen=True)
class LaunchForm:
    """The form of a run.

    `origin` names the page with the form, which is shown again if a field is invalid. `place` is the URL of that page;
    `kinds` is added to it to choose other groups.
    """

    origin: str
    place: str
    targets: tuple[TargetChoice, ...]
    server: str
    server_problem: str
    address: str
    address_problem: str
    groups: tuple[GroupForm, ...]
    one_more: str
    label: FormField
    more: tuple[FormField, ...]
    problem: str = ""

    @property
    def may_go_elsewhere(self) -> bool:
        """Whether the lab allows runs against external servers."""
        return any(target.value == ELSEWHERE for target in self.targets)

    @property
    def kinds(self) -> str:
        """The value of the field `kinds`: the kinds of all groups."""
        return ",".join(group.kind for group in self.groups)

    @property
    def is_open(self) -> bool:
        """Whether the folded fields must be seen."""
        return any(field.has_problem for field in self.more)

    def with_groups(self, kinds: str) -> str:
        """Return the URL of the page with groups of these kinds."""
        return f"{self.place}{'&' if '?' in self.place else '?'}{urlencode({'kinds': kinds})}#clients"


# --- server ----------------------------------------------------------------------------------------------------------


def design_form(model: ModelResource, submitted: Submitted, problems: Problems, problem: str = "") -> DesignForm:
    """Return the form of one design with the typed values."""
    config = MODELS[model.name].Config
    own = [name for name in config.model_fields if name not in ServerOptions.model_fields]
    rest = [name for name in ServerOptions.model_fields if name not in (*FIRST_OPTIONS, "model")]
    fields = fields_of(config, submitted, problems, only=(*own, *FIRST_OPTIONS))
    more = fields_of(config, submitted, problems, only=rest)
    return DesignForm(model=model, fields=fields, more=more, problem=problem or _unshown((*fields, *more), problems))


def _unshown(fields: Sequence[FormField], problems: Problems) -> str:
    """Return the problems of options without a control, such as those of another design; shown above the form."""
    shown = {field.name.split(".")[0] for field in fields}
    left = {name: reason for name, reason in problems.items() if name.split(".")[0] not in shown}
    return "; ".join(reason if name == "model" else f"{name}: {reason}" for name, reason in left.items())


def server_config(submitted: Submitted) -> tuple[ServerOptions | None, dict[str, str]]:
    """Return the settings of the submitted server; or None and the problems by field."""
    model = MODELS.get(submitted.get("model", ""))
    if model is None:
        return None, {"model": "there is no such design"}
    config, problems = check(model.Config, document_of(model.Config, submitted))
    foreign = [name for name in submitted if name in _OPTIONS and name not in model.Config.model_fields]
    problems |= dict.fromkeys(foreign, f"{submitted['model']} has no such option")
    return (None if problems else config), problems


# --- run -------------------------------------------------------------------------------------------------------------


def launch_form(
    origin: str,
    place: str,
    targets: Sequence[TargetChoice],
    submitted: Submitted,
    problems: Problems,
    problem: str = "",
) -> LaunchForm:
    """Return the form of a run with the typed values.

    Args:
        problems: messages by the name of the field in the body of a run, such as `clients.0.count`.
        problem: a message that belongs to no field.
    """
    label, *more = fields_of(RunSpec, submitted, problems, prefix=RUN, only=RUN_FIELDS)
    return LaunchForm(
        origin=origin,
        place=place,
        targets=tuple(targets),
        server=submitted.get("server", targets[0].value if targets else OWN_SERVER),
        server_problem=problems.get("server", "") or problems.get("server.id", ""),
        address=submitted.get("address", ""),
        address_problem=problems.get("server.address", ""),
        groups=group_forms(submitted, problems),
        one_more=one_more(submitted),
        label=label,
        more=tuple(more),
        problem=problem or problems.get("clients", ""),
    )


def run_spec(submitted: Submitted) -> tuple[RunSpec | None, dict[str, str]]:
    """Return the submitted run; or None and the problems by the field's name in its body, such as `server.workers`."""
    server, problems = _run_server(submitted)
    groups, found = groups_of(submitted)
    problems |= found
    run = document_of(RunSpec, {name: value for name, value in submitted.items() if name.startswith(RUN)}, prefix=RUN)
    try:
        spec = RunSpec.model_validate({**run, "server": server, "clients": groups})
    except ValidationError as error:
        return None, _run_problems(error, server is not None, has_groups=not found) | problems
    return (None if problems else spec), problems


def _run_problems(error: ValidationError, has_server: bool, has_groups: bool) -> dict[str, str]:
    """Return the problems of the run itself. A server or group that is invalid already has its own problem."""
    found = problems_of(error)
    named = {name: reason for name, reason in found.items() if name.split(".")[0] in RUN_FIELDS}
    if "server.target.address" in found:
        named["server.address"] = found["server.target.address"]
    elif has_server and any(name.startswith("server") for name in found):
        named["server"] = "choose one of the servers listed"
    if has_groups and "clients" in found:
        named["clients"] = found["clients"]
    return named


def _run_server(submitted: Submitted) -> tuple[dict[str, Any] | BaseModel | None, dict[str, str]]:
    chosen = submitted.get("server", OWN_SERVER)
    if chosen == OWN_SERVER:
        config, found = server_config(submitted)
        return config, {f"server.{name}": reason for name, reason in found.items()}
    if chosen == ELSEWHERE:
        return {"address": submitted.get("address", "").strip()}, {}
    if chosen.isascii() and chosen.isdigit() and len(chosen) < 15:
        return {"id": int(chosen)}, {}
    return None, {"server": "choose one of the servers listed"}


# --- from an earlier run ---------------------------------------------------------------------------------------------


def submitted_from_run(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that fill both forms with the settings of a run."""
    server = config["server"]
    fields = submitted_from(server) if "model" in server else {}
    fields |= submitted_from({name: config[name] for name in RUN_FIELDS if config.get(name) is not None}, prefix=RUN)
    fields["server"] = ELSEWHERE if "address" in server else str(server.get("id", OWN_SERVER))
    fields |= {"address": server["address"]} if "address" in server else {}
    return fields | submitted_from_groups(config["clients"])


def targets_of(servers: Sequence[ServerResource]) -> list[TargetChoice]:
    """Return an entry for each server of the lab that is listening."""
    return [
        TargetChoice(str(server.id), f"{server.name} ({server.model}, port {server.address.port})")
        for server in servers
        if server.state == "listening" and server.address is not None
    ]
