"""Binding Updates of many routers, made ahead and sent on time to the sites they are meant for; who answered, when.

What is costly (encoding, signing) is done before; while it sends, it wakes up about every millisecond, sends what is
due and takes the answers. Their times are the kernel's (SO_TIMESTAMPNS), so they hold however late this reads them.
"""

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mip6 import packet
from mip6.mhsocket import SO_RCVBUFFORCE
from mip6.numbers import ROUTING_HEADER
from tests.bench.population import home, mobility_header, moved_care_of
from tests.ha.cast import HOME_AGENT

BUFFER_OCTETS = 64 * 1024 * 1024
SO_TIMESTAMPNS = 35
ANSWER_S = 2.0
STEP_S = 0.001
_TIMESPEC = struct.Struct("qq")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)
# Of what arrives: a type 2 routing header with the home address, then the acknowledgement.
_HOME, _STATUS, _SEQUENCE = slice(8, 24), 24 + 6, slice(24 + 8, 24 + 10)


@dataclass(frozen=True, slots=True)
class Update:
    """One Binding Update, to be sent `due_s` after the start to site number `site`."""

    due_s: float
    site: int
    customer: int
    sequence: int
    octets: bytes


def update(customer: int, sequence: int, due_s: float, began_unix_s: float, site: int, move: int = 0) -> Update:
    """A refresh, or a move of the first line if `move` is not what it was. The sending starts at `began_unix_s`."""
    signed = mobility_header(customer, sequence, began_unix_s + due_s, move=move)
    octets = packet.update_packet(moved_care_of(customer, move), HOME_AGENT, home(customer), signed)
    return Update(due_s, site, customer, sequence, octets)


class Traffic:
    """The routers' sockets. Made in a thread of their namespace, usable anywhere."""

    def __init__(self, sites: int) -> None:
        self._out = {number: self._to(number) for number in range(1, sites + 1)}
        self._in = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, ROUTING_HEADER)
        self._in.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_OCTETS)
        self._in.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._sent: dict[tuple[bytes, int], float] = {}
        self.took_s: list[float] = []
        self.refused = 0
        self.late_s = 0.0

    @staticmethod
    def _to(number: int) -> socket.socket:
        out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, f"site{number}".encode())
        out.connect((socket.inet_ntop(socket.AF_INET6, HOME_AGENT), 0))
        return out

    def play(self, updates: Sequence[Update], began_unix_s: float) -> None:
        """Send each when it is due, and wait for the last answers.

        `took_s`: from sending to the answer with status 0. `late_s`: the most that one was sent late.
        """
        hear, sent, clock = self._hear, self._sent, time.time
        for one in updates:
            due = began_unix_s + one.due_s
            while (wait_s := due - clock()) > 0:
                hear()
                select.select((), (), (), min(wait_s + STEP_S, STEP_S))
            now = clock()
            sent[home(one.customer), one.sequence] = now
            self._out[one.site].send(one.octets)
            self.late_s = max(self.late_s, now - due)
        deadline = clock() + ANSWER_S
        while len(self.took_s) < len(updates) and clock() < deadline:
            select.select((self._in,), (), (), 0.1)
            hear()

    def sent_at(self, one: Update) -> float:
        """When it was sent, Unix seconds."""
        return self._sent[home(one.customer), one.sequence]

    def _hear(self) -> None:
        try:
            while True:
                octets, ancillary, _, _ = self._in.recvmsg(512, _ANCILLARY)
                if octets[_STATUS] != 0:
                    self.refused += 1
                    continue
                asked = octets[_HOME], int.from_bytes(octets[_SEQUENCE], "big")
                seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                self.took_s.append(seconds + nanoseconds * 1e-9 - self._sent[asked])
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close the sockets."""
        for out in self._out.values():
            out.close()
        self._in.close()
