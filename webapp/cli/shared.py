"""Code that all commands share: common flags, flags in dataclasses, settings, and errors as exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from enum import StrEnum
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from webapp.cli.exit_codes import CommandError, UsageError
from webapp.settings import Settings

AllowTarget = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS[/BITS]:PORT[-PORT]",
        help="Allow runs against external servers at this address, such as 127.0.0.1:9000-9100; repeatable.",
    ),
]
LabUrl = Annotated[
    str | None,
    typer.Option(
        envvar="SERVERLAB_URL", help="Address of the lab to use, instead of the lab running on the data directory."
    ),
]
DataDir = Annotated[Path | None, typer.Option(help="Data directory of the lab to use.")]


class Format(StrEnum):
    """Output format of a command."""

    TEXT = "text"
    JSON = "json"


def expand_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give typer one flag per field of the dataclasses that `command` takes.

    Typer reads the flags of a command from its signature. This decorator builds that signature from the fields of
    every parameter whose type is a dataclass, and passes the values on as objects of these dataclasses.
    """
    groups = get_type_hints(command)
    groups.pop("return")

    @functools.wraps(command)
    def expanded(**given: Any) -> None:
        arguments = {
            name: group(**{flag.name: given[flag.name] for flag in fields(group)}) for name, group in groups.items()
        }
        command(**arguments)

    hints = {
        name: hint for group in groups.values() for name, hint in get_type_hints(group, include_extras=True).items()
    }
    flags = [flag for group in groups.values() for flag in fields(group)]
    expanded.__annotations__ = hints
    expanded.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(flag.name, Parameter.KEYWORD_ONLY, default=flag.default, annotation=hints[flag.name])
            for flag in flags
        ]
    )
    return expanded


@contextmanager
def report_errors() -> Iterator[None]:
    """Convert a CommandError inside the block to its message on standard error and its exit code."""
    try:
        yield
    except CommandError as error:
        print(f"serverlab: {error}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(error.code) from error


def load_settings(*, allow_target: list[str] | None = None, **flags: object) -> Settings:
    """Return the settings from the environment and from the flags that are not None."""
    try:
        return Settings.load(os.environ, allow_target=tuple(allow_target or ()) or None, **flags)
    except ValueError as error:
        raise UsageError(str(error)) from error
