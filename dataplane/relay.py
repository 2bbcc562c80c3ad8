"""The socket side of `tunnel_errors`: hears errors about our tunnels, tells the senders of what was inside.

Owns a raw ICMPv6 socket, one of ICMP for those who sent IPv4, and the limits: an error can be forged by anybody who
guesses addresses, so it must name a tunnel of ours with one of its users inside, no pair of hosts hears of it more than
ten times a second, and no host more than a hundred times, whatever others it is said to have talked with. What a forged
Packet Too Big can do is bounded by 1280 octets.
"""

import socket
import sys
import time
from collections import Counter
from collections.abc import Callable

from dataplane.errors import DataPlaneError
from dataplane.narrow import NarrowLine, NarrowLines, is_narrow
from dataplane.tunnel_errors import TIME_EXCEEDED, TOO_BIG, UNREACHABLE, TunnelError, answer, parse

PERIOD_S = 0.1  # in which each pair of hosts is told once
A_HOST = 10  # messages to one host in a period: at most a megabit a second; TCP asks again for who is left out
TOLD_MAX = 4096  # messages in a period, and so what is remembered
A_TURN = 64
_ICMPV6_FILTER = 1  # linux/icmpv6.h
_SOL_RAW, _ICMP_FILTER = 255, 1  # linux/icmp.h
_RECEIVE_OCTETS = 2048
_OUTCOMES = ("relayed", "not_ours", "not_a_tunnel", "not_to_be_told", "line_too_narrow", "limited", "failed")

IsOurs = Callable[[TunnelError], bool]
Tell = Callable[[NarrowLine], None]


class ErrorRelay:
    """Relays errors that arrive at `address` (None: any of this machine's) and are about a tunnel that `is_ours`.

    `tell` hears of each line that turns out to be too narrow for a tunnel, once. Raises: DataPlaneError.
    """

    def __init__(self, address: bytes | None, is_ours: IsOurs, tell: Tell = lambda _: None) -> None:
        self._is_ours, self._tell = is_ours, tell
        self._narrow = NarrowLines()
        self._told: set[tuple[bytes, bytes]] = set()
        self._hosts: Counter[bytes] = Counter()
        self._period_ends = 0.0
        self._counts = dict.fromkeys(_OUTCOMES, 0)
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

    def narrow_lines(self) -> list[NarrowLine]:
        """The lines that are too narrow for a tunnel, as routers on the way said within the last hour."""
        return self._narrow.present(time.monotonic())

    def _relay(self, octets: bytes, now: float) -> str:
        error = parse(octets)
        if error is None:
            return "not_a_tunnel"
        if not self._is_ours(error):
            return "not_ours"
        if is_narrow(error) and (news := self._narrow.hear(error, now)):
            self._tell(news)
        told = answer(error)
        if told is None:
            return "line_too_narrow" if is_narrow(error) else "not_to_be_told"
        if not self._may_tell(error, now):
            return "limited"
        try:
            if error.is_ipv4:
                self._ipv4.sendto(told, (socket.inet_ntop(socket.AF_INET, error.inner_source), 0))
            else:
                self.socket.sendto(told, (socket.inet_ntop(socket.AF_INET6, error.inner_source), 0))
        except OSError:
            return "failed"
        return "relayed"

    def _may_tell(self, error: TunnelError, now: float) -> bool:
        if now >= self._period_ends:
            self._told.clear()
            self._hosts.clear()
            self._period_ends = now + PERIOD_S
        host, pair = error.inner_source, (error.inner_source, error.inner_destination)
        if pair in self._told or self._hosts[host] >= A_HOST or len(self._told) >= TOLD_MAX:
            return False
        self._told.add(pair)
        self._hosts[host] += 1
        return True


def _only(*types: int) -> bytes:
    """The ICMPv6 filter (RFC 3542 3.2) that lets only these types through: a set bit blocks, in machine words."""
    words = [0xFFFFFFFF] * 8
    for kind in types:
        words[kind // 32] &= ~(1 << kind % 32)
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)
