"""The server process, which runs one server model: `python -m coreserver.hosting.server_process`.

`coreserver.models.shared.child_model` starts it.

stdin:   the settings as one line of JSON, then the line `drain SECONDS`; the process exits at once when stdin ends
stdout:  telemetry frames (`coreserver.telemetry.frames`), nothing else
stderr:  error messages; the parent keeps the last lines

main:      start the model, wait for `drain`, drain, send `Ended`, exit
lifeline:  read stdin; when it ends, the parent has exited, so exit at once
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator

from pydantic import TypeAdapter

from coreserver.config.server import ServerOptions
from coreserver.errors import ConfigError, PortInUse, ServerlabError
from coreserver.models import MODELS, ServerConfig
from coreserver.models.shared.base import ServerModel, State
from coreserver.process_setup import claim_stdout, raise_descriptor_limit, stdin_lines
from coreserver.telemetry.frame_sender import FrameSender, ReportingRecorder
from coreserver.telemetry.frames import Listening, Refused
from coreserver.telemetry.sampler import take_sample


def main() -> int:
    """Run the server that stdin describes until it is drained; return the exit code."""
    telemetry = claim_stdout()
    lines = stdin_lines()
    config: ServerOptions = TypeAdapter(ServerConfig).validate_json(next(lines))
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_follow_lifeline, args=(lines, commands), name="lifeline", daemon=True).start()
    raise_descriptor_limit()
    if config.switch_interval_us is not None:
        sys.setswitchinterval(config.switch_interval_us / 1_000_000)
    return _serve(config, FrameSender(telemetry), commands)


def _serve(config: ServerOptions, sender: FrameSender, commands: queue.SimpleQueue[str]) -> int:
    model = MODELS[config.model](config, ReportingRecorder(sender))
    try:
        address = model.start()
    except ServerlabError as error:
        sender.put(_refusal(error))
        sender.close()
        return 1
    sender.start(lambda: take_sample(model))
    sender.put(Listening(*address), at_once=True)
    _end(model, float(commands.get().removeprefix("drain ")))
    sender.close()
    return 0


def _end(model: ServerModel, deadline_s: float) -> None:
    if deadline_s > 0 and model.state is State.LISTENING:
        model.drain(deadline_s)
    model.stop()  # also after a failure; after a drain it does nothing


def _refusal(error: ServerlabError) -> Refused:
    if isinstance(error, PortInUse):
        return Refused("port_in_use", error.field, str(error))
    if isinstance(error, ConfigError):
        return Refused("config", error.field, str(error))
    return Refused("cannot_start", "", str(error))


def _follow_lifeline(lines: Iterator[bytes], commands: queue.SimpleQueue[str]) -> None:
    for line in lines:
        commands.put(line.decode())
    os._exit(1)  # the parent has exited; the kernel closes every socket


if __name__ == "__main__":
    sys.exit(main())
