"""The external servers that a run may send load to.

A lab that sends load to any address could be used to attack other machines or to reach the private network of its own.
So a target must be on the list that the lab was started with, and some addresses are always refused.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

from coreserver.errors import ConfigError

MIN_PORT = 1024  # lower ports belong to system services

IPAddress = IPv4Address | IPv6Address

_TARGET = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})\Z", re.ASCII)
_ENTRY = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<four>[0-9./]+)):(?P<low>[0-9]{1,5})(?:-(?P<high>[0-9]{1,5}))?\Z")
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\Z", re.I
)
_REFUSED: dict[str, tuple[IPv4Network | IPv6Network, ...]] = {
    "this is not the address of one machine": (ip_network("0.0.0.0/8"), ip_network("255.255.255.255/32")),
    "multicast addresses are refused": (ip_network("224.0.0.0/4"), ip_network("ff00::/8")),
    "link-local addresses are refused, because cloud machines offer credentials there": (
        ip_network("169.254.0.0/16"),
        ip_network("fe80::/10"),
    ),
    "reserved addresses are refused": (ip_network("240.0.0.0/4"),),
    "an IPv4 address must be written in IPv4 form": (
        ip_network("::ffff:0:0/96"),  # mapped
        ip_network("64:ff9b::/96"),  # translated
        ip_network("64:ff9b:1::/48"),
        ip_network("2002::/16"),  # 6to4
        ip_network("2001::/32"),  # Teredo
    ),
}
_SIX_LOW = ip_network("::/96")  # the unspecified address, ::1, and IPv4 addresses in their oldest IPv6 form


class TargetAddress(NamedTuple):
    """A numeric address to connect to."""

    host: str
    port: int


class Allowed(NamedTuple):
    """An entry of the list: a network and a range of ports."""

    network: IPv4Network | IPv6Network
    ports: range

    def has(self, address: IPAddress, port: int) -> bool:
        """Return whether the entry allows this address and port."""
        return address in self.network and port in self.ports


def allowed_entry(text: str) -> Allowed:
    """Parse an entry such as `192.168.7.0/24:9000-9100`, `10.1.2.3:7777` or `[fd00::/8]:9000`.

    Raises:
        ConfigError: `text` is not an entry.
    """
    found = _ENTRY.match(text)
    if found is None:
        raise ConfigError(f"{text!r} is not ADDRESS[/BITS]:PORT[-PORT]", field="allow_target")
    low, high = int(found["low"]), int(found["high"] or found["low"])
    if not MIN_PORT <= low <= high <= 65535:
        raise ConfigError(f"{text!r}: ports are {MIN_PORT} to 65535", field="allow_target")
    try:
        network = ip_network(found["six"] or found["four"])
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}", field="allow_target") from error
    return Allowed(network, range(low, high + 1))


def allowed_target(text: str, allow: Sequence[str], control_port: int | None) -> TargetAddress:
    """Return the address of `text`, which is `host:port`. A host name is resolved here, and only here.

    Args:
        allow: entries of the list.
        control_port: the port of the lab, which is always refused.

    Raises:
        ConfigError: the target cannot be parsed, is not on the list, or is always refused.
    """
    found = _TARGET.match(text)
    if found is None:
        raise _refused("must be host:port, with an IPv6 address in brackets")
    port = int(found["port"])
    if not MIN_PORT <= port <= 65535:
        raise _refused(f"ports below {MIN_PORT} are refused" if port < MIN_PORT else "no such port")
    if port == control_port:
        raise _refused("this is the port of the lab")
    address = _address(found["six"], found["host"], port)
    if reason := refusal(address):
        raise _refused(reason)
    if not any(entry.has(address, port) for entry in map(allowed_entry, allow)):
        raise _refused("not one of the targets that the lab was started with (--allow-target)")
    return TargetAddress(str(address), port)


def refusal(address: IPAddress) -> str | None:
    """Return why `address` is always refused; None if it is not."""
    if isinstance(address, IPv6Address) and (address.scope_id or (address in _SIX_LOW and not address.is_loopback)):
        return "this is not the address of one machine"
    return next((why for why, networks in _REFUSED.items() if any(address in network for network in networks)), None)


def _address(six: str | None, host: str | None, port: int) -> IPAddress:
    try:
        address = ip_address(six or host or "")
    except ValueError:
        # Old spellings of an IPv4 address look like a number: 2130706433, 0x7f000001, 127.1, 0177.0.0.1.
        if host is None or not _NAME.match(host):
            raise _refused("an address must be four decimal numbers, or IPv6 in brackets") from None
        return _resolve(host, port)
    if six is not None and address.version == 4:
        raise _refused("only an IPv6 address may be in brackets")
    return address


def _resolve(name: str, port: int) -> IPAddress:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _refused("the name does not resolve") from error
    addresses = [ip_address(str(sockaddr[0])) for *_, sockaddr in found]
    return next((address for address in addresses if address.version == 4), addresses[0])


def _refused(reason: str) -> ConfigError:
    return ConfigError(reason, field="address")
