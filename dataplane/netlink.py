"""Netlink, packed with struct: batches with an answer per message, and dumps. Knows messages, not what they mean.

Why not a library: a bulk of nexthops wants hundreds of messages per send, and an error for each. The kernel answers a
burst of adds with ENOMEM though there is memory (its per-CPU atomic pool is empty for a moment), so failed messages
are sent again, in order, after a pause that doubles. Each request blocks for microseconds; there is nothing to wait
for but the kernel.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator, Sequence

from dataplane.errors import DataPlaneError
from dataplane.message import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, Message, Refusal, attributes

BATCH = 400
ENOMEM_FIRST_PAUSE_S = 0.0005
ENOMEM_TRIES = 8
RECEIVE_OCTETS = 1 << 20

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_DUMP_INTR = 0x10
_SOL_NETLINK, _NETLINK_EXT_ACK, _NETLINK_CAP_ACK, _NETLINK_GET_STRICT_CHK = 270, 11, 10, 12
_NLMSGERR_ATTR_MSG = 1
_HEADER = struct.Struct("=IHHII")
_ERROR = struct.Struct("=i")


class NetlinkSocket:
    """A netlink socket of one family, in the network namespace of the process.

    Raises: DataPlaneError if it cannot be opened.
    """

    def __init__(self, family: int) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
            self._socket.bind((0, 0))
        except OSError as error:
            raise DataPlaneError("opening netlink", error.strerror or str(error)) from error
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * RECEIVE_OCTETS)
        for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def execute(self, messages: Sequence[Message]) -> list[Refusal | None]:
        """Carry out messages in order; for each None or why not. Raises: DataPlaneError if netlink itself fails."""
        results: list[Refusal | None] = []
        for start in range(0, len(messages), BATCH):
            results += self._execute_batch(messages[start : start + BATCH])
        return results

    def _execute_batch(self, messages: Sequence[Message]) -> list[Refusal | None]:
        results = self._send_and_collect(messages)
        pause_s = ENOMEM_FIRST_PAUSE_S
        for _ in range(ENOMEM_TRIES):
            short = [at for at, refusal in enumerate(results) if refusal and refusal.number == errno.ENOMEM]
            if not short:
                break
            time.sleep(pause_s)
            pause_s *= 2
            # From the first failure on: what follows may have failed because it stood on the first.
            again = [at for at in range(short[0], len(messages)) if results[at] is not None]
            for at, refusal in zip(again, self._send_and_collect([messages[at] for at in again]), strict=True):
                results[at] = refusal
        return results

    def _send_and_collect(self, messages: Sequence[Message]) -> list[Refusal | None]:
        first = self._sequence + 1
        self._sequence += len(messages)
        packed = bytearray()
        for place, (kind, flags, body) in enumerate(messages):
            size = _HEADER.size + len(body)
            packed += _HEADER.pack(size, kind, flags | NLM_F_REQUEST | NLM_F_ACK, first + place, 0) + body
            packed += bytes(-size % 4)
        try:
            self._socket.send(packed)
            results: list[Refusal | None] = [None] * len(messages)
            missing = len(messages)
            while missing:
                for kind, sequence, _, payload in self._receive():
                    if kind == NLMSG_ERROR and 0 <= sequence - first < len(messages):
                        results[sequence - first] = _refusal(payload)
                        missing -= 1
        except OSError as error:
            raise DataPlaneError("talking to the kernel", error.strerror or str(error)) from error
        return results

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """All objects of a kind: the bodies of the answers. Repeated if the kernel says that it changed meanwhile."""
        for _ in range(5):
            bodies, interrupted = self._dump_once(kind, body)
            if not interrupted:
                break
        return bodies

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[bytes], bool]:
        self._sequence += 1
        size = _HEADER.size + len(body)
        bodies: list[bytes] = []
        interrupted = False
        try:
            self._socket.send(_HEADER.pack(size, kind, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, 0) + body)
            while True:
                for answer, sequence, flags, payload in self._receive():
                    if sequence != self._sequence:
                        continue
                    interrupted |= bool(flags & NLM_F_DUMP_INTR)
                    if answer == NLMSG_DONE:
                        return bodies, interrupted
                    if answer == NLMSG_ERROR:
                        refusal = _refusal(payload)
                        raise DataPlaneError("reading from the kernel", str(refusal))
                    bodies.append(payload)
        except OSError as error:
            raise DataPlaneError("reading from the kernel", error.strerror or str(error)) from error

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """The messages of one datagram: type, sequence, flags, body."""
        octets = self._socket.recv(RECEIVE_OCTETS)
        at = 0
        while at + _HEADER.size <= len(octets):
            size, kind, flags, sequence, _ = _HEADER.unpack_from(octets, at)
            yield kind, sequence, flags, octets[at + _HEADER.size : at + size]
            at += size + (-size % 4)


def _refusal(payload: bytes) -> Refusal | None:
    code = -_ERROR.unpack_from(payload)[0]
    if code == 0:
        return None
    more = attributes(payload[_ERROR.size + _HEADER.size :]).get(_NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode()
    return Refusal(code, f"{os.strerror(code)} ({more})" if more else os.strerror(code))
