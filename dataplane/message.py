"""Netlink messages and attributes as bytes: packing and taking apart. Sends nothing and knows no meanings.

Layouts from linux/netlink.h.
"""

import struct
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_NLMSGERR_ATTR_MSG = 1

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=HHI")
_HEADER_SIZE, _pack_header = HEADER.size, HEADER.pack
_ATTRIBUTE_SIZE, _pack_attribute = _ATTRIBUTE.size, _ATTRIBUTE.pack
_ERROR = struct.Struct("=i")


class Message(NamedTuple):
    """One request: its type, its flags (besides REQUEST and ACK) and its body with attributes."""

    type: int
    flags: int
    body: bytes


class Refusal(NamedTuple):
    """The kernel's answer to one message that it did not carry out: errno and the kernel's own words, if any."""

    number: int
    text: str


def pack(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A whole message with its header, padded to four octets."""
    size = _HEADER_SIZE + len(body)
    packed = _pack_header(size, kind, flags, sequence, 0) + body
    return packed if size % 4 == 0 else packed + bytes(-size % 4)


def messages(octets: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages of one datagram: type, flags, sequence, body."""
    at, end = 0, len(octets)
    while at + HEADER.size <= end:
        size, kind, flags, sequence, _ = HEADER.unpack_from(octets, at)
        if size < HEADER.size:
            return
        yield kind, flags, sequence, octets[at + HEADER.size : at + size]
        at += (size + 3) & ~3


def refusal(body: bytes) -> Refusal | None:
    """What an NLMSG_ERROR says; None if it is an acknowledgement. With NETLINK_CAP_ACK only the header is quoted."""
    code = -_ERROR.unpack_from(body)[0]
    if code == 0:
        return None
    text = attributes(body, _ERROR.size + HEADER.size).get(_NLMSGERR_ATTR_MSG, b"")
    return Refusal(code, text.rstrip(b"\0").decode(errors="replace"))


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four octets."""
    size = _ATTRIBUTE_SIZE + len(payload)
    packed = _pack_attribute(size, kind) + payload
    return packed if size % 4 == 0 else packed + bytes(-size % 4)


def number(kind: int, value: int) -> bytes:
    """A 32-bit attribute in host order."""
    return _NUMBER.pack(_NUMBER.size, kind, value)


def integer(octets: bytes) -> int:
    """The number in an attribute in host order; 0 if it is missing and so empty."""
    return int.from_bytes(octets, sys.byteorder)


def nested(kind: int, *inside: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(inside))


# How messages of a size were laid out last: what unpacks them, their attribute headers, the attributes' types.
_Layout = tuple[Callable[[bytes], tuple[bytes, ...]], tuple[bytes, ...], tuple[int, ...]]
_LAYOUTS: dict[tuple[int, int], _Layout] = {}
_LAYOUTS_MAX = 1000


def attributes(octets: bytes, at: int = 0) -> dict[int, bytes]:
    """The attributes in `octets` from `at` on, by type; of several with one type the last.

    Most of a dump is laid out like what came before it, and is then taken apart in one call.
    """
    shape = len(octets), at
    if layout := _LAYOUTS.get(shape):
        unpack, headers, kinds = layout
        parts = unpack(octets)
        if parts[0::2] == headers:
            return dict(zip(kinds, parts[1::2], strict=True))
    found: dict[int, bytes] = {}
    form, seen, kinds_seen, behind = [f"{at}x"], [], [], len(octets)
    while at + _ATTRIBUTE.size <= behind:
        size, kind = _ATTRIBUTE.unpack_from(octets, at)
        if size < _ATTRIBUTE.size:
            break
        kind &= _NLA_TYPE_MASK
        found[kind] = octets[at + _ATTRIBUTE.size : at + size]
        form.append(f"4s{size - _ATTRIBUTE.size}s{-size % 4}x")
        seen.append(octets[at : at + _ATTRIBUTE.size])
        kinds_seen.append(kind)
        at += (size + 3) & ~3
    if at == behind and seen:
        if len(_LAYOUTS) == _LAYOUTS_MAX:
            _LAYOUTS.clear()
        _LAYOUTS[shape] = (struct.Struct("=" + "".join(form)).unpack, tuple(seen), tuple(kinds_seen))
    return found


def each_attribute(octets: bytes) -> Iterator[bytes]:
    """The payloads of all attributes in `octets`, in order."""
    at, last = 0, len(octets) - _ATTRIBUTE.size
    while at <= last:
        size, _ = _ATTRIBUTE.unpack_from(octets, at)
        if size < _ATTRIBUTE.size:
            return
        yield octets[at + _ATTRIBUTE.size : at + size]
        at += (size + 3) & ~3
