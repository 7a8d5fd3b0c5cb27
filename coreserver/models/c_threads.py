"""One thread per client, in C: `c_threads.c` in this folder, compiled on first use and run as a child process.

    acceptor:  accept ─ start thread ─ accept ─ start thread …
    client-1:  serve, end
    client-2:  serve, end …

This is the article's first server without the defects that let one client end it (a reset, an early close, the
descriptor limit). It has no interpreter and no interpreter lock, so a comparison with `thread_per_client` shows the
cost that Python adds to the design.
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
from typing_extensions import override

from coreserver.config.server import NoWork, ServerOptions, SleepWork
from coreserver.errors import CannotStart
from coreserver.models.shared.child_model import ChildModel

SOURCE = Path(__file__).with_name("c_threads.c")
HEADERS = tuple(Path(__file__).with_name(name) for name in ("c_sockets.h", "c_telemetry.h", "c_session.h"))
FLAGS = ("-O2", "-pthread", "-Wall", "-Wextra", "-Werror")
COMPILE_DEADLINE_S = 60.0
_DISTRIBUTIONS = ("fixed", "exponential", "uniform")  # in the order of the C enumeration


class CThreadsConfig(ServerOptions):
    """Settings of `c_threads`; `work` may be `none` or `sleep`."""

    model: Literal["c_threads"]
    placement: Literal["process"] = Field(default="process", description="always process: the server is a C program")
    work: Annotated[NoWork | SleepWork, Field(discriminator="kind")] = Field(
        default=NoWork(), description="what a message or a connection costs in addition to the echo"
    )

    switch_interval_us: Literal[None] = Field(default=None, description="always empty: there is no interpreter")

    @field_validator("switch_interval_us", mode="before")
    @classmethod
    def _has_no_interpreter(cls, value: object) -> object:
        if value is not None:
            raise ValueError("needs a Python model: c_threads has no interpreter")
        return value


class CThreads(ChildModel):
    """One thread per client, in C: without an interpreter and its lock."""

    Config = CThreadsConfig
    runs_on_one_core = False
    start_deadline_s: ClassVar[float] = 3.0

    @override
    def command(self) -> list[str]:
        return [str(build_program()), *arguments(self.config)]

    @override
    def first_line(self) -> str:
        return "start"


def arguments(config: ServerOptions) -> list[str]:
    """Return the program's arguments: `name=integer`, times in microseconds, 0 for no limit."""
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


def build_program() -> Path:
    """Return the path of the compiled `c_threads.c`; compile it unless the cache has it for these sources and compiler.

    Raises:
        CannotStart: there is no compiler, it reports an error, or the cache cannot be written.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotStart("c_threads needs a C compiler, but there is no `cc` in the PATH of the lab")
    try:
        program = cache_dir() / f"c_threads-{_key(compiler)}"
        if not program.exists():
            _compile(compiler, program)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotStart(f"c_threads could not be compiled: {error}") from error
    return program


def cache_dir() -> Path:
    """Return the folder of compiled programs: SERVERLAB_CACHE_DIR, or `serverlab` in the user's cache folder."""
    if chosen := os.environ.get("SERVERLAB_CACHE_DIR"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "serverlab"


def _key(compiler: str) -> str:
    """Return a hash of the sources, the flags and the version of the compiler."""
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=COMPILE_DEADLINE_S).stdout
    parts = [version, " ".join(FLAGS).encode(), *(path.read_bytes() for path in (SOURCE, *HEADERS))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _compile(compiler: str, program: Path) -> None:
    """Compile in the folder of `program` and rename, so that the cache never has an incomplete program."""
    program.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=program.parent) as folder:
        result = Path(folder) / "c_threads"
        argv = [compiler, *FLAGS, "-o", str(result), str(SOURCE), "-lm"]
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=COMPILE_DEADLINE_S)
        if done.returncode != 0:
            said = " | ".join(done.stderr.splitlines()[:5])
            raise CannotStart(f"cc could not compile c_threads.c (exit code {done.returncode}): {said}")
        result.replace(program)
