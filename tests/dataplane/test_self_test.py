"""The pure part of the self-test: what each packet means, and what may be said when some come and some do not."""

import itertools
import struct

import pytest

from dataplane.numbers import TUNNEL_HOP_LIMIT
from dataplane.self_test import (
    AGAIN,
    AGAIN_MAX,
    PENDING,
    RISE,
    SOON,
    Judge,
    Packets,
    Round,
    Seen,
    entry,
    home_address,
    line,
)
from tests.ha.cast import HOME_AGENT

LINE = line(bytes(range(16)))
OTHER_LINE = line(bytes(range(1, 17)))
PACKETS = Packets(HOME_AGENT, LINE)
HEADER = struct.Struct(">IHBB16s16s")
TUNNELLED, RETURNED = Seen(7, TUNNEL_HOP_LIMIT), Seen(7, None)
SPOOFED = Seen(7, None, from_stranger=True)
NO_BEGINNING = "a packet for a customer does not come out of its tunnel's beginning"
NO_RETURN = "a packet from a customer's tunnel does not come back"
OPEN = "a spoofed inner source was let through"


def encapsulated(inner: bytes, hop_limit: int = TUNNEL_HOP_LIMIT, source: bytes = HOME_AGENT) -> bytes:
    """As the kernel sends it to the test's customer."""
    return HEADER.pack(6 << 28, len(inner), 41, hop_limit, source, LINE.care_of) + inner


def decapsulated(packet: bytes) -> bytes:
    """What the kernel takes out of the tunnel, one hop further."""
    head = HEADER.unpack_from(packet, HEADER.size)
    return HEADER.pack(*head[:3], head[3] - 1, *head[4:]) + packet[2 * HEADER.size :]


def after(*seen: Seen) -> Round:
    one = Round(7)
    for each in seen:
        one.saw(each, TUNNEL_HOP_LIMIT)
    return one


def test_each_packet_is_known_when_it_comes_out_of_a_right_data_plane() -> None:
    assert PACKETS.read(encapsulated(PACKETS.outbound(7))) == TUNNELLED
    assert PACKETS.read(decapsulated(PACKETS.reverse(7))) == RETURNED
    assert PACKETS.read(decapsulated(PACKETS.spoofed(7))) == SPOOFED


def test_the_hop_limit_is_that_of_the_tunnel_and_never_the_inner_one() -> None:
    assert PACKETS.read(encapsulated(PACKETS.outbound(7), hop_limit=36)) == Seen(7, 36)
    assert PACKETS.outbound(7)[7] != TUNNEL_HOP_LIMIT  # a copied one would not show


def test_what_goes_in_is_addressed_as_by_a_customer_and_its_host() -> None:
    home = home_address(HOME_AGENT)
    assert home[:8] == HOME_AGENT[:8] and home != HOME_AGENT
    assert (PACKETS.outbound(7)[8:24], PACKETS.outbound(7)[24:40]) == (LINE.host, home)
    for packet in (PACKETS.reverse(7), PACKETS.spoofed(7)):
        assert (packet[8:24], packet[24:40]) == (LINE.care_of, HOME_AGENT)
        assert packet[64:80] == LINE.host
    assert PACKETS.reverse(7)[48:64] == home
    assert PACKETS.spoofed(7)[48:64] not in (home, HOME_AGENT)
    assert [path.care_of for path in entry(HOME_AGENT, LINE).paths] == [LINE.care_of]


def test_a_line_is_of_the_discard_only_prefix_and_of_its_whole_secret() -> None:
    assert {LINE.care_of[:8], LINE.host[:8]} == {bytes.fromhex("0100000000000000")}
    assert LINE.care_of[8:] + LINE.host[8:] == bytes(range(16))


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x60",
        bytes(60),  # no IPv6
        encapsulated(PACKETS.outbound(7))[:60],
        encapsulated(PACKETS.outbound(7), source=LINE.host),  # not our tunnel
        encapsulated(PACKETS.outbound(7)[:-1]),
        encapsulated(Packets(HOME_AGENT, OTHER_LINE).outbound(7)),  # what anybody may send to the home address
        encapsulated(PACKETS.reverse(7)),
        PACKETS.outbound(7),  # came back as it went in
        PACKETS.reverse(7),  # not decapsulated
        decapsulated(PACKETS.reverse(7))[:-1],
        decapsulated(Packets(HOME_AGENT, OTHER_LINE).reverse(7)),
        decapsulated(Packets(HOME_AGENT[::-1], LINE).reverse(7)),  # another's home address
    ],
    ids=lambda octets: f"{len(octets)} octets",
)
def test_anything_else_is_not_of_the_test(octets: bytes) -> None:
    assert PACKETS.read(octets) is None


@pytest.mark.parametrize(
    ("seen", "done", "failure"),
    [
        ((), False, NO_BEGINNING),
        ((TUNNELLED,), False, NO_RETURN),
        ((TUNNELLED, RETURNED), True, ""),
        ((RETURNED,), True, NO_BEGINNING),
        ((TUNNELLED, SPOOFED), True, OPEN),
        ((TUNNELLED, SPOOFED, RETURNED), True, OPEN),
        ((Seen(7, 36),), True, "the tunnel's hop limit is 36 instead of 64"),
        ((Seen(7, 36), RETURNED), True, "the tunnel's hop limit is 36 instead of 64"),
        ((Seen(6, TUNNEL_HOP_LIMIT), Seen(6, None)), False, NO_BEGINNING),  # of the round before
        ((TUNNELLED, Seen(6, None)), False, NO_RETURN),
        ((TUNNELLED, Seen(6, None, from_stranger=True), RETURNED), True, ""),
    ],
)
def test_a_round_says_what_is_wrong_by_what_came(seen: tuple[Seen, ...], done: bool, failure: str) -> None:
    one = after(*seen)
    assert (one.done, one.failure) == (done, failure)


def test_whatever_comes_only_a_clean_pass_is_a_pass() -> None:
    kinds = (TUNNELLED, RETURNED, SPOOFED, Seen(7, 36), Seen(6, TUNNEL_HOP_LIMIT), Seen(6, None))
    for count in range(5):
        for seen in itertools.product(kinds, repeat=count):
            clean = {TUNNELLED, RETURNED} <= set(seen) and not {SPOOFED, Seen(7, 36)} & set(seen)
            assert (after(*seen).failure == "") == clean, seen


def test_the_reverse_packets_are_due_once_a_round_and_only_for_its_own_packet() -> None:
    one = Round(7)
    seen = (Seen(6, TUNNEL_HOP_LIMIT), RETURNED, TUNNELLED, TUNNELLED)
    assert [one.saw(each, TUNNEL_HOP_LIMIT) for each in seen] == [False, False, True, False]


def test_at_the_start_one_good_round_is_enough_and_it_is_told_once() -> None:
    judge = Judge()
    assert judge.verdict == PENDING
    assert [judge.passed() for _ in range(3)] == [True, False, False]
    assert judge.verdict is None


def test_a_failure_is_told_at_once_and_so_is_another_reason() -> None:
    judge = Judge()
    judge.passed()
    assert judge.failed(NO_RETURN) and judge.verdict == NO_RETURN
    assert not judge.failed(NO_RETURN)
    assert judge.failed(OPEN) and judge.verdict == OPEN


def test_after_a_failure_some_good_rounds_on_end_count() -> None:
    judge = Judge()
    judge.failed(OPEN)
    for _ in range(2):
        assert [judge.passed() for _ in range(RISE - 1)] == [False] * (RISE - 1)
        assert judge.verdict == OPEN
        judge.failed(OPEN)
    assert [judge.passed() for _ in range(RISE)] == [False] * (RISE - 1) + [True]
    assert judge.verdict is None


def test_a_failure_that_stays_is_told_again_ever_more_rarely() -> None:
    """What was broken again in the moment of its repair, and announced by nobody, stayed broken for ever."""
    judge = Judge()
    judge.passed()
    told = [at for at in range(1, 4000) if judge.failed(OPEN)]
    between = [later - earlier for earlier, later in itertools.pairwise(told)]
    assert told[0] == 1 and between[0] == AGAIN and len(told) > 6
    assert all(earlier <= later <= AGAIN_MAX for earlier, later in itertools.pairwise(between))
    assert between[-1] == AGAIN_MAX


def test_a_failure_that_stays_after_a_repair_is_told_soon_and_then_more_rarely_again() -> None:
    """A repair of what was announced may leave what was not: with the site withdrawn, it waited for up to a minute."""
    judge = Judge()
    for _ in range(10 * AGAIN):
        judge.failed(OPEN)
    judge.tell_soon()
    assert [at for at in range(1, 2 * AGAIN) if judge.failed(OPEN)] == [SOON, SOON + AGAIN]
