"""The option chain: where options stand, how gaps are filled, and which faults are pointed at."""

import pytest
from hypothesis import given, settings

from mip6 import chain, flows, header
from mip6.errors import MalformedMessage
from mip6.messages import BindingUpdate
from mip6.numbers import BindingUpdateFlag
from mip6.options import (
    AlternateCareOf,
    Authentication,
    BindingAuthorizationData,
    BindingIdentifier,
    BindingRefreshAdvice,
    FlowIdentification,
    IPv4CareOf,
    IPv4HomeAddress,
    MalformedBindingIdentifier,
    MessageIdentification,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    Option,
    Prefix,
    RestartCounter,
    UnknownOption,
)
from tests.mip6.cast import CARE_OF_1, HOME_ADDRESS, HOME_AGENT, update
from tests.mip6.strategies import any_options

# Option, multiple, offset: RFC 6275 6.2, RFC 3963 4.3, RFC 4285 5 and 6, RFC 5648 4.3, RFC 5847 3.4, RFC 5555 3
ALIGNED = [
    (BindingRefreshAdvice(600), 2, 0),
    (AlternateCareOf(CARE_OF_1), 8, 6),
    (MobileNetworkPrefix(Prefix(bytes(16), 56)), 8, 4),
    (MessageIdentification(1), 8, 2),
    (RestartCounter(1), 4, 2),
    (IPv4HomeAddress(bytes(4)), 4, 0),
    (IPv4CareOf(bytes(4)), 4, 0),
    (BindingIdentifier(1), 2, 0),
    (BindingIdentifier(1, care_of=CARE_OF_1), 8, 2),
    (BindingIdentifier(1, care_of=bytes(4)), 8, 2),
    (FlowIdentification(1, 1), 2, 0),
    (BindingAuthorizationData(bytes(12)), 8, 2),
]
# Type, lengths that are wrong
WRONG_LENGTHS = [(2, 3), (3, 15), (3, 17), (4, 0), (5, 10), (6, 0), (6, 17), (8, 0), (9, 4), (10, 7), (28, 5), (29, 8)]
WRONG_LENGTHS += [(30, 0), (31, 5), (32, 4), (44, 3), (45, 5)]


def fault(octets: bytes) -> tuple[str, int | None]:
    """Reason and pointer of a Binding Update with these options."""
    with pytest.raises(MalformedMessage) as caught:
        header.decode(update(octets), HOME_ADDRESS, HOME_AGENT)
    return caught.value.reason, caught.value.pointer


def positions(octets: bytes, start: int) -> list[tuple[int, int]]:
    """Type and position of every option, padding left out."""
    found, at = [], 0
    while at < len(octets):
        if octets[at] == 0:
            at += 1
            continue
        if octets[at] != 1:
            found.append((octets[at], start + at))
        at += 2 + octets[at + 1]
    return found


@pytest.mark.parametrize(("option", "multiple", "offset"), ALIGNED)
def test_an_option_stands_at_its_alignment_whatever_is_in_front(option: Option, multiple: int, offset: int) -> None:
    for size in range(8):
        octets = chain.encode((UnknownOption(200, bytes(size)), option), 12)
        assert positions(octets, 12)[1][1] % multiple == offset


@settings(max_examples=400, deadline=None, derandomize=True)
@given(any_options)
def test_a_chain_ends_on_eight_octets_and_reads_back(options: tuple[Option, ...]) -> None:
    for start in (8, 12, 16, 24):
        octets = chain.encode(options, start)
        assert (start + len(octets)) % 8 == 0
        assert chain.decode(bytes(start) + octets, start) == options


def test_gaps_are_filled_with_one_padn_or_a_single_pad1() -> None:
    assert chain.encode((), 12) == bytes.fromhex("01020000")
    assert chain.encode((UnknownOption(200, b"\1"),), 12) == bytes.fromhex("c80101") + b"\0"
    assert chain.encode((UnknownOption(200, b""),), 12) == bytes.fromhex("c8000100")


@pytest.mark.parametrize("size", range(8))
@pytest.mark.parametrize("authenticator", [12, 16])
def test_an_authentication_option_ends_the_header(size: int, authenticator: int) -> None:
    """RFC 4285 5: padding goes in front; behind the option it would not be covered."""
    last = Authentication(1, 256, bytes(authenticator))
    octets = chain.encode((UnknownOption(200, bytes(size)), last), 12)
    assert octets.endswith(last.body())
    assert (12 + len(octets)) % 8 == 0


def test_two_authentication_options_stand_in_order() -> None:
    octets = chain.encode((Authentication(1, 256, bytes(12)), Authentication(2, 3, bytes(20))), 12)
    (_, first), (_, second) = positions(octets, 12)
    assert (first % 4, (second + 2 + 25) % 8) == (1, 0)
    assert len(chain.decode(bytes(12) + octets, 12)) == 2


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("0911 01 00000100" + 12 * "00" + "00", "authentication_not_last"),
        ("0911 01 00000100" + 12 * "00" + "0103000000", "authentication_not_last"),
        ("0911 01 00000100" + 12 * "00" + "c803010203", "authentication_not_last"),
        ("0907 02 00000003 0000 0909 01 00000100 00000000", "authentication_order"),
        ("0907 01 00000100 0000 0909 01 00000100 00000000", "authentication_order"),
    ],
)
def test_what_an_authentication_option_does_not_cover_is_discarded(octets: str, reason: str) -> None:
    octets = octets.replace(" ", "")
    octets = "00" * (-(12 + len(octets) // 2) % 8) + octets
    assert fault(bytes.fromhex(octets)) == (reason, None)


@pytest.mark.parametrize(("kind", "size"), WRONG_LENGTHS)
def test_a_known_option_with_a_wrong_length_is_pointed_at(kind: int, size: int) -> None:
    option = bytes((200, 2, 0, 0, kind, size)) + bytes(size)
    option += bytes(-(12 + len(option)) % 8)
    assert fault(option) == ("option_length", 17)


def test_a_binding_identifier_of_any_wrong_length_survives() -> None:
    """RFC 5648 6.2: it is answered with 164, so the message must come through."""
    for size in set(range(41)) - {4, 8, 20}:
        option = bytes((35, size)) + bytes(range(size))
        message = header.decode(update(option + bytes(-(12 + len(option)) % 8)), HOME_ADDRESS, HOME_AGENT)
        assert message.options == (MalformedBindingIdentifier(bytes(range(size))),)


def test_padding_may_hold_anything_and_an_unknown_option_keeps_its_octets() -> None:
    message = header.decode(update(bytes.fromhex("0102abcd c804deadbeef 00 00")), HOME_ADDRESS, HOME_AGENT)
    assert message.options == (UnknownOption(200, bytes.fromhex("deadbeef")),)


def test_both_copies_of_a_doubled_option_are_kept() -> None:
    """Which one counts is not the codec's to say."""
    options = (MobileNodeIdentifier(1, b"a@xsp.example"), MobileNodeIdentifier(1, b"b@xsp.example"))
    octets = header.encode(BindingUpdate(1, BindingUpdateFlag(0), 600, options), HOME_ADDRESS, HOME_AGENT)
    assert header.decode(octets, HOME_ADDRESS, HOME_AGENT).options == options


def test_a_flow_option_stands_where_its_selector_needs_it() -> None:
    addresses = flows.Range(1, 2)
    wide = flows.option(flows.FlowRule(1, 1, (1,), flows.TrafficSelector(6, source=addresses)))
    narrow = flows.option(flows.FlowRule(1, 1, (1,), flows.TrafficSelector(6, next_header=flows.Range(6, 6))))
    for option, multiple in ((wide, 8), (narrow, 2)):
        octets = chain.encode((BindingIdentifier(1), option), 12)
        assert positions(octets, 12)[1][1] == (24 if multiple == 8 else 18)
