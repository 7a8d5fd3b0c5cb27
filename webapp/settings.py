"""Settings of the control plane. Flags override `SERVERLAB_…` environment variables, which override the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from coreserver.clients.allowed_targets import allowed_entry
from coreserver.errors import ConfigError

ENV_PREFIX = "SERVERLAB_"


def default_data_dir(env: Mapping[str, str]) -> Path:
    """Return the data directory of the user by the XDG base directory specification, which ignores relative paths."""
    base = env.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "serverlab"


@dataclass(frozen=True, slots=True)
class Settings:
    """Address, data directory and limits of the lab. Immutable, so any thread may read it.

    Each field can be set by the environment variable `SERVERLAB_` plus its name in capitals, such as
    `SERVERLAB_MAX_RUN_S`; `host`, `port`, `data_dir` and `allow_target` also by flags of `serverlab serve`. An error
    about an exceeded limit names the field.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = field(default_factory=lambda: default_data_dir(os.environ))
    allow_target: tuple[str, ...] = ()  # allowed external servers, such as `127.0.0.1:9000-9100`
    max_servers: int = 32
    max_threads: int = 12_000  # that the settings of all running servers together allow
    max_connections: int = 50_000  # the same for connections; also the clients of one run
    max_queued_runs: int = 100  # without the run in progress
    max_run_s: float = 600.0
    max_streams: int = 32
    max_body_bytes: int = 64 * 1024
    max_import_bytes: int = 64 * 1024 * 1024  # a file of a run: about 500,000 messages or 250,000 clients
    receive_deadline_s: float = 10.0  # close a connection that has not sent a whole request after this time
    send_deadline_s: float = 20.0  # close a connection that has not read any of its response for this time
    push_interval_s: float = 0.2  # minimum time between two events of a live page: about four updates per second

    @classmethod
    def load(cls, env: Mapping[str, str], **flags: object) -> Settings:
        """Return the settings from the environment and from the flags that are not None.

        Raises:
            ValueError: the value of a variable or flag is not valid; the message names it.
        """
        values: dict[str, object] = {"data_dir": default_data_dir(env)}
        for setting in fields(cls):
            text = env.get(ENV_PREFIX + setting.name.upper())
            if text:
                values[setting.name] = _parse(setting.name, text)
        values.update({name: value for name, value in flags.items() if value is not None})
        settings = cls(**values)  # type: ignore[arg-type]
        for entry in settings.allow_target:
            _check_target(entry)
        return settings


def _parse(name: str, text: str) -> object:
    if name == "host":
        return text
    if name == "data_dir":
        return Path(text).expanduser()
    if name == "allow_target":
        return tuple(entry.strip() for entry in text.split(",") if entry.strip())
    try:
        number = float(text) if name.endswith("_s") else int(text)
    except ValueError:
        kind = "a number" if name.endswith("_s") else "a whole number"
        raise ValueError(f"{ENV_PREFIX}{name.upper()} must be {kind}") from None
    if not 0 <= number < 2**31:
        raise ValueError(f"{ENV_PREFIX}{name.upper()} must be 0 or more, and less than {2**31}")
    return number


def _check_target(entry: str) -> None:
    try:
        allowed_entry(entry)
    except ConfigError as error:
        raise ValueError(f"--allow-target (or {ENV_PREFIX}ALLOW_TARGET): {error}") from None
