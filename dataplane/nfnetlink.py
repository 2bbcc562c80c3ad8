"""Elements of nftables sets, packed with struct: added, removed and read without starting a program.

Owns the nfnetlink batch (linux/netfilter/nfnetlink.h, nf_tables.h). A batch is one transaction: all of it or nothing.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

from dataplane.errors import DataPlaneError
from dataplane.message import (
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Refusal,
    attribute,
    attributes,
    each_attribute,
    messages,
    nested,
    pack,
    refusal,
)
from dataplane.netlink import NetlinkSocket

_NETLINK_NETFILTER = 12
_IPV6 = socket.AF_INET6
_SUBSYSTEM = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GETSET, _NEWSETELEM, _GETSETELEM, _DELSETELEM, _GETOBJ = 10, 12, 13, 14, 19
_BATCH_BEGIN, _BATCH_END = 16, 17
_NFGENMSG = struct.Struct("=BBH")
_TABLE, _NAME = 1, 2  # NFTA_*_TABLE and NFTA_*_NAME are the same for sets, set elements' sets, and objects
_ELEMENTS = 3
_LIST_ITEM, _ELEMENT_KEY, _DATA_VALUE = 1, 1, 1
_OBJ_TYPE, _OBJ_DATA = 3, 4
_COUNTER, _COUNTER_OCTETS, _COUNTER_PACKETS = 1, 1, 2
_ELEMENT_EXPRESSION, _EXPRESSION_DATA = 7, 2
_ITEM_HEAD = struct.Struct("=HHHHHH")  # length and type of an item, of its key, of the key's value
_MESSAGE_ELEMENTS = 500  # an attribute's length has 16 bits
_TRANSACTION_MESSAGES = 8  # more in one transaction gain nothing, and the packed batch must fit the socket's buffer


class SetElements:
    """The elements of the sets of one table of family ip6."""

    def __init__(self, table: str) -> None:
        self._table = attribute(_TABLE, table.encode() + b"\0")
        self._socket = NetlinkSocket(_NETLINK_NETFILTER)
        self.changes_sent = 0  # messages; one has many elements
        self._sequence = 1 << 31  # apart from those the socket counts for its own questions

    @property
    def port(self) -> int:
        """The netlink port by which the kernel knows this socket."""
        return self._socket.port

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def change(self, added: Mapping[str, Sequence[bytes]], removed: Mapping[str, Sequence[bytes]]) -> None:
        """Add and remove elements, keys by set, in transactions of bounded size; adding what is there is no error.

        Raises: DataPlaneError; then the transaction that failed changed nothing, those before it are done.
        """
        for keys, kind, flags in ((added, _NEWSETELEM, NLM_F_CREATE), (removed, _DELSETELEM, 0)):
            bodies = self._bodies(keys)
            for start in range(0, len(bodies), _TRANSACTION_MESSAGES):
                self._commit([(kind, flags, body) for body in bodies[start : start + _TRANSACTION_MESSAGES]])

    def remove(self, name: str, keys: Sequence[bytes]) -> None:
        """Remove elements that are there, with keys of any length. Raises: DataPlaneError."""
        head = _NFGENMSG.pack(_IPV6, 0, 0) + self._table + attribute(_NAME, name.encode() + b"\0")
        for start in range(0, len(keys), _MESSAGE_ELEMENTS):
            some = b"".join(map(_element, keys[start : start + _MESSAGE_ELEMENTS]))
            self._commit([(_DELSETELEM, 0, head + nested(_ELEMENTS, some))])

    def names(self) -> set[str]:
        """The names of the table's sets."""
        body = _NFGENMSG.pack(_IPV6, 0, 0) + self._table
        answers = self._socket.dump(_SUBSYSTEM | _GETSET, body)
        return {_text(attributes(answer, _NFGENMSG.size)[_NAME]) for answer in answers}

    def keys(self, name: str) -> Iterator[list[bytes]]:
        """All keys of a set without counters or timeouts, some at a time."""
        head = _NFGENMSG.pack(_IPV6, 0, 0) + self._table + attribute(_NAME, name.encode() + b"\0")
        answers = self._socket.dump(_SUBSYSTEM | _GETSETELEM, head)
        while answers:
            yield keys_of(attributes(answers.pop(), _NFGENMSG.size).get(_ELEMENTS, b""))

    def _elements(self, head: bytes) -> Iterator[bytes]:
        for answer in self._socket.dump(_SUBSYSTEM | _GETSETELEM, head):
            yield from _elements_of(answer)

    def counted(self, name: str, keys: Iterable[bytes] | None = None) -> dict[bytes, tuple[int, int]]:
        """Packets and octets of a set's elements, which each have a counter: all, or those of `keys` that are there."""
        head = _NFGENMSG.pack(_IPV6, 0, 0) + self._table + attribute(_NAME, name.encode() + b"\0")
        if keys is None:
            return dict(map(_counted, self._elements(head)))
        found: dict[bytes, tuple[int, int]] = {}
        for key in keys:
            answer = self._socket.ask(_SUBSYSTEM | _GETSETELEM, head + nested(_ELEMENTS, _element(key)))
            if not isinstance(answer, Refusal):
                found.update(map(_counted, _elements_of(answer)))
        return found

    def counters(self) -> dict[str, tuple[int, int]]:
        """Packets and octets of each named counter of the table."""
        body = _NFGENMSG.pack(_IPV6, 0, 0) + self._table
        table = attributes(self._table)[_TABLE]
        found = {}
        for answer in self._socket.dump(_SUBSYSTEM | _GETOBJ, body):
            one = attributes(answer, _NFGENMSG.size)
            if one.get(_TABLE) == table and int.from_bytes(one.get(_OBJ_TYPE, b""), "big") == _COUNTER:
                found[_text(one[_NAME])] = _values(one[_OBJ_DATA])
        return found

    def _bodies(self, keys: Mapping[str, Sequence[bytes]]) -> list[bytes]:
        bodies = []
        for name, members in keys.items():
            head = _NFGENMSG.pack(_IPV6, 0, 0) + self._table + attribute(_NAME, name.encode() + b"\0")
            for start in range(0, len(members), _MESSAGE_ELEMENTS):
                bodies.append(head + nested(_ELEMENTS, items(members[start : start + _MESSAGE_ELEMENTS])))
        return bodies

    def _commit(self, changes: Sequence[tuple[int, int, bytes]]) -> None:
        """One transaction; wait for the answer to each of its messages, or for that to the batch as a whole."""
        self.changes_sent += len(changes)
        begin = self._take_sequences(len(changes) + 2)
        frame = _NFGENMSG.pack(0, 0, socket.htons(10))
        packed = [pack(_BATCH_BEGIN, NLM_F_REQUEST, begin, frame)]
        for place, (kind, flags, body) in enumerate(changes, begin + 1):
            packed.append(pack(_SUBSYSTEM | kind, NLM_F_REQUEST | NLM_F_ACK | flags, place, body))
        packed.append(pack(_BATCH_END, NLM_F_REQUEST, begin + len(changes) + 1, frame))
        self._socket.send(b"".join(packed))
        missing = set(range(begin + 1, begin + 1 + len(changes)))
        why = None
        while missing:
            for kind, _, sequence, body in messages(self._socket.receive()):
                if kind != NLMSG_ERROR or not begin <= sequence <= begin + len(changes) + 1:
                    continue
                why = why or refusal(body)
                missing.discard(sequence)
                if sequence == begin:
                    missing.clear()  # the batch as a whole was refused
        if why is not None:
            raise DataPlaneError("changing the source check", os.strerror(why.number))

    def _take_sequences(self, count: int) -> int:
        first = self._sequence
        self._sequence += count
        if self._sequence >= (1 << 32) - (1 << 16):
            self._sequence = 1 << 31
        return first


def _element(key: bytes) -> bytes:
    return nested(_LIST_ITEM, nested(_ELEMENT_KEY, attribute(_DATA_VALUE, key)))


def _elements_of(answer: bytes) -> Iterator[bytes]:
    return each_attribute(attributes(answer, _NFGENMSG.size).get(_ELEMENTS, b""))


def _counted(element: bytes) -> tuple[bytes, tuple[int, int]]:
    found = attributes(element)
    counter = attributes(found[_ELEMENT_EXPRESSION])[_EXPRESSION_DATA]
    return attributes(found[_ELEMENT_KEY])[_DATA_VALUE], _values(counter)


def _values(counter: bytes) -> tuple[int, int]:
    """Packets and octets."""
    found = attributes(counter)
    return int.from_bytes(found[_COUNTER_PACKETS], "big"), int.from_bytes(found[_COUNTER_OCTETS], "big")


def items(keys: Sequence[bytes]) -> bytes:
    """The list of elements with these keys, of one length each set, a multiple of four octets."""
    head = _item_head(len(keys[0]))
    return b"".join([head + key for key in keys])


def keys_of(items: bytes) -> list[bytes]:
    """The keys of a list of elements, cut up at once if all of them are laid out as `items` does it."""
    octets = int.from_bytes(items[:2], sys.byteorder) - _ITEM_HEAD.size
    if octets > 0 and len(items) % (octets + _ITEM_HEAD.size) == 0:
        pieces = list(struct.iter_unpack(f"{_ITEM_HEAD.size}s{octets}s", items))
        first = pieces[0][0]
        if _is_item_head(first, octets) and all(head == first for head, _ in pieces):
            return [key for _, key in pieces]
    return [attributes(attributes(one)[_ELEMENT_KEY])[_DATA_VALUE] for one in each_attribute(items)]


@cache
def _item_head(octets: int) -> bytes:
    """What stands before a key of so many octets in the list of elements."""
    return _element(bytes(octets))[:-octets]


@cache
def _is_item_head(head: bytes, octets: int) -> bool:
    """Is it that? The kernel does not mark attributes that hold attributes."""
    ours = _ITEM_HEAD.unpack(_item_head(octets))
    return all(found in (own, own & ~NLA_F_NESTED) for found, own in zip(_ITEM_HEAD.unpack(head), ours, strict=True))


def _text(octets: bytes) -> str:
    return octets.rstrip(b"\0").decode(errors="replace")
