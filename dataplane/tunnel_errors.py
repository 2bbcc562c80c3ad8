"""ICMPv6 errors about our tunnels, translated for whoever sent the packet inside (RFC 2473 8). Pure, and stateless.

Theory of operation. An error about a tunnelled packet goes to the tunnel's entry: for packets to a customer that is
the home agent address, at whichever site is nearest to the router that complains (RFC 4908). All that is needed to
translate it stands in the packet that it quotes, so any site can. Without this a packet that is too big for a line
vanishes silently, and with it every TCP connection with full segments.

    IPv6 (router -> tunnel entry) | ICMPv6 error | IPv6 (entry -> exit) | IPv6 (sender -> receiver) | ...
becomes
    IPv6 (we -> sender) | ICMPv6 error | IPv6 (sender -> receiver) | ...
"""

from typing import NamedTuple

UNREACHABLE, TOO_BIG, TIME_EXCEEDED = 1, 2, 3  # RFC 4443 2.1
_ADDRESS_UNREACHABLE = 3  # RFC 4443 3.1, and RFC 2473 8.1
_IPV6_IN_IPV6, _DESTINATION_OPTIONS, _ICMPV6 = 41, 60, 58
_IPV6_OCTETS = 40
_LEAST_MTU = 1280  # RFC 8200 5
_QUOTED_MAX = _LEAST_MTU - _IPV6_OCTETS - 8  # RFC 4443 2.4 (c)
_INFORMATIONAL = 128  # RFC 4443 2.1: types below are errors


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
        """Who sent the packet inside."""
        return self.inner[8:24]

    @property
    def inner_destination(self) -> bytes:
        """Where it was to go."""
        return self.inner[24:40]


def parse(octets: bytes) -> TunnelError | None:
    """The error in an ICMPv6 message; None if it is none about a packet tunnelled in IPv6."""
    if len(octets) < 8 + 2 * _IPV6_OCTETS or octets[0] not in (UNREACHABLE, TOO_BIG, TIME_EXCEEDED):
        return None
    outer = octets[8:]
    next_header, at = outer[6], _IPV6_OCTETS
    if next_header == _DESTINATION_OPTIONS:  # with an encapsulation limit (RFC 2473 4.1.1)
        next_header, at = outer[at], at + 8 * (outer[at + 1] + 1)
    inner = outer[at:]
    if outer[0] >> 4 != 6 or next_header != _IPV6_IN_IPV6 or len(inner) < _IPV6_OCTETS or inner[0] >> 4 != 6:
        return None
    mtu = int.from_bytes(octets[4:8], "big") if octets[0] == TOO_BIG else 0
    return TunnelError(octets[0], mtu, outer[8:24], outer[24:40], at, inner)


def answer(error: TunnelError) -> bytes | None:
    """The ICMPv6 message, its checksum still 0, for the sender of the packet inside; None if it must not be told.

    RFC 2473 8.1: what failed inside the tunnel is "address unreachable" to it. RFC 4443 2.4 (e): no error about an
    error, and none to what is no single node.
    """
    inner = error.inner
    if inner[8] == 0xFF or inner[8:24] == bytes(16):
        return None
    if inner[6] == _ICMPV6 and (len(inner) <= _IPV6_OCTETS or inner[_IPV6_OCTETS] < _INFORMATIONAL):
        return None
    if error.type != TOO_BIG:
        return bytes((UNREACHABLE, _ADDRESS_UNREACHABLE, 0, 0, 0, 0, 0, 0)) + inner[:_QUOTED_MAX]
    size = _IPV6_OCTETS + int.from_bytes(inner[4:6], "big")
    mtu = max(_LEAST_MTU, error.mtu - error.overhead)
    if size <= mtu:
        return None  # the sender did what it could: this path carries less than any must
    return bytes((TOO_BIG, 0, 0, 0)) + mtu.to_bytes(4, "big") + inner[:_QUOTED_MAX]
