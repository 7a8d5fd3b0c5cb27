"""Run one server model in its own process: `python -m coreserver.hosting.server_process`.

`coreserver.models.shared.child_model` starts it.

stdin:   one line of JSON, the server's settings; then the line `drain SECONDS`; its end is ours, at once
stdout:  telemetry frames (`coreserver.telemetry.frames`), nothing else
stderr:  for people; the parent keeps the last lines

main:      start the model, wait for `drain`, drain, say so, end
lifeline:  reads stdin; when it ends, the lab is gone, and we leave no server behind
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
from coreserver.telemetry.frame_sender import Outbox, ReportingRecorder
from coreserver.telemetry.frames import Listening, Refused
from coreserver.telemetry.sampler import sample


def main() -> int:
    """Run the server that stdin describes until stdin says drain; the exit code."""
    telemetry = claim_stdout()
    lines = stdin_lines()
    config: ServerOptions = TypeAdapter(ServerConfig).validate_json(next(lines))
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_follow_lifeline, args=(lines, commands), name="lifeline", daemon=True).start()
    raise_descriptor_limit()
    if config.switch_interval_us is not None:
        sys.setswitchinterval(config.switch_interval_us / 1_000_000)
    return _serve(config, Outbox(telemetry), commands)


def _serve(config: ServerOptions, outbox: Outbox, commands: queue.SimpleQueue[str]) -> int:
    model = MODELS[config.model](config, ReportingRecorder(outbox))
    try:
        address = model.start()
    except ServerlabError as error:
        outbox.put(_refusal(error))
        outbox.close()
        return 1
    outbox.start(lambda: sample(model))
    outbox.put(Listening(*address), at_once=True)
    _end(model, float(commands.get().removeprefix("drain ")))
    outbox.close()
    return 0


def _end(model: ServerModel, deadline_s: float) -> None:
    if deadline_s > 0 and model.state is State.LISTENING:
        model.drain(deadline_s)
    model.stop()  # also what has failed; after a drain it does nothing


def _refusal(error: ServerlabError) -> Refused:
    if isinstance(error, PortInUse):
        return Refused("port_in_use", error.field, str(error))
    if isinstance(error, ConfigError):
        return Refused("config", error.field, str(error))
    return Refused("cannot_start", "", str(error))


def _follow_lifeline(lines: Iterator[bytes], commands: queue.SimpleQueue[str]) -> None:
    for line in lines:
        commands.put(line.decode())
    os._exit(1)  # nobody is left to hear how an orderly end would go; the kernel closes every socket


if __name__ == "__main__":
    sys.exit(main())
