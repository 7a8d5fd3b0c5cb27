"""A thread for every client, in C: `c_threads.c` beside this file, compiled on first use, run as a child process.

    acceptor:  accept ─ start thread ─ accept ─ start thread …
    client-1:  serve, end
    client-2:  serve, end …

The article's first server without the ways in which one client could end it (a reset, an early close, the descriptor
limit). What Python adds to a design, its interpreter and the lock that its threads share, is absent here: this is the
model to hold `thread_per_client` against.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from coreserver.config.server import NoWork, ServerOptions, SleepWork
from coreserver.errors import CannotStart
from coreserver.models.shared.child_model import ChildModel

SOURCE = Path(__file__).with_name("c_threads.c")
HEADERS = tuple(Path(__file__).with_name(name) for name in ("c_sockets.h", "c_telemetry.h", "c_session.h"))
FLAGS = ("-O2", "-pthread", "-Wall", "-Wextra", "-Werror")
COMPILE_DEADLINE_S = 60.0
_DISTRIBUTIONS = ("fixed", "exponential", "uniform")  # in the order of the enumeration in C


class CThreadsConfig(ServerOptions):
    """Settings of `c_threads`; `work` may be `none` or `sleep`."""

    model: Literal["c_threads"]
    placement: Literal["process"] = Field(default="process", description="a program of its own, always")
    work: Annotated[NoWork | SleepWork, Field(discriminator="kind")] = Field(
        default=NoWork(), description="what a message or a connection costs beside echoing"
    )

    switch_interval_us: Literal[None] = Field(default=None, description="none: there is no interpreter")

    @field_validator("switch_interval_us", mode="before")
    @classmethod
    def _has_no_interpreter(cls, value: object) -> object:
        if value is not None:
            raise ValueError("is for Python models: c_threads has no interpreter")
        return value


class CThreads(ChildModel):
    """A thread for every client, in C: no interpreter, no lock that they share."""

    Config = CThreadsConfig
    runs_on_one_core = False
    start_deadline_s: ClassVar[float] = 3.0

    def command(self) -> list[str]:
        """The compiled program and its settings."""
        return [str(compiled()), *arguments(self.config)]

    def first_line(self) -> str:
        """What the program waits for before it starts a thread."""
        return "start"


def arguments(config: ServerOptions) -> list[str]:
    """The settings as the program takes them: `name=integer`, times in microseconds, 0 for never."""
    work = config.work
    sleeps = work if isinstance(work, SleepWork) else None
    values = {
        "port": config.port,
        "backlog": config.backlog,
        "nodelay": int(config.nodelay),
        "per_byte": int(config.reply == "per_byte"),
        "read_bytes": config.read_bytes,
        "max_connections": config.max_connections or 0,
        "idle_us": _microseconds(config.idle_timeout_s),
        "write_us": _microseconds(config.write_timeout_s),
        "session_us": _microseconds(config.max_session_s),
        "sleep_us": _microseconds(sleeps.mean_ms / 1000) if sleeps else 0,
        "distribution": _DISTRIBUTIONS.index(sleeps.distribution) if sleeps else 0,
        "per_connection": int(sleeps is not None and sleeps.per == "connection"),
        "seed": config.seed,
    }
    return [f"host={config.host}", *(f"{name}={value}" for name, value in values.items())]


def _microseconds(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, round(seconds * 1_000_000))


# --- the compiler ----------------------------------------------------------------------------------------------------


def compiled() -> Path:
    """The program of `c_threads.c`, compiled now unless these very sources and this compiler have met before.

    Raises:
        CannotStart: there is no compiler, it refuses, or the cache cannot be written.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotStart("c_threads needs a C compiler, and there is no `cc` on the PATH of the lab")
    try:
        program = cache_dir() / f"c_threads-{_key(compiler)}"
        if not program.exists():
            _compile(compiler, program)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotStart(f"c_threads could not be compiled: {error}") from error
    return program


def cache_dir() -> Path:
    """Where compiled programs are kept: SERVERLAB_CACHE_DIR, or `serverlab` in the user's cache folder."""
    if chosen := os.environ.get("SERVERLAB_CACHE_DIR"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "serverlab"


def _key(compiler: str) -> str:
    """A name for what the sources, the flags and the compiler make together."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=COMPILE_DEADLINE_S).stdout
    parts = [version, " ".join(FLAGS).encode(), *(path.read_bytes() for path in (SOURCE, *HEADERS))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _compile(compiler: str, program: Path) -> None:
    """Compile beside `program` and rename, so that nobody ever finds half a program."""
    program.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=program.parent) as folder:
        result = Path(folder) / "c_threads"
        argv = [compiler, *FLAGS, "-o", str(result), str(SOURCE), "-lm"]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=COMPILE_DEADLINE_S)
        if done.returncode != 0:
            said = " | ".join(done.stderr.splitlines()[:5])
            raise CannotStart(f"cc refuses c_threads.c (exit code {done.returncode}): {said}")
        result.replace(program)
