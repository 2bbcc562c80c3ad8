"""Probes on the wire: numbers survive, strangers are told apart, and the filters pick what they should."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from lab import probe_packet
from lab.probe_packet import PORT, Instruction

BARE = IPv6(src="2001:db8:1:e::99", dst="2001:db8:f100::10") / UDP(sport=20001, dport=PORT)
TUNNEL = IPv6(src="2001:db8:f000::1", dst="2001:db8:1:c::20")
OTHER = IPv6() / UDP(sport=1, dport=53) / Raw(probe_packet.encode(7))
OUTGOING = probe_packet.PACKET_OUTGOING


def captured(packet: Packet) -> bytes:
    return bytes(packet)


def run_filter(program: list[Instruction], packet: bytes, packet_type: int = OUTGOING) -> int:
    """Classic BPF as linux/filter.h defines it; a load beyond the packet ends with 0."""
    accumulator, place = 0, 0
    while True:
        code, if_true, if_false, constant = program[place]
        place += 1
        if code == 0x06:
            return constant
        if code == 0x15:
            place += if_true if accumulator == constant else if_false
            continue
        if constant == (1 << 32) - 0x1000 + 4:
            accumulator = packet_type
            continue
        form = {0x30: "!B", 0x28: "!H", 0x20: "!I"}[code]
        if constant + struct.calcsize(form) > len(packet):
            return 0
        (accumulator,) = struct.unpack_from(form, packet, constant)


@given(st.integers(0, 2**32 - 1))
def test_a_number_comes_back_bare_and_tunnelled(number: int) -> None:
    payload = probe_packet.encode(number)
    assert probe_packet.decode(payload) == number
    bare = captured(BARE / Raw(payload))
    assert probe_packet.decode_captured(bare) == number
    assert probe_packet.decode_captured(captured(TUNNEL)[:6] + b"\x29" + captured(TUNNEL)[7:] + bare) == number


@given(st.binary(max_size=200))
def test_anything_else_is_no_probe(octets: bytes) -> None:
    if probe_packet.MAGIC not in octets:
        assert probe_packet.decode(octets) is None
        assert probe_packet.decode_captured(octets) is None


@pytest.mark.parametrize(
    ("packet", "at_site", "on_line"),
    [
        (BARE / Raw(probe_packet.encode(1)), True, False),
        (TUNNEL / BARE / Raw(probe_packet.encode(1)), True, True),
        (OTHER, False, False),
        (TUNNEL / OTHER, False, False),
        (TUNNEL / Raw(b"x"), False, False),
    ],
)
def test_the_filters_pick_probes_and_nothing_else(packet: Packet, at_site: bool, on_line: bool) -> None:
    octets = captured(packet)
    assert bool(run_filter(probe_packet.outgoing_filter(), octets)) == at_site
    assert bool(run_filter(probe_packet.tunnelled_filter(), octets)) == on_line


def test_a_home_agent_is_not_credited_with_what_only_arrives_there() -> None:
    octets = captured(TUNNEL / BARE / Raw(probe_packet.encode(1)))
    assert run_filter(probe_packet.outgoing_filter(), octets, packet_type=0) == 0
