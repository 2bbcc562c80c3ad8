"""The seg6 driver's encapsulation attributes (linux/seg6_iptunnel.h, linux/seg6_local.h). Bytes only.

`encap.red` with one segment writes no routing header at all: what leaves is plain IPv6 in IPv6 (RFC 2473).
"""

import struct

from dataplane.message import attribute, attributes, number

ENCAP_TYPE = 5  # LWTUNNEL_ENCAP_SEG6
LOCAL_ENCAP_TYPE = 7  # LWTUNNEL_ENCAP_SEG6_LOCAL
_SEG6_IPTUNNEL_SRH = 1
_MODE_ENCAP_RED = 3
_SRH = struct.Struct("=iBBBBBBH16s")  # mode, then: next header, length, type, segments left, first segment, flags, tag
_SRH_LEN_ONE_SEGMENT, _SRH_TYPE = 2, 4
_SEG6_LOCAL_ACTION, _SEG6_LOCAL_TABLE, _SEG6_LOCAL_NH4 = 1, 3, 4
_END_DX4, _END_DT6 = 6, 7


def encapsulation(segment: bytes) -> bytes:
    """Encapsulate towards `segment`, which stands last."""
    packed = _SRH.pack(_MODE_ENCAP_RED, 0, _SRH_LEN_ONE_SEGMENT, _SRH_TYPE, 0, 0, 0, 0, segment)
    return attribute(_SEG6_IPTUNNEL_SRH, packed)


_UP_TO_SEGMENT = encapsulation(bytes(16))[:-16]


def segment(encap: bytes) -> bytes | None:
    """Where an encapsulation leads; None if it is not one that `encapsulation` makes."""
    if encap[:-16] == _UP_TO_SEGMENT:
        return encap[-16:]
    packed = attributes(encap).get(_SEG6_IPTUNNEL_SRH, b"")
    if len(packed) != _SRH.size:
        return None
    mode, *_, address = _SRH.unpack(packed)
    return bytes(address) if mode == _MODE_ENCAP_RED else None


def decapsulation(table: int) -> bytes:
    """Take the inner packet out and look it up in `table` (End.DT6)."""
    return number(_SEG6_LOCAL_ACTION, _END_DT6) + number(_SEG6_LOCAL_TABLE, table)


def decapsulation_of_ipv4() -> bytes:
    """Take the inner IPv4 packet out and look it up as if it had just arrived (End.DX4 to its own destination)."""
    return number(_SEG6_LOCAL_ACTION, _END_DX4) + attribute(_SEG6_LOCAL_NH4, bytes(4))
