"""The socket side of `tunnel_errors`: hears errors about our tunnels, tells the senders of what was inside.

Owns a raw ICMPv6 socket, one of ICMP for those who sent IPv4, and the limits: an error can be forged by anybody who
guesses addresses, so it must name a tunnel of ours with one of its users inside, and no pair of hosts hears of it more
than ten times a second. What a forged Packet Too Big can do is bounded by 1280 octets.
"""

import socket
import sys
import time
from collections.abc import Callable

from dataplane.errors import DataPlaneError
from dataplane.tunnel_errors import TIME_EXCEEDED, TOO_BIG, UNREACHABLE, TunnelError, answer, parse

PAUSE_S = 0.1  # between two messages about the same pair of hosts
REMEMBERED_MAX = 4096  # pairs; more at once and the oldest are forgotten
A_TURN = 64
_ICMPV6_FILTER = 1  # linux/icmpv6.h
_SOL_RAW, _ICMP_FILTER = 255, 1  # linux/icmp.h
_RECEIVE_OCTETS = 2048

IsOurs = Callable[[TunnelError], bool]


class ErrorRelay:
    """Relays errors that arrive at `address` (None: any of this machine's) and are about a tunnel that `is_ours`.

    Raises: DataPlaneError.
    """

    def __init__(self, address: bytes | None, is_ours: IsOurs) -> None:
        self._is_ours = is_ours
        self._told: dict[tuple[bytes, bytes], float] = {}
        self._counts = dict.fromkeys(("relayed", "not_ours", "not_a_tunnel", "not_to_be_told", "limited", "failed"), 0)
        try:
            self.socket = socket.socket(
                socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6
            )
            self.socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, _only(UNREACHABLE, TOO_BIG, TIME_EXCEEDED))
            self._ipv4 = socket.socket(
                socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP
            )
            self._ipv4.setsockopt(_SOL_RAW, _ICMP_FILTER, b"\xff" * 4)  # it only sends
            if address is not None:
                self.socket.bind((socket.inet_ntop(socket.AF_INET6, address), 0))
        except OSError as error:
            raise DataPlaneError("listening for tunnel errors", error.strerror or str(error)) from error

    def close(self) -> None:
        """Close the sockets."""
        self.socket.close()
        self._ipv4.close()

    def relay(self) -> None:
        """Handle what waits, a bounded number at once; never blocks and never raises for what anybody can send."""
        now = time.monotonic()
        for _ in range(A_TURN):
            try:
                octets = self.socket.recv(_RECEIVE_OCTETS)
            except OSError:
                return
            self._counts[self._relay(octets, now)] += 1

    def counters(self) -> dict[str, int]:
        """What became of the errors heard."""
        return {f"tunnel_errors{{{word}}}": count for word, count in self._counts.items()}

    def _relay(self, octets: bytes, now: float) -> str:
        error = parse(octets)
        if error is None:
            return "not_a_tunnel"
        if not self._is_ours(error):
            return "not_ours"
        told = answer(error)
        if told is None:
            return "not_to_be_told"
        pair = (error.inner_source, error.inner_destination)
        if now < self._told.get(pair, 0.0):
            return "limited"
        if len(self._told) >= REMEMBERED_MAX:
            self._told = {pair: until for pair, until in self._told.items() if until > now}
            if len(self._told) >= REMEMBERED_MAX:
                return "limited"
        self._told[pair] = now + PAUSE_S
        try:
            if error.is_ipv4:
                self._ipv4.sendto(told, (socket.inet_ntop(socket.AF_INET, error.inner_source), 0))
            else:
                self.socket.sendto(told, (socket.inet_ntop(socket.AF_INET6, error.inner_source), 0))
        except OSError:
            return "failed"
        return "relayed"


def _only(*types: int) -> bytes:
    """The ICMPv6 filter (RFC 3542 3.2) that lets only these types through: a set bit blocks, in machine words."""
    words = [0xFFFFFFFF] * 8
    for kind in types:
        words[kind // 32] &= ~(1 << kind % 32)
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)
