"""The telemetry of a server process, as frames on a pipe.

    frame:  u16 payload length, u8 kind, payload
    text:   u16 length, UTF-8

Numbers are in the byte order of the machine, because both ends run on it. Stamps are monotonic nanoseconds, valid in
every process of one host. `coreserver.hosting.server_process` sends these frames, and so do the programs in C
(`models/c_telemetry.h`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

from coreserver.records.samples import Sample
from coreserver.records.server import Event, ServerOutcome

MAX_TEXT_BYTES = 4096  # longer text is truncated
OUTCOMES = tuple(ServerOutcome)  # an outcome is sent as its position in the enumeration

_HEADER = struct.Struct("=HB")


class WireError(Exception):
    """The bytes are not telemetry."""


class Accepted(NamedTuple):
    """A connection was accepted."""

    number: int
    at_ns: int
    peer: tuple[str, int]


class Started(NamedTuple):
    """A worker began to serve the connection."""

    number: int
    at_ns: int
    worker: str


class Finished(NamedTuple):
    """The connection ended."""

    number: int
    at_ns: int
    outcome: ServerOutcome
    bytes_in: int
    bytes_out: int
    messages: int


class Lost(NamedTuple):
    """Connections that ended with `outcome` and were not reported, because the pipe was full at their accept."""

    outcome: ServerOutcome
    connections: int


class Listening(NamedTuple):
    """The server listens."""

    host: str
    port: int


class Refused(NamedTuple):
    """The server cannot start. `code` is port_in_use, config (`field` names the setting) or cannot_start."""

    code: str
    field: str
    reason: str


class Ended(NamedTuple):
    """The drain or stop is over; this is the last frame."""


Frame: TypeAlias = Accepted | Started | Finished | Lost | Listening | Refused | Ended | Event | Sample


# --- packing ---------------------------------------------------------------------------------------------------------

_TWO = struct.Struct("=QQ")
_FINISHED = struct.Struct("=QQBQQQ")
_LOST = struct.Struct("=BQ")
_U64 = struct.Struct("=Q")
_U16 = struct.Struct("=H")
_SAMPLE = struct.Struct("=QQQqqqqdQQQQq")
_NOT_KNOWN = -1  # in a sample: the figure is not available


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "replace")[:MAX_TEXT_BYTES]
    return _U16.pack(len(data)) + data


def _pack_accepted(frame: Accepted) -> bytes:
    host, port = frame.peer
    return _TWO.pack(frame.number, frame.at_ns) + _U16.pack(port) + _text(host)


def _pack_started(frame: Started) -> bytes:
    return _TWO.pack(frame.number, frame.at_ns) + _text(frame.worker)


def _pack_finished(frame: Finished) -> bytes:
    number, at_ns, outcome, *counts = frame
    return _FINISHED.pack(number, at_ns, OUTCOMES.index(outcome), *counts)


def _pack_sample(frame: Sample) -> bytes:
    optional = (frame.threads_alive, frame.threads_busy, frame.queue_depth, frame.accept_queue, frame.listen_overflows)
    threads_alive, threads_busy, queue_depth, accept_queue, overflows = (
        _NOT_KNOWN if figure is None else figure for figure in optional
    )
    return _SAMPLE.pack(
        frame.at_ns,
        frame.waiting,
        frame.in_service,
        threads_alive,
        threads_busy,
        queue_depth,
        accept_queue,
        frame.cpu_s,
        frame.rss_bytes,
        frame.vms_bytes,
        frame.voluntary_switches,
        frame.involuntary_switches,
        overflows,
    )


# --- unpacking -------------------------------------------------------------------------------------------------------


class _Payload:
    """Reads values from a payload, from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        values = layout.unpack_from(self._data, self._position)
        self._position += layout.size
        return values

    def text(self) -> str:
        [length] = self.take(_U16)
        start, self._position = self._position, self._position + length
        if self._position > len(self._data):
            raise WireError("a text is longer than its frame")
        return self._data[start : self._position].decode("utf-8", "replace")

    def is_empty(self) -> bool:
        return self._position == len(self._data)


def _unpack_accepted(payload: _Payload) -> Accepted:
    number, at_ns = payload.take(_TWO)
    [port] = payload.take(_U16)
    return Accepted(number, at_ns, (payload.text(), port))


def _unpack_started(payload: _Payload) -> Started:
    number, at_ns = payload.take(_TWO)
    return Started(number, at_ns, payload.text())


def _unpack_finished(payload: _Payload) -> Finished:
    number, at_ns, outcome, bytes_in, bytes_out, messages = payload.take(_FINISHED)
    return Finished(number, at_ns, OUTCOMES[outcome], bytes_in, bytes_out, messages)


def _unpack_lost(payload: _Payload) -> Lost:
    outcome, connections = payload.take(_LOST)
    return Lost(OUTCOMES[outcome], connections)


def _unpack_listening(payload: _Payload) -> Listening:
    [port] = payload.take(_U16)
    return Listening(payload.text(), port)


def _unpack_event(payload: _Payload) -> Event:
    [at_ns] = payload.take(_U64)
    return Event(at_ns, payload.text(), payload.text())


def _unpack_sample(payload: _Payload) -> Sample:
    at_ns, waiting, in_service, *rest = payload.take(_SAMPLE)
    figures: list[Any] = [None if figure == _NOT_KNOWN else figure for figure in rest]
    return Sample(at_ns, waiting, in_service, *figures)


# --- the kinds, by their number --------------------------------------------------------------------------------------

_KINDS: list[tuple[type[Any], Callable[[Any], bytes], Callable[[_Payload], Frame]]] = [
    (Accepted, _pack_accepted, _unpack_accepted),
    (Started, _pack_started, _unpack_started),
    (Finished, _pack_finished, _unpack_finished),
    (Lost, lambda frame: _LOST.pack(OUTCOMES.index(frame.outcome), frame.connections), _unpack_lost),
    (Listening, lambda frame: _U16.pack(frame.port) + _text(frame.host), _unpack_listening),
    (Refused, lambda frame: b"".join(map(_text, frame)), lambda p: Refused(p.text(), p.text(), p.text())),
    (Ended, lambda _: b"", lambda _: Ended()),
    (Event, lambda frame: _U64.pack(frame.at_ns) + _text(frame.kind) + _text(frame.detail), _unpack_event),
    (Sample, _pack_sample, _unpack_sample),
]
_PACK = {frame_type: (kind, pack) for kind, (frame_type, pack, _) in enumerate(_KINDS)}
_UNPACK = [unpack for _, _, unpack in _KINDS]


def encode(frame: Frame) -> bytes:
    """Return the bytes of `frame`."""
    kind, pack = _PACK[type(frame)]
    payload = pack(frame)
    return _HEADER.pack(len(payload), kind) + payload


class Decoder:
    """Decoder of a stream of frames that arrives in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes; exhaust the iterator before the next call.

        Raises:
            WireError: the bytes are not telemetry; nothing after them can be read.
        """
        data = self._rest + data
        position = 0
        while len(data) >= position + _HEADER.size:
            length, kind = _HEADER.unpack_from(data, position)
            start, end = position + _HEADER.size, position + _HEADER.size + length
            if kind >= len(_UNPACK):
                raise WireError(f"unknown frame kind {kind}")
            if len(data) < end:
                break
            yield _decode(kind, data[start:end])
            position = end
        self._rest = data[position:]


def _decode(kind: int, data: bytes) -> Frame:
    payload = _Payload(data)
    try:
        frame = _UNPACK[kind](payload)
    except (struct.error, IndexError) as error:
        raise WireError(f"a frame of kind {kind} and {len(data)} bytes cannot be read") from error
    if not payload.is_empty():
        raise WireError(f"a frame of kind {kind} is too long")
    return frame
