"""Raw sockets for mobility headers: receive octets with their addresses, send whole packets. Decides nothing.

What Linux hands over where. A packet with a Home Address option arrives on the socket for Destination Options (60),
one with a type 2 routing header on that for Routing (43); both after reassembly, once, and not on 135, since the
kernel stops at an option or routing type it does not know (or, built with Mobile IPv6, has no state for). A bare
mobility header arrives on 135, and so does one behind harmless Destination Options: those of 60 without a home
address are therefore not reported twice. A home agent hears Home Agent Address Discovery Requests as well, on ICMPv6.
The kernel's own opinion is switched off: its checksum test (it cannot know the home address), and its complaints, see
`MobilitySocket.prepare`.
"""

import socket
import struct
import sys
from dataclasses import dataclass
from typing import NamedTuple

from mip6 import packet
from mip6.discovery import HOME_AGENTS_ASKED
from mip6.errors import MalformedMessage
from mip6.numbers import DESTINATION_OPTIONS, MOBILITY_HEADER, ROUTING_HEADER, TYPE_2_ROUTING
from mip6.quick import quick

IPV6_CHECKSUM = 7  # linux/in6.h; the module has no name for it
ICMPV6_FILTER = 1  # linux/icmpv6.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; needs CAP_NET_ADMIN, and the module has no name for it before 3.13
RECEIVE_BUFFER_OCTETS = 8 * 1024 * 1024  # 100,000 retransmissions after an outage come in one burst
_DATAGRAM_MAX = 8 * 256 + 8 * 256  # the longest extension header and the longest mobility header
_ANCILLARY_MAX = socket.CMSG_SPACE(20)
_PKTINFO = struct.Struct("@16sI")
_EXTENSION_OF = {"home-agent": DESTINATION_OPTIONS, "mobile-router": ROUTING_HEADER}


class Preparation(NamedTuple):
    """What a network namespace needs so that its kernel keeps quiet: sysctls, nft statements for an output chain."""

    sysctls: tuple[tuple[str, str], ...] = ()
    output_rules: tuple[str, ...] = ()


# To the kernel a Home Address option is unknown: a negative limit drops it without an ICMPv6 error, after the raw
# sockets had it.
_PREPARATIONS = {
    "home-agent": Preparation(sysctls=(("net.ipv6.max_dst_opts_number", "-8"),)),
    # A Parameter Problem whose quoted packet begins with a routing header of type 2.
    "mobile-router": Preparation(output_rules=("icmpv6 type parameter-problem @th,112,8 43 @th,400,8 2 drop",)),
}


@quick
@dataclass(frozen=True, slots=True)
class Datagram:
    """What was received, with the addresses on the wire; `error` set if the header before `octets` was malformed.

    `home_address` is that of the Home Address option (home agent) or the type 2 routing header (mobile router), or
    None. `octets` is the mobility header, unless `next_header` says otherwise (a Home Address option before something
    else is answered with a Binding Error); `extension` is the header in front of it.
    """

    octets: bytes
    source: bytes
    destination: bytes
    home_address: bytes | None
    interface_index: int
    error: MalformedMessage | None = None
    next_header: int = MOBILITY_HEADER
    extension: bytes = b""


class MobilitySocket:
    """The sockets of one role, "home-agent" or "mobile-router". Raises: PermissionError without CAP_NET_RAW."""

    def __init__(self, role: str) -> None:
        protocol = _EXTENSION_OF[role]
        self._routing = protocol == ROUTING_HEADER
        opened: list[socket.socket] = []
        try:
            for number in (protocol, MOBILITY_HEADER):
                opened.append(_raw(number))
                _set_up_receiver(opened[-1])
            opened.append(_raw(socket.IPPROTO_RAW))
        except OSError:
            for one in opened:
                one.close()
            raise
        self._extension, self._bare, self._sender = opened
        self._icmp = None if self._routing else _raw(socket.IPPROTO_ICMPV6)
        if self._icmp is not None:
            _set_up_discovery(self._icmp)

    @classmethod
    def prepare(cls, role: str) -> Preparation:
        """What the data plane must set for `role` before packets come."""
        return _PREPARATIONS[role]

    @property
    def sockets(self) -> list[socket.socket]:
        """What to wait for."""
        return [self._extension, self._bare, *([self._icmp] if self._icmp else [])]

    def receive(self, ready: socket.socket, limit: int = 64) -> list[Datagram]:
        """At most `limit` datagrams that wait on `ready`; never blocks. Raises: OSError if the socket is broken."""
        datagrams: list[Datagram] = []
        for _ in range(limit):
            try:
                octets, ancillary, flags, address = ready.recvmsg(_DATAGRAM_MAX, _ANCILLARY_MAX)
            except (BlockingIOError, InterruptedError):
                break
            if not ancillary:
                continue
            destination, interface_index = _PKTINFO.unpack_from(ancillary[0][2])
            source = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
            if flags & socket.MSG_TRUNC:
                error = MalformedMessage("datagram_too_long")
                datagrams.append(Datagram(octets, source, destination, None, interface_index, error))
            elif ready is self._icmp:
                datagrams.append(
                    Datagram(octets, source, destination, None, interface_index, next_header=socket.IPPROTO_ICMPV6)
                )
            elif ready is self._bare:
                datagrams.append(Datagram(octets, source, destination, None, interface_index))
            else:
                datagram = self._behind_extension(octets, source, destination, interface_index)
                if datagram is not None:
                    datagrams.append(datagram)
        return datagrams

    def send(self, octets: bytes, source: bytes, interface_index: int = 0) -> None:
        """Send a whole IPv6 packet; `source` also chooses the route (policy rules). Raises: OSError."""
        destination = socket.inet_ntop(socket.AF_INET6, octets[24:40])
        pktinfo = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO.pack(source, interface_index))
        self._sender.sendmsg([octets], [pktinfo], 0, (destination, 0))

    def close(self) -> None:
        """Close all sockets."""
        for one in (*self.sockets, self._sender):
            one.close()

    def _behind_extension(self, octets: bytes, source: bytes, destination: bytes, index: int) -> Datagram | None:
        if self._routing and octets[2:3] != bytes((TYPE_2_ROUTING,)):
            return None
        home_address: bytes | None
        try:
            if self._routing:
                home_address, next_header, offset = packet.routing_header(octets)
            else:
                home_address, next_header, offset = packet.destination_options(octets)
        except MalformedMessage as error:
            return Datagram(octets, source, destination, None, index, error)
        if home_address is None:
            return None
        extension = octets[:offset]
        return Datagram(octets[offset:], source, destination, home_address, index, None, next_header, extension)


def _raw(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)


def _set_up_discovery(receiver: socket.socket) -> None:
    """Let only Home Agent Address Discovery Requests through; the kernel checks ICMPv6 checksums itself."""
    blocked = bytearray(b"\xff" * 32)  # RFC 3542 3.2; a set bit blocks, in words of the machine's own order
    word = HOME_AGENTS_ASKED // 32
    left = ~(1 << HOME_AGENTS_ASKED % 32) & 0xFFFFFFFF
    blocked[4 * word : 4 * word + 4] = left.to_bytes(4, sys.byteorder)
    receiver.setsockopt(socket.IPPROTO_ICMPV6, ICMPV6_FILTER, bytes(blocked))
    receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def _set_up_receiver(receiver: socket.socket) -> None:
    receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    # The kernel's own checksum check would use the wire addresses; ours uses the home address.
    receiver.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, -1)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_OCTETS)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
