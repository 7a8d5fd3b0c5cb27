"""Settings to form fields and back, for every settings class."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from coreserver.config.base import FrozenSettings
from coreserver.config.server import ServerOptions
from coreserver.models import MODELS
from webapp.forms.client_groups import (
    ARTICLE_STEPS,
    group_forms,
    one_more,
    parse_stages,
    parse_steps,
    stages_text,
    steps_text,
)
from webapp.forms.experiment_form import launch_form, run_spec, server_config, submitted_from_run
from webapp.forms.schema_form import check, document_of, fields_of, read_form, submitted_from
from webapp.recipes.group_kinds import GROUP_KINDS
from webapp.schemas.run_spec import RunSpec

MUST: dict[str, dict[str, Any]] = {"open": {"rate_per_s": 3.0}}
BAD_STAGES = parse_stages("9")[1]


class Brew(FrozenSettings):
    kind: Literal["brew"]
    minutes: float = Field(default=4.0, gt=0)


class Instant(FrozenSettings):
    kind: Literal["instant"] = "instant"


class Kettle(FrozenSettings):
    """Settings class without any code of its own in the forms."""

    model: Literal["kettle"] = "kettle"
    cups: int = Field(default=2, ge=1, le=9, description="how many to fill")
    heat_ms: float | None = Field(default=None, description="empty: until it boils, whatever heat_ms is")
    lid: bool = True
    tea: Literal["black", "green"] = "black"
    plates: list[int] | None = None
    way: Annotated[Brew | Instant, Field(discriminator="kind")] = Instant()


def test_unknown_settings_class_becomes_a_form() -> None:
    shown = {field.name: field for field in fields_of(Kettle, {}, {})}
    assert list(shown) == ["cups", "heat_ms", "lid", "tea", "plates", "way.kind"]  # `model` has one possible value
    cups = shown["cups"]
    assert (cups.kind, cups.value, cups.minimum, cups.maximum, cups.help) == (
        "number",
        "2",
        "1",
        "9",
        "how many to fill",
    )
    assert shown["heat_ms"].help == "empty: until it boils, whatever “heat” is"
    assert (shown["heat_ms"].label, shown["heat_ms"].unit, shown["heat_ms"].value) == ("heat", "ms", "")
    assert (shown["lid"].kind, shown["lid"].value) == ("tick", "true")
    assert shown["tea"].choices == ("black", "green")
    assert shown["way.kind"].value == "instant"
    [brew] = shown["way.kind"].variants
    assert [field.name for field in brew.fields] == ["way.brew.minutes"]


@pytest.mark.parametrize(
    ("typed", "document"),
    [
        ({}, {}),
        ({"cups": " 3 "}, {"cups": 3}),
        ({"cups": "three"}, {"cups": "three"}),
        ({"cups": "9" * 5000}, {"cups": "9" * 5000}),
        ({"heat_ms": ""}, {"heat_ms": None}),
        ({"heat_ms": "1.5"}, {"heat_ms": 1.5}),
        ({"heat_ms": "nan"}, {"heat_ms": "nan"}),
        ({"lid": "false"}, {"lid": False}),
        ({"lid": "perhaps"}, {"lid": "perhaps"}),
        ({"plates": "1, 2 3"}, {"plates": [1, 2, 3]}),
        ({"plates": ""}, {"plates": None}),
        ({"way.kind": "brew", "way.brew.minutes": "2"}, {"way": {"kind": "brew", "minutes": 2.0}}),
        ({"way.kind": "instant", "way.brew.minutes": "2"}, {"way": {"kind": "instant"}}),
        ({"way.kind": "spell"}, {"way": {"kind": "spell"}}),
        ({"unknown": "1"}, {}),
    ],
)
def test_typed_text_becomes_a_document(typed: dict[str, str], document: dict[str, object]) -> None:
    assert document_of(Kettle, typed) == document


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        ({"cups": "three"}, "cups", "must be a whole number"),
        ({"cups": "10"}, "cups", "must be 9 or less"),
        ({"cups": ""}, "cups", "must be a whole number"),
        ({"heat_ms": "1e999"}, "heat_ms", "must be a finite number"),
        ({"tea": "white"}, "tea", "must be 'black' or 'green'"),
        ({"plates": "1, x"}, "plates", "must be a whole number"),
        ({"way.kind": "brew", "way.brew.minutes": "0"}, "way.brew.minutes", "must be more than 0"),
        ({"way.kind": "boil"}, "way.kind", "must be one of 'brew', 'instant'"),
    ],
)
def test_invalid_value_keeps_its_text_and_reason(typed: dict[str, str], field: str, reason: str) -> None:
    settings, problems = check(Kettle, document_of(Kettle, typed))
    assert settings is None
    shown = {item.name: item for item in fields_of(Kettle, typed, problems)}
    inner = [field for item in shown.values() for variant in item.variants for field in variant.fields]
    wrong = {item.name: item for item in [*shown.values(), *inner]}[field]
    assert (wrong.problem, wrong.value) == (reason, typed[field])


def test_settings_fill_the_form() -> None:
    kettle = Kettle(cups=3, heat_ms=2.5, lid=False, plates=[1, 2], way=Brew(kind="brew", minutes=3))
    fields = submitted_from(kettle.model_dump())
    assert check(Kettle, document_of(Kettle, fields)) == (kettle, {})


@pytest.mark.parametrize("name", MODELS)
def test_unchanged_form_gives_the_defaults(name: str) -> None:
    config = MODELS[name].Config
    fields = fields_of(config, {}, {})
    submitted = {"model": name} | {field.name: field.value for field in fields}
    for field in fields:
        submitted |= {inner.name: inner.value for variant in field.variants for inner in variant.fields}
    assert server_config(submitted) == (config.model_validate({"model": name}), {})


def test_last_value_of_a_name_counts() -> None:
    assert read_form(b"lid=false&lid=true&tea=gr%C3%BCn+tea&empty=") == {
        "lid": "true", "tea": "grün tea", "empty": "",
    }  # fmt: skip


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="fields"):
        read_form(b"&".join(b"a%d=1" % number for number in range(301)))


# --- the launch form -------------------------------------------------------------------------------------------------


def test_steps_are_read_line_by_line() -> None:
    steps, problem = parse_steps("send ^a b$\r\n\r\nwait 0.5\nhex 5e 24\nexpect b\n")
    assert problem == ""
    assert steps == [{"send": "^a b$"}, {"wait_s": 0.5}, {"send_hex": "5e24"}, {"expect": "b"}]
    assert parse_steps(steps_text(steps)) == (steps, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must have at least one step"),
        ("send ^a$\nsleep 1", "line 2: must be send, hex, wait or expect, then a space and a value"),
        ("send", "line 1: must be send, hex, wait or expect, then a space and a value"),
        ("wait long", "line 1: wait must have a number of seconds"),
    ],
)
def test_bad_step_is_named_by_its_line(text: str, problem: str) -> None:
    assert parse_steps(text)[1] == problem
    spec, problems = run_spec({"server": "1", "clients.0.script": "steps", "clients.0.steps": text})
    assert (spec, problems) == (None, {"clients.0.script": problem})


def test_default_steps_are_those_of_the_article() -> None:
    typed, problems = run_spec({"server": "1", "clients.0.script": "steps", "clients.0.steps": ARTICLE_STEPS})
    assert typed is not None
    assert problems == {}


def test_all_problems_are_reported_together() -> None:
    spec, problems = run_spec(
        {"server": "new", "model": "bounded_pool", "workers": "0", "clients.0.count": "many", "run.label": "<b>"}
    )
    assert spec is None
    assert set(problems) == {"server.workers", "clients.0.count", "label"}


@pytest.mark.parametrize("server", ["", "0", "-1", "x", "9" * 40, "²"])
def test_unknown_server_is_refused(server: str) -> None:
    spec, problems = run_spec({"server": server})
    assert (spec, list(problems)) == (None, ["server"])


def test_earlier_run_fills_the_forms() -> None:
    typed = {
        "server": "new", "model": "bounded_pool", "workers": "2", "work.kind": "sleep", "work.sleep.mean_ms": "7",
        "clients.0.count": "4", "clients.0.script": "steps", "clients.0.steps": "send ^a$\nexpect b\n",
        "run.label": "again", "run.seed": "5",
    }  # fmt: skip
    spec, _ = run_spec(typed)
    assert spec is not None
    shown = submitted_from_run(spec.model_dump(mode="json"))
    assert typed.items() <= shown.items()
    assert run_spec(shown) == (spec, {})


def test_every_server_option_is_described() -> None:
    for field in fields_of(ServerOptions, {}, {}):
        assert field.help, f"{field.name} has no description"


# --- groups ----------------------------------------------------------------------------------------------------------


def test_default_group_of_every_kind_is_valid() -> None:
    for kind in GROUP_KINDS:
        [form] = group_forms({"kinds": kind}, {})
        typed = {field.name: field.value for field in (*form.fields, *form.more)}
        spec, problems = run_spec({"server": "1", "kinds": kind, **typed})
        assert problems == {}
        assert spec is not None
        assert spec.clients[0].kind == kind
        assert run_spec(submitted_from_run(spec.model_dump(mode="json"))) == (spec, {})


def test_groups_get_distinct_names() -> None:
    typed = {"server": "1", "kinds": "closed,idle,closed", "clients.0.think_s": "0.5", "clients.1.hold_s": "3"}
    spec, problems = run_spec(typed)
    assert problems == {}
    assert spec is not None
    assert [group.name for group in spec.clients] == ["closed", "idle", "closed-3"]
    found = spec.model_dump()["clients"]
    assert (found[0]["think_s"], found[1]["hold_s"], found[2]["think_s"]) == (0.5, 3.0, 0.0)


@pytest.mark.parametrize(
    ("typed", "problems"),
    [
        ({"kinds": "idle,closed", "clients.1.count": "0"}, {"clients.1.count": "must be 1 or more"}),
        ({"kinds": "idle,closed", "clients.1.name": "idle"}, {"clients": "two groups have the same name"}),
        ({"kinds": "open", "clients.0.rate_per_s": "1", "clients.0.stages": "9"}, {"clients.0.stages": BAD_STAGES}),
        ({"kinds": "closed", "run.client_processes": "0"}, {"client_processes": "must be 1 or more"}),
    ],
)
def test_group_problems_are_named_as_in_a_body(typed: dict[str, str], problems: dict[str, str]) -> None:
    assert run_spec({"server": "1", **typed}) == (None, problems)


def test_stages_are_read_from_text() -> None:
    typed = {"server": "1", "kinds": "open", "clients.0.rate_per_s": "", "clients.0.duration_s": ""}
    spec, problems = run_spec({**typed, "clients.0.stages": "20 for 5, 0.5 for 2.5"})
    assert problems == {}
    assert spec is not None
    stages = spec.model_dump()["clients"][0]["stages"]
    assert stages == [{"rate_per_s": 20.0, "duration_s": 5.0}, {"rate_per_s": 0.5, "duration_s": 2.5}]
    assert submitted_from_run(spec.model_dump(mode="json"))["clients.0.stages"] == "20 for 5, 0.5 for 2.5"


def test_stages_keep_every_digit() -> None:
    stages = [{"rate_per_s": 12345.678, "duration_s": 0.1234567}]
    assert parse_stages(stages_text(stages)) == (stages, "")


def test_form_covers_every_load_setting() -> None:
    for kind, group in GROUP_KINDS.items():
        [form] = group_forms({"kinds": kind}, {})
        offered = {field.name.removeprefix(form.prefix) for field in (*form.fields, *form.more)}
        assert offered | ({"script"} if form.script else set()) == group.model_fields.keys() - {"kind"}
    launch = launch_form("dashboard", "/", [], {}, {})
    assert {field.name for field in (launch.label, *launch.more)} | {"run.clients", "run.server"} == {
        f"run.{name}" for name in RunSpec.model_fields
    }


def test_load_survives_the_form() -> None:
    cpu = min(os.sched_getaffinity(0))
    groups = [
        {"kind": kind, "name": f"{kind} {n}"} | MUST.get(kind, {}) for n, kind in enumerate([*GROUP_KINDS, "open"])
    ]
    body = {"label": "all", "note": "two\nlines", "seed": 2**62 + 1, "client_processes": 2, "client_cpus": [cpu]}
    spec = RunSpec.model_validate({**body, "server": {"id": 1}, "clients": groups})
    shown = submitted_from_run(spec.model_dump(mode="json"))
    assert run_spec({name: value.replace("\n", "\r\n") for name, value in shown.items()}) == (spec, {})


@pytest.mark.parametrize("name", MODELS)
def test_placement_decides_the_options(name: str) -> None:
    cpu = min(os.sched_getaffinity(0))
    offered = {field.name for field in fields_of(MODELS[name].Config, {}, {})}
    assert "cpus" in offered
    assert ("switch_interval_us" in offered) is (name != "c_threads")
    typed = {"model": name, "cpus": str(cpu), "switch_interval_us": "70"}
    typed = {field: value for field, value in typed.items() if field == "model" or field in offered}
    config, problems = server_config(typed | ({"placement": "process"} if "placement" in offered else {}))
    assert problems == {}
    assert config is not None
    assert (config.cpus, config.switch_interval_us) == ([cpu], None if name == "c_threads" else 70)


@pytest.mark.parametrize("kinds", ["", "junk", ",,", "junk,<b>"])
def test_default_kind_is_script(kinds: str) -> None:
    assert [form.kind for form in group_forms({"kinds": kinds}, {})] == ["script"]


def test_links_change_the_groups() -> None:
    first, second = group_forms({"kinds": "open,idle"}, {})
    assert {choice.kind: choice.kinds for choice in first.choices}["flood"] == "flood,idle"
    assert [choice.kind for choice in second.choices if choice.is_current] == ["idle"]
    assert (first.without, second.without) == ("idle", "open")
    assert one_more({"kinds": "open,idle"}) == "open,idle,closed"
    assert one_more({"kinds": ",".join(["open"] * 15)}).count("open") == 15
    assert one_more({"kinds": ",".join(["open"] * 16)}) == ""  # the maximum of a run
