"""Server processes that die, hang or cannot start: the lab reports it and cleans up."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest

from coreserver.errors import CannotStart, ConfigError, PortInUse
from coreserver.hosting.host import ServerHost, host_for
from coreserver.models.shared.base import State
from coreserver.models.shared.child_model import ChildModel
from tests.support.servers import Peer, assert_conserved, assert_healthy, is_refused, running, server_config, wait_until

SOON_S = 20.0  # deadline for events that are immediate on a quiet machine
CHILD = "import sys; from coreserver.hosting import server_process as child; sys.exit(child.main())"


@pytest.fixture(params=["thread_per_client", "c_threads"])
def model(request: pytest.FixtureRequest) -> str:
    """Return a design in Python and one in C."""
    name: str = request.param
    return name


@pytest.fixture
def server(model: str) -> Iterator[ServerHost]:
    """Run a server of the model in its own process."""
    with running(model, placement="process") as host:
        yield host


class Program(ChildModel):
    """A server that runs the program of the test."""

    start_deadline_s = 5.0

    def __init__(self, *argv: str) -> None:
        super().__init__(server_config("thread_per_client", placement="process"))
        self.argv = argv

    def command(self) -> list[str]:
        return list(self.argv)


def python(code: str) -> Program:
    """Return a server that runs this Python code."""
    return Program(sys.executable, "-c", code)


def pid_of(server: ServerHost) -> int:
    assert server.pid is not None
    return server.pid


def assert_failed_soon(server: ServerHost, *reasons: str) -> None:
    wait_until(lambda: server.state is State.FAILED, "the server has failed", SOON_S)
    for reason in reasons:
        assert reason in (server.failure or "")
    assert any(event.kind == "failed" for event in server.events())


def assert_nothing_left(server: ServerHost) -> None:
    wait_until(lambda: server.snapshot().totals.active == 0, "every connection has ended")
    assert_conserved(server)
    wait_until(lambda: server.pid is None, "the process is reaped")
    assert is_refused(server)


# --- a running server's process --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_process_is_a_failed_server(server: ServerHost, sent: signal.Signals) -> None:
    subscription = server.subscribe()
    with Peer(server) as peer:
        peer.wait_greeted()
        wait_until(lambda: server.snapshot().totals.in_service == 1, "the client is in service")
        os.kill(pid_of(server), sent)
        assert_failed_soon(server, f"was killed by {sent.name}")
        assert peer.receive_to_end() == b""
    assert_nothing_left(server)
    assert [record.outcome for record in subscription.take()] == ["error"]
    server.stop()
    assert server.state is State.STOPPED


def test_paused_process_is_a_failed_server(server: ServerHost) -> None:
    with Peer(server) as peer:
        peer.wait_greeted()
        os.kill(pid_of(server), signal.SIGSTOP)
        assert_failed_soon(server, "SIGSTOP")
        assert peer.receive_to_end() == b""
    assert_nothing_left(server)


def test_paused_process_can_be_stopped(server: ServerHost) -> None:
    os.kill(pid_of(server), signal.SIGSTOP)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < SOON_S
    assert server.state is State.STOPPED
    assert_nothing_left(server)


def test_drain_ends_when_process_dies(server: ServerHost) -> None:
    pid = pid_of(server)
    with Peer(server) as peer:
        peer.wait_greeted()
        child = psutil.Process(pid)
        killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {pid}"])
        began = time.monotonic()
        server.drain(30.0)
        assert time.monotonic() - began < SOON_S
        killer.wait()
        assert not child.is_running()
    assert "SIGKILL" in (server.failure or "")
    assert_nothing_left(server)


def test_port_is_usable_after_a_kill(model: str, server: ServerHost) -> None:
    assert server.address is not None
    os.kill(pid_of(server), signal.SIGKILL)
    assert_failed_soon(server)
    with running(model, placement="process", port=server.address.port) as again:
        assert_healthy(again)


def test_process_has_its_own_session(server: ServerHost) -> None:
    assert os.getsid(pid_of(server)) == pid_of(server)


def test_servers_end_with_killed_lab(model: str) -> None:
    lab = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, signal; from tests.support.servers import running\n"
            "with running(sys.argv[1], placement='process') as server:\n"
            "    print(server.pid, server.address.port, flush=True); signal.pause()",
            model,
        ],
        stdout=subprocess.PIPE,
    )
    assert lab.stdout is not None
    pid, port = map(int, lab.stdout.readline().split())
    child = psutil.Process(pid)
    lab.kill()
    lab.communicate()

    def is_gone() -> bool:
        with suppress(psutil.NoSuchProcess):
            return (
                child.status() == psutil.STATUS_ZOMBIE
            )  # an init process that does not reap is no fault of the server
        return True

    wait_until(is_gone, "the server has ended", SOON_S)
    with running(model, placement="process", port=port) as again:
        assert_healthy(again)


def test_descriptor_limit_causes_no_spin(server: ServerHost) -> None:
    process = psutil.Process(pid_of(server))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (process.num_fds() + 8, 20_000))
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(server)) for _ in range(40)]
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        wait_until(lambda: time.monotonic() - began > 1.0, "a second at the limit")
        assert sum(process.cpu_times()[:2]) - before < 0.15
        assert len(server.events()) < 20
        for peer in peers:
            peer.wait_greeted()
            peer.sock.close()
    assert_healthy(server)


def test_failed_c_thread_costs_one_client() -> None:
    with running("c_threads", backlog=256) as server:
        process = psutil.Process(pid_of(server))
        assert_healthy(server)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (process.memory_info().vms + 400_000, -1))
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(server)) for _ in range(40)]
            greeted = [peer.receive(1) == b"*" for peer in peers]
            assert not all(greeted)
            wait_until(lambda: server.snapshot().totals.events.get("spawn_failed", 0) > 0, "it is an event")
        resource.prlimit(process.pid, resource.RLIMIT_AS, (-1, -1))
        assert_healthy(server)
        assert server.snapshot().totals.outcomes["error"] == greeted.count(False)


# --- starting --------------------------------------------------------------------------------------------------------


def test_silent_program_cannot_start() -> None:
    silent = Program("sleep", "60")
    silent.start_deadline_s = 0.3  # type: ignore[misc]
    with pytest.raises(CannotStart, match=r"did not begin to listen within 0\.3 s"):
        silent.start()
    assert silent.state is State.FAILED
    assert silent.pid is None


def test_wrong_program_cannot_start() -> None:
    chatty = Program("sh", "-c", "echo Hello, I serve web pages; cat")
    with pytest.raises(CannotStart, match="invalid telemetry"):
        chatty.start()
    assert chatty.pid is None


def test_exit_is_reported_with_last_output() -> None:
    dying = Program("sh", "-c", "for n in $(seq 50); do echo line $n >&2; done; exit 7")
    with pytest.raises(CannotStart, match="exit code 7") as raised:
        dying.start()
    assert "line 31 | " in str(raised.value)
    assert str(raised.value).endswith("line 50")
    assert "line 30 |" not in str(raised.value)


def test_missing_program_cannot_start() -> None:
    with pytest.raises(CannotStart, match="no-such-program"):
        Program("/no-such-program").start()


def test_large_stderr_does_no_harm() -> None:
    loud = python(f"import sys; sys.stderr.write('x' * 999_999 + chr(10)); sys.stderr.flush(); {CHILD}")
    loud.start()
    loud.stop()
    assert (loud.state, loud.failure) == (State.STOPPED, None)


def test_print_does_not_disturb_telemetry() -> None:
    printing = python(
        "import sys; from coreserver.hosting import server_process as child\n"
        "from coreserver.telemetry import frame_sender; note = frame_sender.ReportingRecorder._add\n"
        "def loud(*a): print('accepted', flush=True); return note(*a)\n"
        f"frame_sender.ReportingRecorder._add = loud; {CHILD}"
    )
    address = printing.start()
    with socket.create_connection(address) as peer:
        assert peer.recv(1) == b"*"
    wait_until(lambda: printing.snapshot().totals.outcomes["completed"] == 1, "the connection is recorded")
    printing.stop()
    assert printing.failure is None


def test_switch_interval_is_set_in_process_only() -> None:
    before = sys.getswitchinterval()
    telling = python(
        "import sys; from coreserver.hosting import server_process as child\n"
        "child._serve = lambda *a: sys.exit(f'it is {sys.getswitchinterval()}')\n"
        "child.main()"
    )
    telling.config = server_config("thread_per_client", placement="process", switch_interval_us=70)
    with pytest.raises(CannotStart, match="it is 7e-05"):
        telling.start()
    assert sys.getswitchinterval() == before


def test_port_in_use_is_reported(model: str, server: ServerHost) -> None:
    assert server.address is not None
    with pytest.raises(PortInUse) as in_use, running(model, placement="process", port=server.address.port):
        pass
    assert in_use.value.field == "port"


def refusing() -> Program:
    """Return a Python server with an unusable address, which its settings would refuse."""
    refusal = "Refused('config', 'host', 'no such address')"
    imports = "import sys; from coreserver.telemetry.frames import Refused, encode"
    code = f"{imports}; sys.stdout.buffer.write(encode({refusal}))"
    return python(code)


def no_such_address() -> ServerHost:
    """Return the same for the C program, which tries to use the address."""
    return host_for(server_config("c_threads").model_copy(update={"host": "::1%nowhere"}))


@pytest.mark.parametrize("made", [refusing, no_such_address])
def test_unusable_address_is_a_config_error(made: Callable[[], ServerHost | Program]) -> None:
    host = made()
    with pytest.raises(ConfigError) as refused:
        host.start()
    assert refused.value.field == "host"
    host.stop()
