"""Raw sockets for mobility headers: receive octets with their addresses, send whole packets. Decides nothing.

What the kernel hands over where (RFC 6275 over Linux raw sockets): a packet with a Home Address option arrives on the
socket for Destination Options (60), once, after reassembly; one with a type 2 routing header on that for Routing
(43); a bare one on 135. So that the kernel does not answer on its own, a home agent sets
`net.ipv6.max_dst_opts_number` to -8, and a mobile router drops its Parameter Problems about type 2 in nftables.
"""

import socket
import struct
from dataclasses import dataclass

from mip6 import packet
from mip6.errors import MalformedMessage
from mip6.numbers import DESTINATION_OPTIONS, MOBILITY_HEADER, ROUTING_HEADER

IPV6_CHECKSUM = 7  # linux/in6.h; the module has no name for it
SO_RCVBUFFORCE = 33  # asm-generic/socket.h, the same
RECEIVE_BUFFER_OCTETS = 8 * 1024 * 1024
_PKTINFO = struct.Struct("@16sI")
_DATAGRAM_MAX = 65536
_EXTENSION_OF = {"home-agent": DESTINATION_OPTIONS, "mobile-router": ROUTING_HEADER}


@dataclass(frozen=True, slots=True)
class Datagram:
    """A mobility header with the addresses on the wire; `error` set if the headers before it were malformed.

    `home_address` is that of the Home Address option (home agent) or the type 2 routing header (mobile router), or
    None.
    """

    octets: bytes
    source: bytes
    destination: bytes
    home_address: bytes | None
    interface_index: int
    error: MalformedMessage | None = None


class MobilitySocket:
    """The sockets of one role, "home-agent" or "mobile-router". Raises: PermissionError without CAP_NET_RAW."""

    def __init__(self, role: str) -> None:
        extension = _EXTENSION_OF[role]
        self._extension = _receiver(extension)
        self._bare = _receiver(MOBILITY_HEADER)
        self._sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)
        self._parse = _behind_routing if extension == ROUTING_HEADER else _behind_options

    @property
    def sockets(self) -> list[socket.socket]:
        """What to wait for."""
        return [self._extension, self._bare]

    def receive(self, ready: socket.socket, limit: int = 64) -> list[Datagram]:
        """At most `limit` datagrams that wait on `ready`; never blocks."""
        datagrams: list[Datagram] = []
        while len(datagrams) < limit:
            try:
                octets, ancillary, _, address = ready.recvmsg(_DATAGRAM_MAX, 64)
            except BlockingIOError:
                break
            destination, interface_index = _PKTINFO.unpack_from(ancillary[0][2])
            source = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
            if ready is self._bare:
                datagrams.append(Datagram(octets, source, destination, None, interface_index))
                continue
            try:
                home_address, next_header, offset = self._parse(octets)
            except MalformedMessage as error:
                datagrams.append(Datagram(octets, source, destination, None, interface_index, error))
                continue
            if next_header == MOBILITY_HEADER:
                datagrams.append(Datagram(octets[offset:], source, destination, home_address, interface_index))
        return datagrams

    def send(self, octets: bytes, source: bytes, interface_index: int = 0) -> None:
        """Send a whole IPv6 packet; `source` also chooses the route (policy rules). Raises: OSError."""
        destination = socket.inet_ntop(socket.AF_INET6, octets[24:40])
        pktinfo = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO.pack(source, interface_index))
        self._sender.sendmsg([octets], [pktinfo], 0, (destination, 0))

    def close(self) -> None:
        """Close all sockets."""
        for one in (self._extension, self._bare, self._sender):
            one.close()


def _receiver(next_header: int) -> socket.socket:
    receiver = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, next_header)
    receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    # The kernel's own checksum check would use the wire addresses; ours uses the home address.
    receiver.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, -1)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_OCTETS)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)
    return receiver


def _behind_options(octets: bytes) -> tuple[bytes | None, int, int]:
    return packet.destination_options(octets)


def _behind_routing(octets: bytes) -> tuple[bytes | None, int, int]:
    return packet.routing_header(octets)
