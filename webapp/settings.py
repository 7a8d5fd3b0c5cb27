"""The control plane's own settings: defaults, overridden by `SERVERLAB_…` variables, overridden by flags."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from coreserver.clients.allowed_targets import allowed_entry
from coreserver.errors import ConfigError

ENV_PREFIX = "SERVERLAB_"


def default_data_dir(env: Mapping[str, str]) -> Path:
    """The user's data folder after the XDG base directory specification, which ignores relative paths."""
    base = env.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "serverlab"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the lab listens, where it keeps its data, and how much it lets itself be asked for."""

    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = field(default_factory=lambda: default_data_dir(os.environ))
    allow_target: tuple[str, ...] = ()  # where runs may go beside the lab's own servers: `127.0.0.1:9000-9100`
    max_servers: int = 32
    max_threads: int = 12_000  # that running servers may have by their settings, all together
    max_connections: int = 50_000  # the same of connections, and of the clients of one run
    max_queued_runs: int = 100  # beside the one that runs: runs would disturb each other's figures
    max_run_s: float = 600.0
    max_streams: int = 32
    max_body_bytes: int = 64 * 1024
    max_import_bytes: int = 64 * 1024 * 1024  # of a run that comes as a file: some 500,000 messages, or 250,000 clients
    receive_deadline_s: float = 10.0  # a peer that sends no whole request for so long is closed
    send_deadline_s: float = 20.0  # a peer that takes nothing of its answer for so long is closed
    push_interval_s: float = 0.2  # live pages are told at most so often: with that they show four figures a second

    @classmethod
    def load(cls, env: Mapping[str, str], **flags: object) -> Settings:
        """Settings from the environment and from the flags that were given (None: not given).

        Raises:
            ValueError: a variable or flag does not hold what its setting needs; the message names it.
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
        raise ValueError(f"{ENV_PREFIX}{name.upper()} must be a number") from None
    if not 0 <= number < 2**31:
        raise ValueError(f"{ENV_PREFIX}{name.upper()} is out of range")
    return number


def _check_target(entry: str) -> None:
    try:
        allowed_entry(entry)
    except ConfigError as error:
        raise ValueError(f"--allow-target (or {ENV_PREFIX}ALLOW_TARGET): {error}") from None
