"""IPv6 packets around a mobility header, taken apart again and held against scapy's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ParamProblem, IPv6

from mip6 import header, packet
from mip6.errors import MalformedMessage
from mip6.messages import BindingAck, BindingError, BindingUpdate
from mip6.numbers import BindingAckFlag
from tests.mip6 import describe
from tests.mip6.cast import CARE_OF_1, HOME_ADDRESS, HOME_AGENT, HOME_REGISTRATION, mobility_header

HAO = bytes((0xC9, 16)) + HOME_ADDRESS
UPDATE = header.encode(BindingUpdate(1, HOME_REGISTRATION, 600), HOME_ADDRESS, HOME_AGENT)
ACK = header.encode(BindingAck(0, BindingAckFlag.MOBILE_ROUTER, 1, 600), HOME_AGENT, HOME_ADDRESS)


def options_fault(octets: bytes) -> str:
    """What is wrong with a Destination Options header."""
    with pytest.raises(MalformedMessage) as caught:
        packet.destination_options(octets)
    return caught.value.reason


def routing_fault(octets: bytes) -> str:
    """What is wrong with a routing header."""
    with pytest.raises(MalformedMessage) as caught:
        packet.routing_header(octets)
    return caught.value.reason


def test_an_update_packet_is_the_one_of_vector_v06() -> None:
    """RFC 6275 6.3: the Home Address option stands at 8n+6."""
    hexadecimal = (
        "6000000000383c4020010db8000a0000000000000000001020010db8010000000000000000000001"
        "870201020000c91020010db80100000000000000000000513b0305005ba91004c4000000010003102001"
        "0db8000a00000000000000000010"
    )
    octets = bytes.fromhex(hexadecimal)
    cut = describe.cut(octets)
    assert cut.home_address is not None
    assert packet.update_packet(cut.source, cut.destination, cut.home_address, cut.mobility_header) == octets


def test_an_update_packet_is_taken_apart_again() -> None:
    octets = packet.update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, UPDATE)
    assert packet.destination_options(octets[40:]) == (HOME_ADDRESS, 135, 24)
    assert octets[64:] == UPDATE


def test_an_acknowledgement_packet_has_a_routing_header_only_for_a_home_address() -> None:
    routed = packet.ack_packet(HOME_AGENT, CARE_OF_1, HOME_ADDRESS, ACK)
    assert packet.routing_header(routed[40:]) == (HOME_ADDRESS, 135, 24)
    assert (routed[6], routed[24:40], routed[64:]) == (43, CARE_OF_1, ACK)
    bare = packet.ack_packet(HOME_AGENT, HOME_ADDRESS, None, ACK)
    assert (bare[6], bare[24:40], bare[40:]) == (135, HOME_ADDRESS, ACK)


def test_scapy_finds_the_same_headers_and_checksum() -> None:
    routed = IPv6(packet.ack_packet(HOME_AGENT, CARE_OF_1, HOME_ADDRESS, ACK))
    assert routed["IPv6ExtHdrRouting"].type == 2
    assert routed["IPv6ExtHdrRouting"].addresses == ["2001:db8:f000::51"]
    found = routed["MIP6MH_BA"]
    octets = found.cksum
    del found.cksum
    assert IPv6(bytes(routed))["MIP6MH_BA"].cksum == octets


def test_a_destination_options_header_without_a_home_address() -> None:
    assert packet.destination_options(bytes.fromhex("8700010400000000")) == (None, 135, 8)
    assert packet.destination_options(bytes.fromhex("2900040104010100")) == (None, 41, 8)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "destination_options_truncated"),
        (bytes.fromhex("870201020000c910"), "destination_options_truncated"),
        (bytes.fromhex("8700010200000001"), "destination_options_overrun"),
        (bytes.fromhex("87000102000001ff"), "destination_options_overrun"),
        (bytes.fromhex("8700c90400000000"), "home_address_option_length"),
        (bytes.fromhex("8704") + HAO + HAO + bytes(2), "home_address_option_repeated"),
        (bytes.fromhex("87004502aaaa0100"), "destination_option_unknown"),
        (bytes.fromhex("870201020000c910ff0e0000000000000000000000000051"), "home_address_not_unicast"),
        (bytes.fromhex("870201020000c91000000000000000000000000000000000"), "home_address_not_unicast"),
    ],
)
def test_a_malformed_destination_options_header(octets: bytes, reason: str) -> None:
    assert options_fault(octets) == reason


@pytest.mark.parametrize(
    ("head", "home_address", "reason"),
    [
        ("87020200 00000000", HOME_ADDRESS, "routing_header_segments_left"),
        ("87020202 00000000", HOME_ADDRESS, "routing_header_segments_left"),
        ("87040201 00000000", HOME_ADDRESS, "routing_header_length"),
        ("87020001 00000000", HOME_ADDRESS, "routing_header_type"),
        ("87020201 00000000", describe.address("ff02::1"), "home_address_not_unicast"),
        ("87020201 00000000", HOME_ADDRESS[:15], "routing_header_truncated"),
    ],
)
def test_a_malformed_routing_header(head: str, home_address: bytes, reason: str) -> None:
    """RFC 6275 6.4.2."""
    assert routing_fault(bytes.fromhex(head) + home_address) == reason


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.binary(max_size=64), st.integers(0, 7))
def test_random_extension_headers_raise_malformed_message_and_nothing_else(octets: bytes, length: int) -> None:
    for parse in (packet.destination_options, packet.routing_header):
        for candidate in (octets, octets[:1] + bytes((length,)) + octets[2:]):
            try:
                home_address, _, offset = parse(candidate)
            except MalformedMessage:
                continue
            assert home_address is None or len(home_address) == 16
            assert offset <= len(candidate)


@pytest.mark.parametrize(
    ("data", "payload_proto", "pointer", "in_packet"), [(bytes(2), 59, 1, 65), (bytes(10), 6, 0, 64)]
)
def test_a_parameter_problem_points_into_the_packet(
    data: bytes, payload_proto: int, pointer: int, in_packet: int
) -> None:
    """RFC 6275 9.2: vectors M02 (Header Len) and M09 (Payload Proto) behind a Home Address option."""
    offending = mobility_header(5, data, payload_proto)
    with pytest.raises(MalformedMessage) as caught:
        header.decode(offending, HOME_ADDRESS, HOME_AGENT)
    assert caught.value.pointer == pointer
    received = packet.update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, offending)
    answer = packet.parameter_problem(HOME_AGENT, CARE_OF_1, HOME_AGENT, received[40:64], offending, pointer)
    parsed = IPv6(answer)
    problem = parsed[ICMPv6ParamProblem]
    assert (parsed.src, parsed.dst, parsed.plen) == ("2001:db8:f000::1", "2001:db8:1:c::20", len(answer) - 40)
    assert (problem.code, problem.ptr) == (0, in_packet)
    assert answer[48:] == received
    given_checksum = problem.cksum
    del problem.cksum
    assert IPv6(bytes(parsed))[ICMPv6ParamProblem].cksum == given_checksum


def test_a_parameter_problem_is_never_longer_than_1280_octets() -> None:
    """RFC 4443 2.4 (c)."""
    answer = packet.parameter_problem(HOME_AGENT, CARE_OF_1, HOME_AGENT, b"", bytes(2048), 1)
    assert len(answer) == 1280


def test_a_binding_error_goes_without_extension_headers() -> None:
    error = header.encode(BindingError(2, HOME_ADDRESS), HOME_AGENT, CARE_OF_1)
    octets = packet.plain_packet(HOME_AGENT, CARE_OF_1, error)
    assert (octets[6], octets[40:]) == (135, error)
