"""The frame of the mobility header: order of checks, limits, and that only MalformedMessage comes out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mip6 import header
from mip6.errors import MalformedMessage
from mip6.messages import (
    BindingAck,
    BindingError,
    BindingUpdate,
    Heartbeat,
    HomeAgentSwitch,
    HomeTestInit,
    Message,
    UnknownMessage,
)
from mip6.numbers import BindingAckFlag, BindingUpdateFlag
from mip6.options import AlternateCareOf, BindingIdentifier, MobileNetworkPrefix, Prefix, UnknownOption
from tests.mip6.cast import CARE_OF_1, CARE_OF_2, HOME_ADDRESS, HOME_AGENT, HOME_REGISTRATION, mobility_header, update
from tests.mip6.strategies import addresses, any_message

LEAST_HEADER_LEN = {1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2, 13: 1, 16: 1}
proven = settings(max_examples=400, deadline=None, derandomize=True)


def fault(octets: bytes) -> tuple[str, int | None]:
    """Reason and pointer of what is wrong with these octets."""
    with pytest.raises(MalformedMessage) as caught:
        header.decode(octets, HOME_ADDRESS, HOME_AGENT)
    return caught.value.reason, caught.value.pointer


@proven
@given(any_message, addresses, addresses)
def test_decoding_what_was_encoded_gives_the_same_message(message: Message, source: bytes, destination: bytes) -> None:
    octets = header.encode(message, source, destination)
    assert header.decode(octets, source, destination) == message
    assert len(octets) % 8 == 0
    assert len(octets) == 8 * (octets[1] + 1)


@proven
@given(any_message)
def test_decoded_messages_encode_to_what_they_were_decoded_from(message: Message) -> None:
    octets = header.encode(message, HOME_ADDRESS, HOME_AGENT)
    assert header.encode(header.decode(octets, HOME_ADDRESS, HOME_AGENT), HOME_ADDRESS, HOME_AGENT) == octets


@proven
@given(st.binary(max_size=200))
def test_random_octets_raise_malformed_message_and_nothing_else(octets: bytes) -> None:
    with pytest.raises(MalformedMessage):
        header.decode(octets, HOME_ADDRESS, HOME_AGENT)


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 16, 99]),
    st.integers(0, 8).flatmap(lambda units: st.binary(min_size=2 + 8 * units, max_size=2 + 8 * units)),
)
def test_random_contents_under_a_right_checksum_decode_or_are_malformed(kind: int, data: bytes) -> None:
    try:
        message = header.decode(mobility_header(kind, data), HOME_ADDRESS, HOME_AGENT)
    except MalformedMessage:
        return
    again = header.encode(message, HOME_ADDRESS, HOME_AGENT)
    assert header.decode(again, HOME_ADDRESS, HOME_AGENT) == message


@proven
@given(any_message, st.data())
def test_a_flipped_bit_is_found_by_the_checksum(message: Message, data: st.DataObject) -> None:
    octets = bytearray(header.encode(message, HOME_ADDRESS, HOME_AGENT))
    bit = data.draw(st.integers(0, 8 * len(octets) - 1))
    octets[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MalformedMessage):
        header.decode(bytes(octets), HOME_ADDRESS, HOME_AGENT)


def test_every_truncation_of_an_update_is_malformed() -> None:
    options = (BindingIdentifier(1, care_of=CARE_OF_1), AlternateCareOf(CARE_OF_2))
    octets = header.encode(BindingUpdate(1, HOME_REGISTRATION, 600, options), HOME_ADDRESS, HOME_AGENT)
    for size in range(len(octets)):
        with pytest.raises(MalformedMessage):
            header.decode(octets[:size], HOME_ADDRESS, HOME_AGENT)


def test_octets_behind_the_header_are_a_silent_fault() -> None:
    assert fault(mobility_header(5, bytes(10)) + bytes(8)) == ("octets_behind_header", None)


def test_a_wrong_checksum_comes_before_everything_else() -> None:
    octets = bytearray(mobility_header(99, bytes(2), payload_proto=6))
    octets[5] ^= 1
    assert fault(bytes(octets)) == ("checksum", None)


def test_an_unknown_type_comes_before_the_payload_proto() -> None:
    message = header.decode(mobility_header(99, b"\1\2", payload_proto=6), HOME_ADDRESS, HOME_AGENT)
    assert message == UnknownMessage(99, b"\1\2")


def test_the_payload_proto_comes_before_the_header_len() -> None:
    assert fault(mobility_header(5, bytes(2), payload_proto=6)) == ("payload_proto", 0)


@pytest.mark.parametrize(("kind", "least"), LEAST_HEADER_LEN.items())
def test_a_header_len_below_the_least_of_its_type_is_pointed_at(kind: int, least: int) -> None:
    assert fault(mobility_header(kind, bytes(2 + 8 * (least - 1)))) == ("header_len", 1)
    header.decode(mobility_header(kind, bytes(2 + 8 * least)), HOME_ADDRESS, HOME_AGENT)


def test_the_types_of_return_routability_are_known() -> None:
    """They are not served, but a Binding Error about an unknown type would be wrong (RFC 6275 9.2)."""
    message = header.decode(mobility_header(1, bytes(2) + b"cookie 1"), HOME_ADDRESS, HOME_AGENT)
    assert message == HomeTestInit(b"cookie 1")


def test_reserved_bits_are_ignored() -> None:
    octets = mobility_header(5, bytes.fromhex("0001 ffff 0096 01020000"))
    message = header.decode(octets, HOME_ADDRESS, HOME_AGENT)
    assert isinstance(message, BindingUpdate)
    assert int(message.flags) == 0xFFC0


def test_a_home_agent_switch_that_promises_more_addresses_than_it_holds_is_malformed() -> None:
    assert fault(mobility_header(12, bytes((2, 0)) + bytes(16))) == ("home_agent_switch_overrun", None)


def test_a_home_agent_switch_may_be_empty() -> None:
    octets = header.encode(HomeAgentSwitch(), HOME_ADDRESS, HOME_AGENT)
    assert len(octets) == 8
    assert header.decode(octets, HOME_ADDRESS, HOME_AGENT) == HomeAgentSwitch()


@pytest.mark.parametrize("lifetime_s", [1, 2, 3])
def test_a_lifetime_shorter_than_the_unit_does_not_become_a_deletion(lifetime_s: int) -> None:
    octets = header.encode(BindingUpdate(1, HOME_REGISTRATION, lifetime_s), HOME_ADDRESS, HOME_AGENT)
    message = header.decode(octets, HOME_ADDRESS, HOME_AGENT)
    assert isinstance(message, BindingUpdate)
    assert message.lifetime_s == 4


def test_a_lifetime_is_rounded_down_and_bounded() -> None:
    def acknowledged(lifetime_s: int) -> int:
        ack = BindingAck(0, BindingAckFlag.MOBILE_ROUTER, 1, lifetime_s)
        message = header.decode(header.encode(ack, HOME_AGENT, HOME_ADDRESS), HOME_AGENT, HOME_ADDRESS)
        assert isinstance(message, BindingAck)
        return message.lifetime_s

    assert [acknowledged(s) for s in (0, 4, 7, 603, 262140, 10**9)] == [0, 4, 4, 600, 262140, 262140]


@pytest.mark.parametrize(
    "message",
    [
        BindingUpdate(65536, BindingUpdateFlag(0), 0),
        BindingUpdate(1, BindingUpdateFlag(0), 0, (BindingIdentifier(65536),)),
        BindingUpdate(1, BindingUpdateFlag(0), 0, (UnknownOption(200, bytes(256)),)),
        BindingUpdate(1, BindingUpdateFlag(0), 0, (UnknownOption(200, bytes(250)),) * 9),
        BindingError(1, bytes(15)),
        Heartbeat(2**32),
        HomeAgentSwitch((bytes(16),) * 200),
        BindingUpdate(1, BindingUpdateFlag(0), 0, (AlternateCareOf(bytes(4)),)),
        BindingUpdate(1, BindingUpdateFlag(0), 0, (MobileNetworkPrefix(Prefix(bytes(15), 56)),)),
        HomeAgentSwitch((bytes(15),)),
        UnknownMessage(99, bytes(3)),
        UnknownMessage(99, bytes(6)),
    ],
)
def test_what_the_octets_cannot_say_is_a_value_error(message: Message) -> None:
    with pytest.raises(ValueError):
        header.encode(message, HOME_ADDRESS, HOME_AGENT)


def test_the_longest_header_there_can_be_survives() -> None:
    filler = (UnknownOption(200, bytes(252)),) * 8
    message = BindingUpdate(1, HOME_REGISTRATION, 600, filler)
    octets = header.encode(message, HOME_ADDRESS, HOME_AGENT)
    assert len(octets) == 2048
    assert header.decode(octets, HOME_ADDRESS, HOME_AGENT) == message


def test_options_are_found_by_their_class() -> None:
    message = header.decode(update(bytes.fromhex("23040001 0000 23040002 0000")), HOME_ADDRESS, HOME_AGENT)
    assert message.first(BindingIdentifier) == BindingIdentifier(1)
    assert message.all(BindingIdentifier) == [BindingIdentifier(1), BindingIdentifier(2)]
    assert message.first(AlternateCareOf) is None
