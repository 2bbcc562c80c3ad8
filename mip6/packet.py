"""IPv6 around a mobility header: Home Address option (RFC 6275 6.3), type 2 routing header (6.4), ICMPv6 about it.

Whole packets out, because a raw socket with its own IPv6 header is the only way to send these on a kernel without
Mobile IPv6. Incoming extension headers are read with a hard end. Which home addresses exist is not known here. Pure.
"""

import struct

from mip6.errors import MalformedMessage
from mip6.numbers import (
    DESTINATION_OPTIONS,
    HOME_ADDRESS_OPTION,
    ICMPV6,
    MOBILITY_HEADER,
    ROUTING_HEADER,
    TYPE_2_ROUTING,
)
from mip6.wire import checksum, is_unicast_routable

IPV6_OCTETS = 40
_IPV6 = struct.Struct("!IHBB16s16s")
_VERSION = 6 << 28
_HOP_LIMIT = 64
_ROUTING = struct.Struct("!BBBB4x16s")
_PARAMETER_PROBLEM = struct.Struct("!BBHI")
_ICMP_PARAMETER_PROBLEM = 4  # RFC 4443 3.4; code 0: erroneous header field
_ICMP_PACKET_MAX = 1280  # RFC 4443 2.4 (c): as much of the packet as fits
_OPTION_PAD1 = 0
_ACTION = 0xC0  # RFC 8200 4.2: 00 skip an unknown option, all others discard the packet
# Next header, length 2, PadN to 8n+6, Home Address option (RFC 6275 6.3)
_HOME_ADDRESS_HEAD = bytes((MOBILITY_HEADER, 2, 1, 2, 0, 0, HOME_ADDRESS_OPTION, 16))
_USUAL = _HOME_ADDRESS_HEAD[1:]


def destination_options(octets: bytes) -> tuple[bytes | None, int, int]:
    """A Destination Options header: (home address or None, next header, offset behind it). Raises: MalformedMessage."""
    if octets[1:8] == _USUAL and len(octets) >= 24:  # what RFC 6275 6.3 makes of it, and nearly all that comes
        return _home_address(octets[8:24]), octets[0], 24
    end = 8 * (octets[1] + 1) if len(octets) >= 8 else len(octets) + 1
    if end > len(octets):
        raise MalformedMessage("destination_options_truncated")
    home_address, at = None, 2
    while at < end:
        kind = octets[at]
        if kind == _OPTION_PAD1:
            at += 1
            continue
        if at + 2 > end or at + 2 + octets[at + 1] > end:
            raise MalformedMessage("destination_options_overrun")
        size = octets[at + 1]
        if kind == HOME_ADDRESS_OPTION:
            if size != 16:
                raise MalformedMessage("home_address_option_length")
            if home_address is not None:
                raise MalformedMessage("home_address_option_repeated")  # RFC 6275 6.3
            home_address = _home_address(octets[at + 2 : at + 18])
        elif kind & _ACTION:
            raise MalformedMessage("destination_option_unknown")
        at += 2 + size
    return home_address, octets[0], end


def routing_header(octets: bytes) -> tuple[bytes, int, int]:
    """A type 2 routing header (RFC 6275 6.4): (home address, next header, offset behind it).

    Raises: MalformedMessage.
    """
    if len(octets) < _ROUTING.size:
        raise MalformedMessage("routing_header_truncated")
    next_header, length, kind, segments_left, home_address = _ROUTING.unpack_from(octets)
    if kind != TYPE_2_ROUTING:
        raise MalformedMessage("routing_header_type")
    if length != 2:
        raise MalformedMessage("routing_header_length")
    if segments_left != 1:
        raise MalformedMessage("routing_header_segments_left")
    return _home_address(home_address), next_header, _ROUTING.size


def update_packet(care_of: bytes, home_agent: bytes, home_address: bytes, mobility_header: bytes) -> bytes:
    """A whole packet from the care-of address to the home agent with a Home Address option."""
    return _ipv6(care_of, home_agent, DESTINATION_OPTIONS, _HOME_ADDRESS_HEAD + home_address + mobility_header)


def ack_packet(home_agent: bytes, care_of: bytes, home_address: bytes | None, mobility_header: bytes) -> bytes:
    """A whole packet from the home agent to the care-of address; a type 2 routing header iff `home_address`."""
    if home_address is None:
        return plain_packet(home_agent, care_of, mobility_header)
    return routed_packet(home_agent, care_of, home_address, mobility_header, MOBILITY_HEADER)


def routed_packet(source: bytes, care_of: bytes, home_address: bytes, payload: bytes, next_header: int) -> bytes:
    """A whole packet of the home agent's own to a home address, by way of a care-of address (RFC 6275 10.4.2)."""
    extension = _ROUTING.pack(next_header, 2, TYPE_2_ROUTING, 1, home_address)
    return _ipv6(source, care_of, ROUTING_HEADER, extension + payload)


def plain_packet(source: bytes, destination: bytes, payload: bytes, next_header: int = MOBILITY_HEADER) -> bytes:
    """A whole packet without extension headers: Binding Errors and Heartbeats (RFC 6275 9.3.3, RFC 5847 3)."""
    return _ipv6(source, destination, next_header, payload)


def parameter_problem(
    reporter: bytes, source: bytes, destination: bytes, extension: bytes, mobility_header: bytes, pointer: int
) -> bytes:
    """A whole ICMPv6 Parameter Problem code 0 from `reporter` to the wire source of a mobility header (RFC 6275 9.2).

    Args:
        source, destination: as on the wire.
        extension: the extension header in front of the mobility header, as received, or nothing.
        pointer: offset within the mobility header (`MalformedMessage.pointer`).
    The quoted IPv6 header is rebuilt, for raw sockets do not show it: its hop limit and traffic class are ours.
    """
    first = MOBILITY_HEADER if not extension else DESTINATION_OPTIONS
    quoted = _ipv6(source, destination, first, extension + mobility_header)[: _ICMP_PACKET_MAX - IPV6_OCTETS - 8]
    place = IPV6_OCTETS + len(extension) + pointer
    blank = _PARAMETER_PROBLEM.pack(_ICMP_PARAMETER_PROBLEM, 0, 0, place) + quoted
    value = checksum(reporter, source, ICMPV6, blank)
    return _ipv6(reporter, source, ICMPV6, _PARAMETER_PROBLEM.pack(_ICMP_PARAMETER_PROBLEM, 0, value, place) + quoted)


def _home_address(address: bytes) -> bytes:
    if not is_unicast_routable(address):
        raise MalformedMessage("home_address_not_unicast")  # RFC 6275 9.3.1, 6.4.2: dropped
    return address


def _ipv6(source: bytes, destination: bytes, next_header: int, payload: bytes) -> bytes:
    return _IPV6.pack(_VERSION, len(payload), next_header, _HOP_LIMIT, source, destination) + payload
