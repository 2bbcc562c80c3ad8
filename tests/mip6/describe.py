"""Packets cut up and messages written down as JSON, so that a vector file can be read by a person.

A field is written as in the value; addresses as text, octets as hex, flags as their names. Independent of `mip6.packet`
where it cuts, so that a mistake there is not made twice.
"""

import dataclasses
import ipaddress
from enum import IntFlag
from typing import Any, NamedTuple

from mip6.messages import Message
from mip6.options import Option

IPV6_OCTETS = 40


class Packet(NamedTuple):
    """A vector's packet: wire addresses, the address of Home Address option or routing header, the mobility header."""

    source: bytes
    destination: bytes
    home_address: bytes | None
    mobility_header: bytes
    first: int
    at: int

    @property
    def pseudo_header(self) -> tuple[bytes, bytes]:
        """Source and destination that the checksum covers (RFC 6275 6.1.1)."""
        if self.home_address is None:
            return self.source, self.destination
        if self.first == 60:
            return self.home_address, self.destination
        return self.source, self.home_address


def address(text: str) -> bytes:
    """The octets of an IPv4 or IPv6 address."""
    return ipaddress.ip_address(text).packed


def cut(octets: bytes) -> Packet:
    """An IPv6 packet whose mobility header stands alone or behind one 24-octet extension header."""
    if octets[0] >> 4 == 4:
        octets = octets[28:]  # IPv4 and UDP, RFC 5555
    source, destination, first = octets[8:24], octets[24:40], octets[6]
    end = IPV6_OCTETS + int.from_bytes(octets[4:6], "big")
    if first == 135:
        return Packet(source, destination, None, octets[IPV6_OCTETS:end], first, IPV6_OCTETS)
    home_address = octets[IPV6_OCTETS + 8 : IPV6_OCTETS + 24]
    return Packet(source, destination, home_address, octets[IPV6_OCTETS + 24 : end], first, IPV6_OCTETS + 24)


def message(value: Message) -> dict[str, Any]:
    """A message with its class and all its fields."""
    return _fields(value)


def _fields(value: Message | Option) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(value)]
    return {"class": type(value).__name__} | {name: _plain(name, getattr(value, name)) for name in names}


def _plain(name: str, value: object) -> object:
    if isinstance(value, IntFlag):
        return [flag.name for flag in type(value) if flag in value]
    if isinstance(value, bytes):
        is_address = name in ("care_of", "home_address", "home_agents", "address") and len(value) in (4, 16)
        return str(ipaddress.ip_address(value)) if is_address else value.hex()
    if name == "prefix" and isinstance(value, tuple):
        return f"{ipaddress.ip_address(value[0])}/{value[1]}"
    if isinstance(value, tuple):
        return [_fields(one) if name == "options" else _plain(name, one) for one in value]
    return value
