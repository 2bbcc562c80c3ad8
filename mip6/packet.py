"""IPv6 around a mobility header: the Home Address option (RFC 6275 6.3) and the type 2 routing header (6.4). Pure."""

import struct

from mip6.errors import MalformedMessage
from mip6.numbers import DESTINATION_OPTIONS, HOME_ADDRESS_OPTION, MOBILITY_HEADER, ROUTING_HEADER

_IPV6 = struct.Struct("!IHBB16s16s")
_VERSION = 6 << 28
_HOP_LIMIT = 64
_ROUTING = struct.Struct("!BBBB4x16s")


def destination_options(octets: bytes) -> tuple[bytes | None, int, int]:
    """A Destination Options header: (home address or None, next header, offset behind it). Raises: MalformedMessage."""
    if len(octets) < 8 or 8 * (octets[1] + 1) > len(octets):
        raise MalformedMessage("destination_options_truncated")
    end = 8 * (octets[1] + 1)
    home_address, at = None, 2
    while at < end:
        if octets[at] == 0:
            at += 1
            continue
        if at + 2 > end or at + 2 + octets[at + 1] > end:
            raise MalformedMessage("destination_options_overrun")
        kind, size = octets[at], octets[at + 1]
        if kind == HOME_ADDRESS_OPTION:
            if size != 16 or home_address is not None:
                raise MalformedMessage("home_address_option_wrong")
            home_address = octets[at + 2 : at + 18]
        elif kind & 0xC0:
            raise MalformedMessage("destination_option_unknown")  # RFC 8200 4.2: not to be skipped
        at += 2 + size
    return home_address, octets[0], end


def routing_header(octets: bytes) -> tuple[bytes, int, int]:
    """A type 2 routing header: (home address, next header, offset behind it). Raises.

    MalformedMessage (RFC 6275 6.4).
    """
    if len(octets) < _ROUTING.size:
        raise MalformedMessage("routing_header_truncated")
    next_header, length, kind, segments_left, home_address = _ROUTING.unpack_from(octets)
    if (length, kind, segments_left) != (2, 2, 1):
        raise MalformedMessage("routing_header_wrong")
    return home_address, next_header, _ROUTING.size


def update_packet(care_of: bytes, home_agent: bytes, home_address: bytes, mobility_header: bytes) -> bytes:
    """A whole packet from the care-of address to the home agent with a Home Address option."""
    extension = bytes((MOBILITY_HEADER, 2, 1, 2, 0, 0, HOME_ADDRESS_OPTION, 16)) + home_address
    return _ipv6(care_of, home_agent, DESTINATION_OPTIONS, extension + mobility_header)


def ack_packet(home_agent: bytes, care_of: bytes, home_address: bytes | None, mobility_header: bytes) -> bytes:
    """A whole packet from the home agent to the care-of address; a type 2 routing header iff `home_address`."""
    if home_address is None:
        return _ipv6(home_agent, care_of, MOBILITY_HEADER, mobility_header)
    extension = _ROUTING.pack(MOBILITY_HEADER, 2, 2, 1, home_address)
    return _ipv6(home_agent, care_of, ROUTING_HEADER, extension + mobility_header)


def _ipv6(source: bytes, destination: bytes, next_header: int, payload: bytes) -> bytes:
    return _IPV6.pack(_VERSION, len(payload), next_header, _HOP_LIMIT, source, destination) + payload
