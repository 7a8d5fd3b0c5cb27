"""Behaviour of `c_threads` only: its compiler, the options it rejects, and its protocol engine in C."""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from pydantic import ValidationError

from coreserver.errors import CannotStart
from coreserver.hosting.host import host_for
from coreserver.models.c_threads import FLAGS, SOURCE, arguments, build_program, cache_dir
from coreserver.models.shared.accept_loop import EXHAUSTED, TRANSIENT
from coreserver.models.shared.base import State
from coreserver.telemetry.frames import Decoder, Listening, Refused
from coreserver.telemetry.remote_recorder import RemoteRecorder
from tests.support.servers import Peer, assert_healthy, oracle, running, server_config, wait_until


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder for one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SERVERLAB_CACHE_DIR", str(folder))
    return folder


# --- the engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"read_bytes": 1},
        {"read_bytes": 37},
        {"reply": "per_byte"},
        {"work": {"kind": "sleep", "mean_ms": 0.001}},
        {"work": {"kind": "sleep", "mean_ms": 0.001, "per": "connection"}, "read_bytes": 5},
    ],
    ids=["default", "single bytes", "37 bytes", "per_byte", "work per message", "work per connection"],
)
def test_engine_in_c_equals_the_oracle(options: dict[str, object], seed: int) -> None:
    rng = random.Random(seed)
    pieces = [b"^", b"$", b"^$", b"$^", b"\xff", b"\x00", bytes(range(256)), b"plain", rng.randbytes(100)]
    stream = b"".join(rng.choice(pieces) for _ in range(150))
    with running("c_threads", **options) as server, Peer(server) as peer:
        peer.wait_greeted()
        position = 0
        while position < len(stream):
            cut = position + rng.choice([1, 2, 3, 30, 31, 32, 33, 300])
            peer.send(stream[position:cut])
            position = cut
        assert peer.receive(len(oracle(stream))) == oracle(stream)


def test_every_byte_value_is_answered() -> None:
    everything = b"^" + bytes(range(256)) + b"$^" + bytes(range(255, -1, -1)) + b"$"
    with running("c_threads") as server, Peer(server) as peer:
        assert peer.wait_greeted().ask(everything) == oracle(everything)
        assert peer.ask(b"$^abc") == oracle(b"$^abc")


def test_early_closes_do_not_end_the_program() -> None:
    with running("c_threads", backlog=600) as server:
        for _ in range(500):
            with Peer(server) as hasty:
                hasty.send(b"^" + b"a" * 1000)
        assert_healthy(server)


ACCEPT_THAT_FAILS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

int accept4(int fd, struct sockaddr *restrict peer, socklen_t *restrict size, int flags) {
    static char *left;
    char *end;
    if (!left)
        left = getenv("ACCEPT_ERRORS");
    int error = (int)strtol(left, &end, 10);
    if (end != left) {
        left = end;
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
        errno = error;
        return -1;
    }
    return ((int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4"))(fd, peer, size, flags);
}
"""


@pytest.fixture(scope="module")
def failing_accept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a library whose accept4(2) fails with each error of ACCEPT_ERRORS before it works."""
    folder = tmp_path_factory.mktemp("accept")
    source, library = folder / "accept.c", folder / "accept.so"
    source.write_text(ACCEPT_THAT_FAILS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def accept_raises(failing_accept: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[int]], None]:
    """Return a function that makes accept fail with these errors first in programs started from then on."""

    def fail(codes: Iterable[int]) -> None:
        build_program()  # before the library is preloaded, which would affect the compiler
        monkeypatch.setenv("ACCEPT_ERRORS", " ".join(map(str, codes)))
        monkeypatch.setenv("LD_PRELOAD", str(failing_accept))

    return fail


def test_network_errors_of_accept_are_transient(
    accept_raises: Callable[[Iterable[int]], None],
) -> None:
    accept_raises(sorted(TRANSIENT))
    with running("c_threads") as server:
        assert_healthy(server)
        assert server.snapshot().totals.events == {}


def test_accept_pauses_without_memory(accept_raises: Callable[[Iterable[int]], None]) -> None:
    accept_raises(sorted(EXHAUSTED))
    with running("c_threads") as server:
        assert_healthy(server)
        assert server.snapshot().totals.events == {"accept_paused": 1}


def test_unknown_accept_error_fails_the_server(
    accept_raises: Callable[[Iterable[int]], None],
) -> None:
    accept_raises([errno.EBADMSG])
    with running("c_threads") as server, Peer(server):
        wait_until(lambda: server.state is State.FAILED, "the server has failed")
        assert os.strerror(errno.EBADMSG) in (server.failure or "")


def test_stalled_reader_loses_whole_records(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coreserver.models.c_threads.FLAGS", (*FLAGS, "-DROOM=8192"))
    connections = 3000  # about 400 KB of frames; the pipe holds 64 KB
    with subprocess.Popen([build_program(), "backlog=1024"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(b"start\n")
        program.stdin.flush()
        decoder, remote, address = Decoder(), RemoteRecorder(), None
        while address is None:
            for frame in decoder.feed(os.read(program.stdout.fileno(), 4096)):
                address = frame if isinstance(frame, Listening) else address
        subscription = remote.subscribe()
        for _ in range(connections):
            with socket.create_connection(address) as peer:
                assert peer.recv(1) == b"*"
        program.stdin.write(b"drain 1\n")
        program.stdin.flush()
        while data := os.read(program.stdout.fileno(), 65536):
            for frame in decoder.feed(data):
                remote.apply(frame)
    arrived = subscription.take()
    assert subscription.lost > 0
    assert len(arrived) + subscription.lost == connections == remote.totals().accepted
    assert remote.totals().active == 0
    assert all(record.started_ns and record.worker and record.outcome == "completed" for record in arrived)


# --- options it rejects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"work": {"kind": "cpu", "mean_ms": 1.0}}, "work"),
        ({"work": {"kind": "mixed", "cpu_ms": 1.0}}, "work"),
        ({"placement": "thread"}, "placement"),
        ({"switch_interval_us": 100}, "switch_interval_us"),
        ({"cpus": [4095]}, "cpus"),
    ],
)
def test_unsupported_options_are_named(options: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        server_config("c_threads", **options)
    assert [error["loc"] for error in refused.value.errors()] == [("c_threads", field)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"switch_interval_us": 100}, "switch_interval_us"),
        ({"cpus": [0]}, "cpus"),
        ({"placement": "process", "cpus": [4095]}, "cpus"),
        ({"placement": "process", "cpus": []}, "cpus"),
        ({"placement": "process", "switch_interval_us": 0}, "switch_interval_us"),
        ({"placement": "fork"}, "placement"),
    ],
)
def test_process_options_are_checked(options: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        server_config("thread_per_client", **options)
    assert [error["loc"] for error in refused.value.errors()] == [("thread_per_client", field)]


def test_arguments_are_whole_numbers() -> None:
    config = server_config("c_threads", idle_timeout_s=None, max_session_s=0.0000001, name="any name")
    host, *numbers = arguments(config)
    assert host == "host=127.0.0.1"
    values = dict(number.split("=") for number in numbers)
    assert all(value.isdecimal() for value in values.values())
    assert (values["idle_us"], values["session_us"], values["write_us"]) == ("0", "1", "10000000")


@pytest.mark.parametrize(
    "argument",
    ["port", "port=", "port=x", "port=-1", "por=1", "port=1x", "host=" + "1" * 80, "port=99999999999999999999"],
)
def test_program_rejects_bad_arguments(argument: str) -> None:
    done = subprocess.run([build_program(), argument], input="", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"c_threads: invalid argument {argument}\n")


def test_program_listens_on_loopback_only() -> None:
    done = subprocess.run([build_program(), "host=0.0.0.0"], input=b"start\n", capture_output=True)
    assert done.returncode == 1
    [refused, _] = Decoder().feed(done.stdout)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.field) == ("config", "host")


# --- the compiler ----------------------------------------------------------------------------------------------------


def fake_compiler(folder: Path, script: str) -> None:
    folder.mkdir()
    (folder / "cc").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "cc").chmod(0o755)


def test_same_source_is_compiled_once(cache: Path) -> None:
    program = build_program()
    first = program.stat()
    assert build_program() == program
    assert program.stat() == first
    assert os.listdir(cache) == [program.name]
    assert first.st_mode & 0o100


def test_new_source_or_compiler_recompiles(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = build_program()
    changed = tmp_path / "c_threads.c"
    changed.write_text(SOURCE.read_text() + "\n")
    for header in SOURCE.parent.glob("*.h"):
        (tmp_path / header.name).write_text(header.read_text())
    with monkeypatch.context() as patch:
        patch.setattr("coreserver.models.c_threads.SOURCE", changed)
        assert build_program() != program
    fake_compiler(tmp_path / "bin", '[ "$1" = --version ] && echo newer && exit; PATH=${PATH#*:} exec cc "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert build_program() != program
    assert len(os.listdir(cache)) == 3


def test_concurrent_compiles_leave_one_program(cache: Path) -> None:
    programs: list[Path] = []
    threads = [threading.Thread(target=lambda: programs.append(build_program())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(programs) == {cache / programs[0].name}
    with running("c_threads") as server:
        assert_healthy(server)


def test_missing_compiler_is_an_error(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    server = host_for(server_config("c_threads"))
    with pytest.raises(CannotStart, match="C compiler"):
        server.start()
    assert server.state is State.FAILED
    assert "C compiler" in (server.failure or "")
    server.stop()
    with running("thread_per_client", placement="process") as other:
        assert_healthy(other)


def test_compile_error_is_quoted(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_compiler(
        tmp_path / "bin", '[ "$1" = --version ] && echo 1 && exit; echo c_threads.c: what is this >&2; exit 1'
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(CannotStart, match="what is this"):
        build_program()
    assert os.listdir(cache) == []


def test_unwritable_cache_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SERVERLAB_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(CannotStart, match="Not a directory"):
        build_program()


def test_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVERLAB_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/somewhere")
    assert cache_dir() == Path("/var/somewhere/serverlab")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache_dir() == Path.home() / ".cache" / "serverlab"
