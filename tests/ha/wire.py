"""What the mobility sockets of a home agent hand over for a whole packet, without sockets."""

from mip6 import packet
from mip6.errors import MalformedMessage
from mip6.mhsocket import Datagram
from mip6.numbers import DESTINATION_OPTIONS, ICMPV6, MOBILITY_HEADER

IPV6_OCTETS = 40


def datagram(octets: bytes) -> Datagram | None:
    """The datagram that an IPv6 packet becomes, or None if no socket reports it."""
    if len(octets) < IPV6_OCTETS or octets[0] >> 4 != 6:
        return None
    source, destination, first = octets[8:24], octets[24:40], octets[6]
    payload = octets[IPV6_OCTETS : IPV6_OCTETS + int.from_bytes(octets[4:6], "big")]
    if first in (MOBILITY_HEADER, ICMPV6):
        return Datagram(payload, source, destination, None, 0, next_header=first)
    if first != DESTINATION_OPTIONS:
        return None
    try:
        home_address, next_header, offset = packet.destination_options(payload)
    except MalformedMessage as error:
        return Datagram(payload, source, destination, None, 0, error)
    if home_address is None:
        return None
    return Datagram(
        payload[offset:], source, destination, home_address, 0, next_header=next_header, extension=payload[:offset]
    )
