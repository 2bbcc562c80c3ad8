"""Elements of nftables sets, packed with struct: added, removed and read without starting a program.

Owns the nfnetlink batch (linux/netfilter/nfnetlink.h, nf_tables.h). A batch is one transaction: all of it or nothing.
"""

import errno
import os
import socket
import struct
from collections.abc import Sequence

from dataplane.errors import DataPlaneError
from dataplane.message import NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, attribute, attributes, each_attribute, nested
from dataplane.netlink import NLMSG_ERROR, NetlinkSocket

_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_NEWSETELEM, _GETSETELEM, _DELSETELEM, _GETOBJ = 12, 13, 14, 19
_BATCH_BEGIN, _BATCH_END = 16, 17
_NFGENMSG = struct.Struct("=BBH")
_HEADER = struct.Struct("=IHHII")
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_LIST_ITEM, _ELEMENT_KEY, _DATA_VALUE = 1, 1, 1
_OBJ_NAME, _OBJ_TYPE, _OBJ_DATA = 2, 3, 4
_COUNTER_TYPE, _COUNTER_PACKETS = 1, 2
_IPV6 = socket.AF_INET6
_ELEMENTS_A_MESSAGE = 500  # an attribute's length has 16 bits


class SetElements:
    """The elements of the sets of one table of family ip6."""

    def __init__(self, table: str) -> None:
        self._table = table.encode() + b"\0"
        self._dumps = NetlinkSocket(_NETFILTER)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self._sequence = 0

    def close(self) -> None:
        """Close the sockets."""
        self._dumps.close()
        self._socket.close()

    def change(self, added: Sequence[tuple[str, bytes]], removed: Sequence[tuple[str, bytes]]) -> None:
        """Add and remove (set name, key) in one transaction; adding what is there is no error.

        Raises: DataPlaneError; then nothing was changed.
        """
        messages = [
            *self._messages(_NEWSETELEM, NLM_F_CREATE, added),
            *self._messages(_DELSETELEM, 0, removed),
        ]
        if not messages:
            return
        begin = _NFGENMSG.pack(0, 0, socket.htons(10))
        first = self._sequence + 1
        packed = self._pack(_BATCH_BEGIN, NLM_F_REQUEST, begin)
        for kind, flags, body in messages:
            packed += self._pack(_SUBSYSTEM | kind, NLM_F_REQUEST | NLM_F_ACK | flags, body)
        packed += self._pack(_BATCH_END, NLM_F_REQUEST, begin)
        self._commit(packed, first, len(messages))

    def keys(self, name: str) -> set[bytes]:
        """All keys of a set. Raises: DataPlaneError."""
        body = _NFGENMSG.pack(_IPV6, 0, 0) + attribute(_LIST_TABLE, self._table)
        body += attribute(_LIST_SET, name.encode() + b"\0")
        found = set()
        for answer in self._dumps.dump(_SUBSYSTEM | _GETSETELEM, body):
            elements = attributes(answer[_NFGENMSG.size :]).get(_LIST_ELEMENTS, b"")
            for _, element in each_attribute(elements):
                found.add(attributes(attributes(element)[_ELEMENT_KEY])[_DATA_VALUE])
        return found

    def counters(self) -> dict[str, int]:
        """The packets of each named counter of the table. Raises: DataPlaneError."""
        body = _NFGENMSG.pack(_IPV6, 0, 0) + attribute(1, self._table)
        found = {}
        for answer in self._dumps.dump(_SUBSYSTEM | _GETOBJ, body):
            one = attributes(answer[_NFGENMSG.size :])
            if one.get(1) != self._table or int.from_bytes(one.get(_OBJ_TYPE, b""), "big") != _COUNTER_TYPE:
                continue
            packets = attributes(one[_OBJ_DATA])[_COUNTER_PACKETS]
            found[one[_OBJ_NAME].rstrip(b"\0").decode()] = int.from_bytes(packets, "big")
        return found

    def _messages(self, kind: int, flags: int, keys: Sequence[tuple[str, bytes]]) -> list[tuple[int, int, bytes]]:
        by_set: dict[str, list[bytes]] = {}
        for name, key in keys:
            by_set.setdefault(name, []).append(key)
        messages = []
        for name, members in by_set.items():
            for start in range(0, len(members), _ELEMENTS_A_MESSAGE):
                items = [_item(key) for key in members[start : start + _ELEMENTS_A_MESSAGE]]
                body = _NFGENMSG.pack(_IPV6, 0, 0) + attribute(_LIST_TABLE, self._table)
                body += attribute(_LIST_SET, name.encode() + b"\0") + nested(_LIST_ELEMENTS, *items)
                messages.append((kind, flags, body))
        return messages

    def _pack(self, kind: int, flags: int, body: bytes) -> bytes:
        self._sequence += 1
        size = _HEADER.size + len(body)
        return _HEADER.pack(size, kind, flags, self._sequence, 0) + body + bytes(-size % 4)

    def _commit(self, packed: bytes, first: int, count: int) -> None:
        """Send a batch and wait for the answer to each of its `count` messages (sequence `first` is the begin)."""
        wanted = set(range(first + 1, first + 1 + count))
        failed = 0
        try:
            self._socket.send(packed)
            while wanted:
                for sequence, code in _acknowledgements(self._socket.recv(1 << 20)):
                    if sequence < first:
                        continue
                    wanted.discard(sequence)
                    failed = failed or code
                    if code and sequence == first:
                        wanted.clear()  # the whole batch was refused
        except OSError as error:
            raise DataPlaneError("changing the source check", error.strerror or str(error)) from error
        if failed:
            raise DataPlaneError("changing the source check", os.strerror(failed) or errno.errorcode[failed])


def _item(key: bytes) -> bytes:
    return nested(_LIST_ITEM, nested(_ELEMENT_KEY, attribute(_DATA_VALUE, key)))


def _acknowledgements(octets: bytes) -> list[tuple[int, int]]:
    """(sequence, errno or 0) of each answer in a datagram."""
    answers, at = [], 0
    while at + _HEADER.size <= len(octets):
        size, kind, _, sequence, _ = _HEADER.unpack_from(octets, at)
        if kind == NLMSG_ERROR:
            answers.append((sequence, -struct.unpack_from("=i", octets, at + _HEADER.size)[0]))
        at += size + (-size % 4)
    return answers
