"""A netlink socket: batches with an answer for each message, questions, and dumps. Knows messages, not what they mean.

Why not a library: a bulk of nexthops wants hundreds of messages per send, and an error for each. Only the last message
of a batch asks for an acknowledgement; the kernel works in order and reports every failure anyway, so its answer says
that all is done. The kernel answers a burst of adds with ENOMEM though there is memory (its per-CPU atomic pool is
empty for a moment), so failed messages are sent again, in order, after a pause that doubles. Those behind them may be
done before them then: what must not happen unless something else has happened belongs into a call of its own. Each
request blocks for microseconds; there is nothing to wait for but the kernel.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from dataplane.errors import DataPlaneError
from dataplane.message import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    Refusal,
    messages,
    pack,
    refusal,
)

BATCH = 400  # measured: more messages in one send gain nothing
ENOMEM_FIRST_PAUSE_S = 0.0005
ENOMEM_TRIES = 8
ANSWER_TIMEOUT_S = 10  # the kernel answers within the system call that asks; this only breaks a hang
DUMP_TRIES = 5
NEEDS_ROOT = "CAP_NET_ADMIN is needed, run it as root"
_RECEIVE_OCTETS = 1 << 18
_BUFFER_OCTETS = 8 << 20  # failures of a batch and the answers to it must fit
_SEQUENCE_END = 1 << 31
_ALREADY_GONE = frozenset({errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV})

_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 270, 10, 11, 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h; the module has no names for them before 3.13

Owner = TypeVar("Owner")


class NetlinkSocket:
    """A netlink socket of one family (NETLINK_ROUTE ...), in the network namespace of the process.

    Raises: DataPlaneError if it cannot be opened, or if netlink itself fails later.
    """

    def __init__(self, family: int) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
            self._socket.bind((0, 0))
        except OSError as error:
            raise DataPlaneError("opening netlink", _words(error)) from error
        timeout = struct.pack("@ll", ANSWER_TIMEOUT_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        for forced, polite in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_OCTETS)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, polite, _BUFFER_OCTETS)
        for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._buffer = memoryview(bytearray(_RECEIVE_OCTETS))
        self._sequence = 0
        self.changes_sent = 0  # messages, those that had to be repeated each time
        self.changes_repeated = 0  # because the kernel was short of memory for a moment

    @property
    def port(self) -> int:
        """The netlink port by which the kernel knows this socket."""
        return int(self._socket.getsockname()[0])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    # --- changes ----------------------------------------------------------------------------------------------------

    def execute(self, requests: Sequence[Message]) -> list[Refusal | None]:
        """Carry out messages in order; for each None or why not. Raises: DataPlaneError if netlink itself fails."""
        results: list[Refusal | None] = []
        for start in range(0, len(requests), BATCH):
            results += self._execute_batch(requests[start : start + BATCH])
        return results

    def execute_each(self, requests: Mapping[Owner, Sequence[Message]]) -> dict[Owner, list[Refusal | None]]:
        """Carry out the messages of many in one go. Returns: all answers to each of whom something was really refused.

        Raises: DataPlaneError if netlink itself fails.
        """
        answers = self.execute([request for own in requests.values() for request in own])
        if not any(answers):
            return {}
        found, at = {}, 0
        for owner, own in requests.items():
            answered = answers[at : at + len(own)]
            at += len(own)
            if first_failure(own, answered) is not None:
                found[owner] = answered
        return found

    def _execute_batch(self, requests: Sequence[Message]) -> list[Refusal | None]:
        results = self._send_batch(requests)
        pause_s = ENOMEM_FIRST_PAUSE_S
        for _ in range(ENOMEM_TRIES):
            short = [at for at, refused in enumerate(results) if refused and refused.number == errno.ENOMEM]
            if not short:
                break
            time.sleep(pause_s)
            pause_s *= 2
            # From the first failure on: what follows may have failed because it stood on the first.
            again = [at for at in range(short[0], len(requests)) if results[at] is not None]
            self.changes_repeated += len(again)
            for at, refused in zip(again, self._send_batch([requests[at] for at in again]), strict=True):
                results[at] = refused
        return results

    def _send_batch(self, requests: Sequence[Message]) -> list[Refusal | None]:
        self.changes_sent += len(requests)
        first = self._take_sequences(len(requests))
        last = len(requests) - 1
        *most, (kind, flags, body) = requests
        pieces = [pack(one[0], one[1] | NLM_F_REQUEST, number, one[2]) for number, one in enumerate(most, first)]
        packed = b"".join([*pieces, pack(kind, flags | NLM_F_REQUEST | NLM_F_ACK, first + last, body)])
        results: list[Refusal | None] = [None] * len(requests)
        self.send(packed)
        while True:
            for kind, _, sequence, body in messages(self.receive()):
                place = sequence - first
                if kind != NLMSG_ERROR or not 0 <= place <= last:
                    continue
                results[place] = refusal(body)
                if place == last:
                    return results

    def settle(self, requests: Sequence[Message], what: str) -> None:
        """Carry out messages that must all be done. Raises: DataPlaneError naming the first that was not."""
        reason = first_failure(requests, self.execute(requests))
        if reason is not None:
            raise DataPlaneError(what, reason)

    # --- questions --------------------------------------------------------------------------------------------------

    def ask(self, kind: int, body: bytes) -> bytes | Refusal:
        """The body of the one object asked for, or why there is none."""
        wanted = self._take_sequences(1)
        self.send(pack(kind, NLM_F_REQUEST, wanted, body))
        while True:
            for answer, _, sequence, found in messages(self.receive()):
                if sequence == wanted:
                    return (refusal(found) or b"") if answer == NLMSG_ERROR else found

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """All objects of a kind: the bodies of the answers. Repeated if the kernel says that it changed meanwhile."""
        for _ in range(DUMP_TRIES):
            bodies, interrupted = self._dump_once(kind, body)
            if not interrupted:
                return bodies
        raise DataPlaneError("reading from the kernel", f"it changed {DUMP_TRIES} times while being read")

    def _dump_once(self, kind: int, body: bytes) -> tuple[list[bytes], bool]:
        wanted = self._take_sequences(1)
        self.send(pack(kind, NLM_F_REQUEST | NLM_F_DUMP, wanted, body))
        bodies: list[bytes] = []
        interrupted = 0
        while True:
            for answer, flags, sequence, found in messages(self.receive()):
                if sequence != wanted:
                    continue
                interrupted |= flags & NLM_F_DUMP_INTR
                if answer == NLMSG_DONE:
                    return bodies, bool(interrupted)
                if answer == NLMSG_ERROR:
                    refused = refusal(found)
                    if refused is not None and refused.number == errno.ENOENT:
                        return [], False  # a table that is not there holds nothing
                    raise DataPlaneError("reading from the kernel", explain(refused) if refused else "no answer")
                bodies.append(found)

    # --- octets -----------------------------------------------------------------------------------------------------

    def send(self, packed: bytes) -> None:
        """Send packed messages."""
        try:
            self._socket.send(packed)
        except OSError as error:
            raise DataPlaneError("talking to the kernel", _words(error)) from error

    def receive(self) -> bytes:
        """The next datagram."""
        try:
            size = self._socket.recv_into(self._buffer)
        except BlockingIOError as error:
            raise DataPlaneError("talking to the kernel", f"no answer within {ANSWER_TIMEOUT_S} s") from error
        except OSError as error:
            raise DataPlaneError("talking to the kernel", _words(error)) from error
        return bytes(self._buffer[:size])

    def _take_sequences(self, count: int) -> int:
        """The first of `count` sequence numbers nobody has used lately."""
        if self._sequence + count >= _SEQUENCE_END:
            self._sequence = 0
        first = self._sequence + 1
        self._sequence += count
        return first


def first_failure(requests: Iterable[Message], results: Iterable[Refusal | None]) -> str | None:
    """Why the first message that was really refused was; None if all are done.

    "Already there" and "already gone" are success: the kernel is as it was wanted.
    """
    for request, refused in zip(requests, results, strict=True):
        if refused is not None and not _is_so_already(request, refused):
            return explain(refused)
    return None


def _is_so_already(request: Message, refused: Refusal) -> bool:
    if request.flags & NLM_F_CREATE:
        return refused.number == errno.EEXIST
    return refused.number in _ALREADY_GONE


def explain(refused: Refusal) -> str:
    """A refusal in words, with what to do where that is always the same."""
    words = os.strerror(refused.number)
    if refused.number in (errno.EPERM, errno.EACCES):
        words += f": {NEEDS_ROOT}"
    return f"{words} ({refused.text})" if refused.text else words


def _words(error: OSError) -> str:
    return error.strerror or str(error)
