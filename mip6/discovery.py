"""ICMPv6 of Mobile IPv6: home agent address discovery and mobile prefixes (RFC 6275 6.5 to 6.8, RFC 3963 4.4). Pure.

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |     Type      |     Code      |            Checksum           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           Identifier          |R|M|O       Reserved           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Types 144 and 145 have R (RFC 3963 4.4), 147 has M and O at 0x8000 and 0x4000. Addresses follow in a reply (145),
Prefix Information options (RFC 4861 4.6.2) in an advertisement (147).
"""

import struct
from typing import NamedTuple

from mip6.errors import MalformedMessage
from mip6.numbers import ICMPV6
from mip6.wire import checksum

HOME_AGENTS_ASKED, HOME_AGENTS_TOLD = 144, 145  # RFC 6275 6.5, 6.6
PREFIXES_ASKED, PREFIXES_TOLD = 146, 147  # RFC 6275 6.7, 6.8
HOME_AGENTS_ANYCAST = bytes.fromhex("fdfffffffffffffe")  # RFC 2526 4: interface identifier in a /64
FOR_EVER = 0xFFFFFFFF  # RFC 4861 4.6.2
_HEAD = struct.Struct("!BBHHH")
_ROUTER = 0x8000
_PREFIX_INFORMATION = struct.Struct("!BBBBIII16s")


class Request(NamedTuple):
    """A Home Agent Address Discovery Request or a Mobile Prefix Solicitation; the latter has no R flag."""

    type: int
    identifier: int
    mobile_router: bool


class HomePrefix(NamedTuple):
    """A prefix as an advertisement tells it; lifetimes in seconds, None for ever."""

    network: bytes
    length: int
    preferred_s: int | None
    valid_s: int | None


def decode_request(octets: bytes, source: bytes, destination: bytes) -> Request:
    """A message of type 144 or 146. Raises: MalformedMessage.

    Args:
        octets: the ICMPv6 message.
        source: the home address if a Home Address option was there, else the wire source.
        destination: as on the wire.
    """
    if len(octets) < _HEAD.size:
        raise MalformedMessage("icmp_truncated")
    if checksum(source, destination, ICMPV6, octets):
        raise MalformedMessage("icmp_checksum")
    kind, code, _, identifier, flags = _HEAD.unpack_from(octets)
    if kind not in (HOME_AGENTS_ASKED, PREFIXES_ASKED) or code:
        raise MalformedMessage("icmp_type")
    return Request(kind, identifier, kind == HOME_AGENTS_ASKED and bool(flags & _ROUTER))


def encode_home_agents(
    identifier: int, mobile_router: bool, home_agents: tuple[bytes, ...], source: bytes, destination: bytes
) -> bytes:
    """A Home Agent Address Discovery Reply; `mobile_router` sets R: these serve mobile routers."""
    head = _HEAD.pack(HOME_AGENTS_TOLD, 0, 0, identifier, _ROUTER if mobile_router else 0)
    return _with_checksum(head + b"".join(home_agents), source, destination)


def encode_prefixes(identifier: int, prefixes: tuple[HomePrefix, ...], source: bytes, destination: bytes) -> bytes:
    """A Mobile Prefix Advertisement; `destination` is the final one, the home address. M and O are 0: no DHCP."""
    options = [
        _PREFIX_INFORMATION.pack(
            3, 4, one.length, 0, _lifetime(one.valid_s), _lifetime(one.preferred_s), 0, one.network
        )
        for one in prefixes
    ]
    head = _HEAD.pack(PREFIXES_TOLD, 0, 0, identifier, 0)
    return _with_checksum(head + b"".join(options), source, destination)


def _lifetime(seconds: int | None) -> int:
    return FOR_EVER if seconds is None else min(seconds, FOR_EVER - 1)


def _with_checksum(octets: bytes, source: bytes, destination: bytes) -> bytes:
    return octets[:2] + checksum(source, destination, ICMPV6, octets).to_bytes(2, "big") + octets[4:]
