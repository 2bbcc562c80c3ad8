"""Notices when somebody else changes what is ours: routes, rules, nexthops, the nftables table. Repairs nothing.

Theory of operation. The kernel announces every change with the netlink port of whoever asked for it, 0 for itself (an
interface that went down). A socket filter lets through only what others did to objects of our protocol number, so
that our own changes, thousands a second, cost nothing here. Of policy rules those for local addresses matter, which
are everybody's, and nftables' messages bear only a name, so all of both are looked at one by one; they are rare. When
announcements came too fast to be kept (ENOBUFS), something may have been missed, which is told as a change too.
"""

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dataplane.errors import DataPlaneError
from dataplane.message import HEADER, attributes
from dataplane.numbers import HOME_AGENT_PROTOCOL
from dataplane.port import Disturbance
from dataplane.rtnetlink import LOCAL_TABLE, parse_rule

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33  # asm-generic/socket.h
# A script of ours is announced rule by rule, 8 kB for each length of prefix in use. So much is read in 50 ms.
_SCRIPT_OCTETS = 2 << 20
_ROUTES_OF_IPV4, _ROUTES, _RULES, _NEXTHOPS = 7, 11, 19, 32  # rtnetlink groups (linux/rtnetlink.h)
_NFTABLES = 7  # NFNLGRP_NFTABLES
_NEWROUTE, _DELROUTE, _NEWRULE, _DELRULE, _NEWNEXTHOP, _DELNEXTHOP = 24, 25, 32, 33, 104, 105
_ROUTE_PROTOCOL_AT, _NEXTHOP_PROTOCOL_AT = 16 + 5, 16 + 2  # offsets of rtm_protocol and nh_protocol
_LENGTH_AT, _RTMSG_OCTETS, _NEXTHOP_ID = 1, 12, 30  # of struct rtmsg: rtm_dst_len, its size; RTA_NH_ID
_NFGENMSG_OCTETS, _TABLE_NAME = 4, 1
_RECEIVE_OCTETS = 1 << 16
_LOSS = -1  # no message has this type; the number of the error, 105, is that of RTM_DELNEXTHOP
# Classic BPF (linux/filter.h)
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")  # struct sock_fprog: how many instructions, and where
_PORT_AT, _TYPE_AT = 12, 4
_EVERYTHING = 0xFFFFFFFF


class _Announcement(NamedTuple):
    """What was changed: its message type and body, and the netlink port of who asked for it."""

    kind: int
    port: int
    body: bytes


class KernelWatch:
    """Sockets that hear what others do.

    Args:
        route_ports, filter_port: the netlink ports that we use ourselves.
        table: the name of our nftables table.
    Raises: DataPlaneError.
    """

    def __init__(self, route_ports: Sequence[int], filter_port: int, table: str) -> None:
        self._filter_port = filter_port
        self._heard: set[Disturbance] = set()  # beside scripts of ours
        self._table = table.encode() + b"\0"
        try:
            groups = (_ROUTES_OF_IPV4, _ROUTES, _RULES, _NEXTHOPS)
            self._routes = _listen(socket.NETLINK_ROUTE, groups, _program(route_ports))
            self._filters = _listen(_NETLINK_NETFILTER, (_NFTABLES,), _not_from(filter_port))
            self._is_roomy = _widen(self._filters)
        except OSError as error:
            raise DataPlaneError("watching the kernel", error.strerror or str(error)) from error

    def close(self) -> None:
        """Close the sockets."""
        self._routes.close()
        self._filters.close()

    def changes(self) -> set[Disturbance]:
        """What others changed of ours since the last call; never blocks. Raises: DataPlaneError."""
        heard, self._heard = self._heard | self._filter_changes(_pending(self._filters)), set()
        return heard | {one for one in map(_route_change, _pending(self._routes)) if one}

    def own_script(self, port: int) -> None:
        """What was done from this netlink port until now was our own doing; what others did meanwhile is kept.

        What a script did from another port, or what did not all fit, is no reason for a repair: that loads scripts, and
        would be the reason for the next one.
        """
        heard = list(_pending(self._filters))
        if port in {one.port for one in heard}:
            self._heard |= self._filter_changes(
                one for one in heard if one.port != port and (self._is_roomy or one.kind != _LOSS)
            )

    def _filter_changes(self, heard: Iterable[_Announcement]) -> set[Disturbance]:
        return {change for one in heard if (change := self._filter_change(one))}

    def _filter_change(self, heard: _Announcement) -> Disturbance | None:
        if heard.kind == _LOSS:
            return Disturbance.OVERRUN
        is_ours = attributes(heard.body, _NFGENMSG_OCTETS).get(_TABLE_NAME) == self._table
        return Disturbance.FILTERS if is_ours and heard.port != self._filter_port else None


def _route_change(heard: _Announcement) -> Disturbance | None:
    kind, _, body = heard
    if kind == _LOSS:
        return Disturbance.OVERRUN
    if kind in (_NEWRULE, _DELRULE):  # ours there are none: that for local addresses is everybody's
        return Disturbance.RULES if parse_rule(body).table == LOCAL_TABLE else None
    if kind in (_NEWNEXTHOP, _DELNEXTHOP):
        return Disturbance.NEXTHOPS
    if kind not in (_NEWROUTE, _DELROUTE):
        return None  # the kernel tells of resilient groups that settle
    # A customer's route is never the default, and leads to a nexthop. Of nexthops that go with their interface the
    # kernel tells nothing but the routes.
    is_of_egress = not body[_LENGTH_AT] and _NEXTHOP_ID not in attributes(body, _RTMSG_OCTETS)
    return Disturbance.EGRESS if is_of_egress else Disturbance.ROUTES


def _listen(family: int, groups: Iterable[int], program: bytes) -> socket.socket:
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, family)
    try:
        if program:
            instructions = ctypes.create_string_buffer(program, len(program))
            count = len(program) // _INSTRUCTION.size
            told = _PROGRAM.pack(count, ctypes.addressof(instructions))
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)
        listener.bind((0, 0))
        for group in groups:
            listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        listener.close()
        raise
    return listener


def _widen(listener: socket.socket) -> bool:
    """Is there room for a script of ours? Root of a container may not have as much as it likes."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _SCRIPT_OCTETS)
    except PermissionError:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SCRIPT_OCTETS)
    return listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= _SCRIPT_OCTETS


def _pending(listener: socket.socket) -> Iterator[_Announcement]:
    """Everything announced since the last time. A loss is of kind `_LOSS`."""
    while True:
        try:
            octets = listener.recv(_RECEIVE_OCTETS)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise DataPlaneError("watching the kernel", error.strerror or str(error)) from error
            yield _Announcement(_LOSS, 0, b"")
            continue
        at = 0
        while at + HEADER.size <= len(octets):
            size, kind, _, _, port = HEADER.unpack_from(octets, at)
            if size < HEADER.size:
                break
            yield _Announcement(kind, port, octets[at + HEADER.size : at + size])
            at += (size + 3) & ~3


def _program(own_ports: Sequence[int]) -> bytes:
    """Classic BPF, which loads big endian: not what `own_ports` asked for; of routes and nexthops only ours; all rules.

    Jumps are relative to the next line: if equal, if not.
    """
    last = len(own_ports) - 1
    code = (
        (_LOAD_WORD, 0, 0, _PORT_AT),
        *((_JUMP_EQUAL, 10 + last - place, 0, _as_loaded(port, 4)) for place, port in enumerate(own_ports)),
        (_LOAD_HALF, 0, 0, _TYPE_AT),  # from here on: 0
        (_JUMP_EQUAL, 3, 0, _as_loaded(_NEWROUTE, 2)),
        (_JUMP_EQUAL, 2, 0, _as_loaded(_DELROUTE, 2)),
        (_JUMP_EQUAL, 3, 0, _as_loaded(_NEWNEXTHOP, 2)),
        (_JUMP_EQUAL, 2, 4, _as_loaded(_DELNEXTHOP, 2)),
        (_LOAD_BYTE, 0, 0, _ROUTE_PROTOCOL_AT),  # 5
        (_JUMP_EQUAL, 2, 3, HOME_AGENT_PROTOCOL),
        (_LOAD_BYTE, 0, 0, _NEXTHOP_PROTOCOL_AT),  # 7
        (_JUMP_EQUAL, 0, 1, HOME_AGENT_PROTOCOL),
        (_RETURN, 0, 0, _EVERYTHING),  # 9
        (_RETURN, 0, 0, 0),  # 10
    )
    return b"".join(_INSTRUCTION.pack(*one) for one in code)


def _not_from(own_port: int) -> bytes:
    """Classic BPF: everything but what `own_port` asked for; a transaction's messages are announced as one."""
    code = (
        (_LOAD_WORD, 0, 0, _PORT_AT),
        (_JUMP_EQUAL, 0, 1, _as_loaded(own_port, 4)),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _EVERYTHING),
    )
    return b"".join(_INSTRUCTION.pack(*one) for one in code)


def _as_loaded(value: int, octets: int) -> int:
    """How a number in the machine's order looks to a program that loads big endian."""
    return int.from_bytes(value.to_bytes(octets, sys.byteorder), "big")
