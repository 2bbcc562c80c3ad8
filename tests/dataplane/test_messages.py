"""Packed messages say what was meant: read back by our own parsers, and never breaking on strange octets."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from dataplane import seg6
from dataplane.driver import Tunnels
from dataplane.message import attribute, attributes, each_attribute, messages, nested, number, pack, refusal
from dataplane.rtnetlink import (
    Nexthop,
    Route,
    Rule,
    add_rule,
    parse_nexthop,
    parse_route,
    parse_rule,
    put_group,
    put_route,
    put_route_through,
    put_tunnel,
)

addresses = st.binary(min_size=16, max_size=16)
numbers32 = st.integers(1, 0xFFFFFFFF)
lengths = st.integers(1, 128)
prefixes = st.tuples(addresses, lengths)


@given(numbers32, addresses, st.integers(1, 0x7FFFFFFF), st.none() | addresses)
def test_a_tunnel_is_read_as_it_was_written(id_: int, exit: bytes, interface: int, entry: bytes | None) -> None:
    written = put_tunnel(id_, 208, exit, Tunnels(interface, entry))
    assert parse_nexthop(written.body) == Nexthop(id_, 208, exit, interface, entry=entry)


@given(numbers32, st.lists(st.tuples(numbers32, st.integers(1, 256)), min_size=1))
def test_a_group_is_read_as_it_was_written(id_: int, members: list[tuple[int, int]]) -> None:
    assert parse_nexthop(put_group(id_, 208, members).body) == Nexthop(id_, 208, members=tuple(members), resilient=True)


@given(prefixes, numbers32, numbers32, numbers32)
def test_a_route_is_read_as_it_was_written(prefix: tuple[bytes, int], table: int, metric: int, id_: int) -> None:
    route = Route(prefix, 209, table, metric=metric, nexthop_id=id_)
    assert parse_route(put_route(route).body) == route


@given(prefixes, numbers32, numbers32)
def test_a_route_packed_in_one_go_has_the_same_octets(prefix: tuple[bytes, int], metric: int, id_: int) -> None:
    assert put_route_through(prefix, 209, metric, id_) == put_route(Route(prefix, 209, metric=metric, nexthop_id=id_))


@given(addresses, st.integers(1, 0x7FFFFFFF))
def test_a_default_route_is_read_as_it_was_written(gateway: bytes, interface: int) -> None:
    route = Route((bytes(16), 0), 209, 41001, gateway=gateway, interface=interface)
    assert parse_route(put_route(route).body) == route


@given(st.integers(0, 99), numbers32, st.none() | prefixes, st.none() | prefixes, st.sampled_from([0, 4, 41]))
def test_a_rule_is_read_as_it_was_written(
    priority: int,
    table: int,
    source: tuple[bytes, int] | None,
    destination: tuple[bytes, int] | None,
    ip_protocol: int,
) -> None:
    rule = Rule(priority, table, 208, source, destination, ip_protocol)
    assert parse_rule(add_rule(rule).body) == rule


def test_an_encapsulation_is_a_mode_and_a_routing_header_of_one_segment() -> None:
    """struct seg6_iptunnel_encap of linux/seg6_iptunnel.h, mode SEG6_IPTUN_MODE_ENCAP_RED."""
    header = bytes((0, 2, 4, 0, 0, 0, 0, 0))  # next header, length, type 4, segments left, first segment, flags, tag
    address = bytes.fromhex("20010db8000000000000000000000001")
    assert seg6.encapsulation(address) == struct.pack("=HHi", 32, 1, 3) + header + address
    assert seg6.segment(seg6.encapsulation(address)) == address


@given(st.binary(max_size=200))
def test_strange_octets_are_no_encapsulation_and_break_nothing(octets: bytes) -> None:
    seg6.segment(octets)
    attributes(octets)
    list(each_attribute(octets))
    list(messages(octets))


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), unique_by=lambda one: one[0]))
def test_attributes_are_read_as_they_were_written(given_: list[tuple[int, bytes]]) -> None:
    packed = b"".join(attribute(kind, payload) for kind, payload in given_)
    assert attributes(packed) == dict(given_)
    assert list(each_attribute(packed)) == [payload for _, payload in given_]
    assert attributes(attributes(nested(1, packed))[1]) == dict(given_)


def test_messages_of_one_datagram_are_told_apart() -> None:
    datagram = pack(16, 1, 7, number(1, 5)) + pack(17, 2, 8, b"abc")
    assert list(messages(datagram)) == [(16, 1, 7, number(1, 5)), (17, 2, 8, b"abc")]


def test_an_acknowledgement_is_no_refusal_and_a_refusal_has_the_kernels_words() -> None:
    quoted = bytes(16)
    assert refusal(struct.pack("=i", 0) + quoted) is None
    refused = refusal(struct.pack("=i", -22) + quoted + attribute(1, b"Invalid nexthop id\0"))
    assert refused == (22, "Invalid nexthop id")
