"""What the kernel says about links, addresses and default routes: rtnetlink octets in, values out.

Owns the few message layouts the line watch needs (linux/rtnetlink.h, if_link.h, if_addr.h) and skips everything else.
Pure. Numbers here are host byte order, as the kernel writes them.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from mr.uplink import InterfaceAddress

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x001, 0x300, 0x010
RT_TABLE_MAIN = 254
RTN_UNICAST = 1

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst length, src length, tos, table, protocol, scope, type, flags
_NUMBER = struct.Struct("=I")
_ATTRIBUTE = struct.Struct("=HH")
_NEXT_HOP = struct.Struct("=HBBi")  # length, flags, hops, index

_IFLA_IFNAME = 3
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_TABLE = 4, 5, 6, 9, 15
_IFF_UP, _IFF_RUNNING, _IFF_LOWER_UP = 0x1, 0x40, 0x10000
_CARRIER = _IFF_UP | _IFF_RUNNING | _IFF_LOWER_UP


@dataclass(frozen=True, slots=True)
class Link:
    """One interface; `carrier` means it is up and its medium is."""

    index: int
    name: str
    carrier: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class Address:
    """One IPv6 address of an interface."""

    index: int
    address: InterfaceAddress
    gone: bool


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """One way out by the main table."""

    index: int
    gateway: bytes
    metric: int


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message, not yet looked into."""

    type: int
    flags: int
    sequence: int
    body: bytes


def dump_request(kind: int, sequence: int) -> bytes:
    """Ask for all links, all IPv6 addresses, or the IPv6 routes of the main table."""
    family = socket.AF_INET6
    body = {
        RTM_GETLINK: _LINK.pack(0, 0, 0, 0, 0),
        RTM_GETADDR: _ADDRESS.pack(family, 0, 0, 0, 0),
        RTM_GETROUTE: _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, 0, 0, 0, 0),
    }[kind]
    return _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


def messages(octets: bytes) -> Iterator[Message]:
    """The messages in one datagram."""
    offset = 0
    while offset + _HEADER.size <= len(octets):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(octets, offset)
        if length < _HEADER.size:
            return
        yield Message(kind, flags, sequence, octets[offset + _HEADER.size : offset + length])
        offset += (length + 3) & ~3


def link(message: Message) -> Link:
    """RTM_NEWLINK or RTM_DELLINK."""
    _, _, index, flags, _ = _LINK.unpack_from(message.body)
    name = _attributes(message.body[_LINK.size :]).get(_IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    return Link(index, name, flags & _CARRIER == _CARRIER, message.type == RTM_DELLINK)


def address(message: Message) -> Address | None:
    """RTM_NEWADDR or RTM_DELADDR; None if it is no IPv6 address."""
    family, _, flags, scope, index = _ADDRESS.unpack_from(message.body)
    attributes = _attributes(message.body[_ADDRESS.size :])
    octets = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS, b""))
    if family != socket.AF_INET6 or len(octets) != 16:
        return None
    flags = _number(attributes.get(_IFA_FLAGS, b""), flags)
    return Address(index, InterfaceAddress(octets, scope, flags), message.type == RTM_DELADDR)


def default_routes(message: Message) -> list[DefaultRoute]:
    """RTM_NEWROUTE or RTM_DELROUTE: the ways of an IPv6 default route with gateways; else nothing."""
    family, length, source_length, _, table, _, _, kind, _ = _ROUTE.unpack_from(message.body)
    if family != socket.AF_INET6 or length or source_length or kind != RTN_UNICAST:
        return []
    attributes = _attributes(message.body[_ROUTE.size :])
    if _number(attributes.get(_RTA_TABLE, b""), table) != RT_TABLE_MAIN:
        return []
    metric = _number(attributes.get(_RTA_PRIORITY, b""), 0)
    ways = [(_number(attributes.get(_RTA_OIF, b""), 0), attributes.get(_RTA_GATEWAY, b""))]
    ways += _next_hops(attributes.get(_RTA_MULTIPATH, b""))
    return [DefaultRoute(index, gateway, metric) for index, gateway in ways if len(gateway) == 16]


def _number(octets: bytes, otherwise: int) -> int:
    return int(_NUMBER.unpack(octets)[0]) if len(octets) == _NUMBER.size else otherwise


def _attributes(octets: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(octets):
        length, kind = _ATTRIBUTE.unpack_from(octets, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = octets[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _next_hops(octets: bytes) -> list[tuple[int, bytes]]:
    ways: list[tuple[int, bytes]] = []
    offset = 0
    while offset + _NEXT_HOP.size <= len(octets):
        length, _, _, index = _NEXT_HOP.unpack_from(octets, offset)
        if length < _NEXT_HOP.size:
            break
        attributes = _attributes(octets[offset + _NEXT_HOP.size : offset + length])
        ways.append((index, attributes.get(_RTA_GATEWAY, b"")))
        offset += (length + 3) & ~3
    return ways
