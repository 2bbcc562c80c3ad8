"""ICMPv6 errors about our tunnels, translated for whoever sent the packet inside (RFC 2473 8). Pure, and stateless.

Theory of operation. An error about a tunnelled packet goes to the tunnel's entry: for packets to a customer that is
the home agent address, at whichever site is nearest to the router that complains (RFC 4908). All that is needed to
translate it stands in the packet that it quotes, so any site can. Without this a packet that is too big for a line
vanishes silently, and with it every TCP connection with full segments.

    IPv6 (router -> tunnel entry) | ICMPv6 error | IPv6 (entry -> exit) | IPv6 (sender -> receiver) | ...
becomes
    IPv6 (we -> sender) | ICMPv6 error | IPv6 (sender -> receiver) | ...
and with IPv4 inside an ICMP error in IPv4 (RFC 2473 8.2, 8.4).
"""

from typing import NamedTuple

UNREACHABLE, TOO_BIG, TIME_EXCEEDED = 1, 2, 3  # RFC 4443 2.1
_ADDRESS_UNREACHABLE = 3  # RFC 4443 3.1, and RFC 2473 8.1
_IPV4_IN_IPV6, _IPV6_IN_IPV6, _DESTINATION_OPTIONS, _ICMPV6, _ICMP = 4, 41, 60, 58, 1
_IPV6_OCTETS, _IPV4_OCTETS = 40, 20
LEAST_MTU = 1280  # RFC 8200 5
LEAST_LINE_MTU = LEAST_MTU + _IPV6_OCTETS  # what carries less cannot carry a tunnel
_QUOTED_MAX = LEAST_MTU - _IPV6_OCTETS - 8  # RFC 4443 2.4 (c)
_INFORMATIONAL = 128  # RFC 4443 2.1: types below are errors
_IPV4_UNREACHABLE, _HOST, _FRAGMENTATION_NEEDED = 3, 1, 4  # RFC 792
_IPV4_QUOTED_MAX = 576 - _IPV4_OCTETS - 8  # RFC 1812 4.3.2.3
_IPV4_INFORMATIONAL = (0, 8, 13, 14)  # RFC 792: echo and timestamp; the rest may be errors
_DONT_FRAGMENT, _OFFSET = 0x4000, 0x1FFF


class TunnelError(NamedTuple):
    """An error about a tunnelled packet.

    `mtu` in octets, of the path outside; 0 if the error is not about size. `overhead`: octets around `inner`, the
    packet inside as far as it is quoted.
    """

    type: int
    mtu: int
    entry: bytes
    exit: bytes
    overhead: int
    inner: bytes

    @property
    def inner_source(self) -> bytes:
        """Who sent the packet inside; 4 octets with IPv4 inside."""
        return self.inner[12:16] if self.is_ipv4 else self.inner[8:24]

    @property
    def inner_destination(self) -> bytes:
        """Where it was to go."""
        return self.inner[16:20] if self.is_ipv4 else self.inner[24:40]

    @property
    def is_ipv4(self) -> bool:
        """Whether the packet inside is of IPv4, and so the answer."""
        return self.inner[0] >> 4 == 4


def parse(octets: bytes) -> TunnelError | None:
    """The error in an ICMPv6 message; None if it is none about a packet tunnelled in IPv6."""
    if len(octets) < 8 + _IPV6_OCTETS + _IPV4_OCTETS or octets[0] not in (UNREACHABLE, TOO_BIG, TIME_EXCEEDED):
        return None
    outer = octets[8:]
    next_header, at = outer[6], _IPV6_OCTETS
    if next_header == _DESTINATION_OPTIONS:  # with an encapsulation limit (RFC 2473 4.1.1)
        next_header, at = outer[at], at + 8 * (outer[at + 1] + 1)
    inner = outer[at:]
    least = {(_IPV6_IN_IPV6, 6): _IPV6_OCTETS, (_IPV4_IN_IPV6, 4): _IPV4_OCTETS}
    version = inner[0] >> 4 if inner else 0
    if outer[0] >> 4 != 6 or len(inner) < least.get((next_header, version), len(inner) + 1):
        return None
    mtu = int.from_bytes(octets[4:8], "big") if octets[0] == TOO_BIG else 0
    return TunnelError(octets[0], mtu, outer[8:24], outer[24:40], at, inner)


def answer(error: TunnelError) -> bytes | None:
    """The message for the sender of the packet inside, None if it must not be told. An ICMPv6 checksum is still 0.

    RFC 2473 8.1: what failed inside the tunnel is "address unreachable" to it. RFC 4443 2.4 (e): no error about an
    error, and none to what is no single node.
    """
    inner = error.inner
    if error.is_ipv4:
        return _answer_in_ipv4(error)
    if inner[8] == 0xFF or inner[8:24] == bytes(16):
        return None
    if inner[6] == _ICMPV6 and (len(inner) <= _IPV6_OCTETS or inner[_IPV6_OCTETS] < _INFORMATIONAL):
        return None
    if error.type != TOO_BIG:
        return bytes((UNREACHABLE, _ADDRESS_UNREACHABLE, 0, 0, 0, 0, 0, 0)) + inner[:_QUOTED_MAX]
    size = _IPV6_OCTETS + int.from_bytes(inner[4:6], "big")
    mtu = max(LEAST_MTU, error.mtu - error.overhead)
    if size <= mtu:
        return None  # the sender did what it could: this line is too narrow (`narrow.py`)
    return bytes((TOO_BIG, 0, 0, 0)) + mtu.to_bytes(4, "big") + inner[:_QUOTED_MAX]


def _answer_in_ipv4(error: TunnelError) -> bytes | None:
    """RFC 1812 4.3.2.7: none about an error, a later fragment, or what comes from no single host.

    A packet that may be fragmented is not: it is lost, and its sender cannot be told.
    """
    inner = error.inner
    header, fragment = 4 * (inner[0] & 0xF), int.from_bytes(inner[6:8], "big")
    if fragment & _OFFSET or inner[12] >= 224 or inner[12] in (0, 127):
        return None
    if inner[9] == _ICMP and (len(inner) <= header or inner[header] not in _IPV4_INFORMATIONAL):
        return None
    if error.type != TOO_BIG:
        return _in_ipv4(_HOST, 0, inner)
    mtu = max(LEAST_MTU - _IPV6_OCTETS, error.mtu - error.overhead)
    if int.from_bytes(inner[2:4], "big") <= mtu or not fragment & _DONT_FRAGMENT:
        return None
    return _in_ipv4(_FRAGMENTATION_NEEDED, mtu, inner)


def _in_ipv4(code: int, mtu: int, inner: bytes) -> bytes:
    message = bytes((_IPV4_UNREACHABLE, code, 0, 0, 0, 0)) + mtu.to_bytes(2, "big") + inner[:_IPV4_QUOTED_MAX]
    return message[:2] + _checksum(message) + message[4:]


def _checksum(octets: bytes) -> bytes:
    """RFC 1071."""
    octets += bytes(len(octets) % 2)
    total = sum(int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
