"""A numbered probe on the wire, bare or inside one tunnel header, and the socket filters that pick it out. Pure.

    UDP payload:  "xsp-lab1" | number, 32 bits
    captured:     IPv6 | UDP | payload                 what left a home agent decapsulated
                  IPv6 | IPv6 | UDP | payload          what a tunnel carries (RFC 2473)

Owns offsets. Refuses to look at addresses: where a packet was captured says enough.
"""

import ctypes
import struct
from collections.abc import Sequence

MAGIC = b"xsp-lab1"
PORT = 47470  # every probe's destination port; unassigned, and outside Linux's ephemeral range
IPV6_HEADER = 40
UDP_HEADER = 8
_NUMBER = struct.Struct("!I")
PAYLOAD_BYTES = len(MAGIC) + _NUMBER.size
CAPTURE_BYTES = 2 * IPV6_HEADER + UDP_HEADER + PAYLOAD_BYTES

# Classic BPF (linux/filter.h). SKF_AD_OFF + SKF_AD_PKTTYPE reads skb->pkt_type.
_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD, _EQUALS, _RETURN = 0x30, 0x28, 0x20, 0x15, 0x06
_PACKET_TYPE = (1 << 32) - 0x1000 + 4
PACKET_OUTGOING = 4  # linux/if_packet.h
_UDP, _IPV6_IN_IPV6 = 17, 41
SO_ATTACH_FILTER = 26

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def encode(number: int) -> bytes:
    """The payload of probe `number`."""
    return MAGIC + _NUMBER.pack(number)


def decode(payload: bytes) -> int | None:
    """The number in a payload, None if it is no probe."""
    if len(payload) != PAYLOAD_BYTES or not payload.startswith(MAGIC):
        return None
    return int(_NUMBER.unpack_from(payload, len(MAGIC))[0])


def decode_captured(packet: bytes) -> int | None:
    """The number in a captured IPv6 packet, tunnelled or bare."""
    if len(packet) < IPV6_HEADER + UDP_HEADER:
        return None
    start = IPV6_HEADER + UDP_HEADER + (IPV6_HEADER if packet[6] == _IPV6_IN_IPV6 else 0)
    return decode(packet[start : start + PAYLOAD_BYTES])


def outgoing_filter() -> list[Instruction]:
    """At a home agent: probes that leave by this interface, tunnelled or bare."""
    accept, drop = 11, 12
    return [
        (_LOAD_WORD, 0, 0, _PACKET_TYPE),
        (_EQUALS, 0, drop - 2, PACKET_OUTGOING),
        (_LOAD_BYTE, 0, 0, 6),
        (_EQUALS, 0, 2, _UDP),
        (_LOAD_HALF, 0, 0, IPV6_HEADER + 2),
        (_EQUALS, accept - 6, drop - 6, PORT),
        (_EQUALS, 0, drop - 7, _IPV6_IN_IPV6),
        (_LOAD_BYTE, 0, 0, IPV6_HEADER + 6),
        (_EQUALS, 0, drop - 9, _UDP),
        (_LOAD_HALF, 0, 0, 2 * IPV6_HEADER + 2),
        (_EQUALS, 0, drop - 11, PORT),
        (_RETURN, 0, 0, CAPTURE_BYTES),
        (_RETURN, 0, 0, 0),
    ]


def tunnelled_filter() -> list[Instruction]:
    """On a line: probes inside a tunnel, either way."""
    drop = 7
    return [
        (_LOAD_BYTE, 0, 0, 6),
        (_EQUALS, 0, drop - 2, _IPV6_IN_IPV6),
        (_LOAD_BYTE, 0, 0, IPV6_HEADER + 6),
        (_EQUALS, 0, drop - 4, _UDP),
        (_LOAD_HALF, 0, 0, 2 * IPV6_HEADER + 2),
        (_EQUALS, 0, drop - 6, PORT),
        (_RETURN, 0, 0, CAPTURE_BYTES),
        (_RETURN, 0, 0, 0),
    ]


class FilterProgram:
    """`struct sock_fprog` with the memory it points to; give `octets` to SO_ATTACH_FILTER while this object lives."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
        self._memory = ctypes.create_string_buffer(code, len(code))
        self.octets = struct.pack("HL", len(instructions), ctypes.addressof(self._memory))
