"""Netlink messages and attributes as octets (linux/netlink.h). Pure: what they mean is the matter of others.

Numbers are in host order, which for every machine this runs on is little endian.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_ATTRIBUTE = struct.Struct("=HH")


class Message(NamedTuple):
    """One request: its type, its flags (besides REQUEST and ACK) and its body with attributes."""

    type: int
    flags: int
    body: bytes


class Refusal(NamedTuple):
    """The kernel's answer to one message that it did not carry out: errno, and what it means in words."""

    number: int
    text: str

    def __str__(self) -> str:
        return self.text


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four octets."""
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + bytes(-size % 4)


def number(kind: int, value: int) -> bytes:
    """A 32-bit attribute in host order."""
    return attribute(kind, struct.pack("=I", value))


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def attributes(octets: bytes) -> dict[int, bytes]:
    """The attributes in `octets`, by type; of several with one type the last."""
    return dict(each_attribute(octets))


def each_attribute(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in `octets`, in order."""
    at = 0
    while at + _ATTRIBUTE.size <= len(octets):
        size, kind = _ATTRIBUTE.unpack_from(octets, at)
        if size < _ATTRIBUTE.size:
            return
        yield kind & _NLA_TYPE_MASK, octets[at + _ATTRIBUTE.size : at + size]
        at += size + (-size % 4)
