"""Clients that cannot connect, or that are connected to themselves."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable

import pytest

from coreserver.clients.worker.source_addresses import ClientTarget
from coreserver.records.client import ClientOutcome
from tests.support.peers import Address, closed_port, honest, peer, play, script

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
IP_LOCAL_PORT_RANGE = 51  # linux/in.h, since Linux 6.3


def test_port_without_listener_refuses(loop: LoopFactory) -> None:
    (record,) = play(closed_port(), script({"send": "^a$"}), loop)
    assert (record.outcome, record.detail) == (ClientOutcome.REFUSED, "ECONNREFUSED")
    assert record.connect_start_ns is not None
    assert record.connected_ns is None
    assert record.closed_ns is not None
    assert record.log == []


def test_missing_descriptor_is_not_started(monkeypatch: pytest.MonkeyPatch, loop: LoopFactory) -> None:
    def out_of_descriptors(_target: ClientTarget, _number: int) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(ClientTarget, "open_socket", out_of_descriptors)
    (record,) = play(closed_port(), script({"send": "^a$"}), loop)
    assert (record.outcome, record.detail) == (ClientOutcome.NOT_STARTED, "EMFILE")
    assert record.connect_start_ns is record.closed_ns is None


class OnePort(ClientTarget):
    """Limit sockets to one local port."""

    def __init__(self, address: Address, local_port: int) -> None:
        super().__init__(*address)
        self._local_port = local_port

    def open_socket(self, number: int) -> socket.socket:
        sock = super().open_socket(number)
        try:
            port_range = self._local_port << 16 | self._local_port
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, port_range.to_bytes(4, "little"))
        except OSError:
            sock.close()
            pytest.skip("the kernel knows no IP_LOCAL_PORT_RANGE")
        return sock


def test_missing_port_is_not_started(loop: LoopFactory) -> None:
    free_port = closed_port()[1]
    with peer(honest) as address:
        load = script({"send": "^a$"}, {"wait_s": 0.2}, count=2)
        first, second = play(OnePort(address, free_port), load, loop)
    assert first.outcome is ClientOutcome.COMPLETED
    assert (second.outcome, second.detail) == (ClientOutcome.NOT_STARTED, "EADDRNOTAVAIL")
    assert second.connect_start_ns is None


def test_self_connect_is_detected(loop: LoopFactory) -> None:
    address = closed_port()
    (record,) = play(OnePort(address, address[1]), script({"send": "^a$"}), loop)
    assert record.outcome is ClientOutcome.SELF_CONNECT
    assert str(address[1]) in record.detail
    assert record.bytes_sent == 0
