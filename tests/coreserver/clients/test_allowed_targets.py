"""Addresses that load may be sent to."""

from __future__ import annotations

import socket

import pytest

from coreserver.clients.allowed_targets import allowed_entry, allowed_target
from coreserver.clients.worker.source_addresses import ClientTarget
from coreserver.errors import ConfigError

EVERYWHERE = ["0.0.0.0/0:1024-65535", "[::/0]:1024-65535"]
CONTROL_PORT = 8123


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9000", ("127.0.0.1", 9000)),
        ("10.1.2.3:65535", ("10.1.2.3", 65535)),
        ("[::1]:9000", ("::1", 9000)),
        ("[fd00::7]:1024", ("fd00::7", 1024)),
        ("localhost:9000", ("127.0.0.1", 9000)),
    ],
)
def test_listed_address_is_allowed(text: str, expected: tuple[str, int]) -> None:
    assert allowed_target(text, EVERYWHERE, CONTROL_PORT) == expected


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:9000",
        "0.1.2.3:9000",
        "[::]:9000",
        "255.255.255.255:9000",
        "240.0.0.1:9000",
        "224.0.0.1:9000",
        "239.255.255.250:9000",
        "[ff02::1]:9000",
        "169.254.169.254:9000",
        "[fe80::1]:9000",
        "[fe80::1%eth0]:9000",
        "[::1%lo]:9000",
        "[::ffff:169.254.169.254]:9000",
        "[::ffff:127.0.0.1]:9000",
        "[::ffff:7f00:1]:9000",
        "[::127.0.0.1]:9000",
        "[64:ff9b::a9fe:a9fe]:9000",
        "[2002:a9fe:a9fe::1]:9000",
        "[127.0.0.1]:9000",
        "2130706433:9000",
        "0x7f000001:9000",
        "0x7f.0.0.1:9000",
        "0177.0.0.1:9000",
        "127.1:9000",
        "127.0.0.01:9000",
        "127.0.0.1.:9000",
        "\uff11\uff12\uff17.0.0.1:9000",
        "127.0.0.1:22",
        "127.0.0.1:1023",
        "127.0.0.1:65536",
        f"127.0.0.1:{CONTROL_PORT}",
        f"[::1]:{CONTROL_PORT}",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:+9000",
        "127.0.0.1:9_000",
        "127.0.0.1:\uff19\uff10\uff10\uff10",
        "127.0.0.1: 9000",
        " 127.0.0.1:9000",
        "127.0.0.1:9000\n",
        "::1:9000",
        "user@127.0.0.1:9000",
        "127.0.0.1:9000/path",
        ":9000",
        "",
    ],
)
def test_some_addresses_are_always_refused(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        allowed_target(text, EVERYWHERE, CONTROL_PORT)
    assert refused.value.field == "address"


@pytest.mark.parametrize(
    ("text", "allow"),
    [
        ("127.0.0.1:9000", []),
        ("127.0.0.1:9000", ["127.0.0.1:9001"]),
        ("127.0.0.2:9000", ["127.0.0.1:9000"]),
        ("10.0.1.1:9000", ["10.0.0.0/24:9000"]),
        ("10.0.0.1:9101", ["10.0.0.0/24:9000-9100"]),
        ("[fd01::1]:9000", ["[fd00::/16]:9000"]),
    ],
)
def test_unlisted_address_is_refused(text: str, allow: list[str]) -> None:
    with pytest.raises(ConfigError, match="--allow-target"):
        allowed_target(text, allow, CONTROL_PORT)


def test_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["10.0.0.1", "169.254.169.254"])

    def resolve(name: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert allowed_target("changes.example:9000", ["10.0.0.0/8:9000"], None) == ("10.0.0.1", 9000)
    with pytest.raises(ConfigError, match="link-local"):
        allowed_target("changes.example:9000", EVERYWHERE, None)


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1", "127.0.0.1:80", "127.0.0.1:9000-8000", "127.0.0.1/8:9000", "name:9000", "[::1:9000", "1.2.3.4:70000"],
)
def test_malformed_entry_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        allowed_entry(text)
    assert refused.value.field == "allow_target"


def test_client_process_checks_its_target() -> None:
    with pytest.raises(ConfigError):
        ClientTarget("169.254.169.254", 9000)
