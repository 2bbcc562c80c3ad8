"""A router with several lines that is told other times than its own: by one site of several, or by all."""

from dataclasses import replace

import pytest

from mip6.numbers import Status
from mr.events import SendBindingUpdate, UplinkChanged
from mr.registration import MAX_CORRECTIONS
from tests.mr.cast import CARE_OF, GATEWAY, GOOD, SETTINGS, Answer, Bench, octets, received_update, sent, timestamp_of


@pytest.mark.parametrize("wrong_s", [86400.0, -86400.0])
def test_a_wrong_clock_behind_one_line_does_not_keep_the_others_from_who_knows_the_time(wrong_s: float) -> None:
    """Two lines led to a right and a wrong site: each set the clock by which the other was asked, for as long as that
    clock was wrong, and the router was registered nowhere."""
    bench = Bench().registered()
    for _ in range(3):
        refresh = sent(bench.advance(166))[-1]
        assert refresh.care_of == CARE_OF[1]
        stamp = timestamp_of(received_update(refresh))
        assert abs(stamp - bench.ntp()) < 2 << 32
        wrong = (bench.ntp() + int(wrong_s * 2**32)) >> 32 << 32 | stamp & 0xFFFFFFFF
        (again,) = sent(bench.feed(Answer(Status.ID_MISMATCH, timestamp=wrong).to(refresh)))
        assert again.care_of == CARE_OF[2]
        assert 0 < timestamp_of(received_update(again)) - stamp < 2 << 32
        assert not sent(bench.feed(GOOD.to(again)))


def test_who_was_told_many_times_is_told_the_right_one_at_once_after_a_silence() -> None:
    """Corrections counted for as long as nothing was accepted: once a site's clock was set, a router that it had led
    astray asked each line in turn, half a minute apart, for minutes."""
    bench = Bench().registered()
    update = sent(bench.advance(166))[-1]
    for hours in range(1, 5):
        stamp = timestamp_of(received_update(update))
        wrong = (bench.ntp() + (3600 * hours << 32)) >> 32 << 32 | stamp & 0xFFFFFFFF
        effects = bench.feed(Answer(Status.ID_MISMATCH, timestamp=wrong).to(update))
        [update] = sent(effects) or sent(bench.advance(1.0)) or [update]
    assert not sent(bench.advance(1.0))  # who is contradicted again and again pauses
    update = sent(bench.advance(32.0))[-1]
    stamp = timestamp_of(received_update(update))
    right = bench.ntp() >> 32 << 32 | stamp & 0xFFFFFFFF
    effects = bench.feed(Answer(Status.ID_MISMATCH, timestamp=right).to(update))
    assert sent(effects) or sent(bench.advance(1.0))


def test_sites_that_contradict_each_other_for_ever_are_asked_ever_more_rarely() -> None:
    """Corrections that count anew after a silence: a few at once, and then the pause that has grown."""
    bench = Bench().registered()
    waiting = sent(bench.advance(166))[-1:]
    began, hours, moments = bench.now, 0, [0.0]
    while bench.now < began + 456:
        moments += [bench.now] * len(waiting)
        answered: list[SendBindingUpdate] = []
        for update in waiting:
            hours += 1
            stamp = timestamp_of(received_update(update))
            other = (bench.ntp() + (3600 * (hours % 24) << 32)) >> 32 << 32 | stamp & 0xFFFFFFFF
            answered += sent(bench.feed(Answer(Status.ID_MISMATCH, timestamp=other).to(update)))
        waiting = answered or sent(bench.advance(0.1))
    late = [moment for moment in moments if moment > began + 200]  # the binding has expired meanwhile
    assert 8 <= len(late) <= (1 + MAX_CORRECTIONS) * 256 / 32


def test_an_address_that_changes_its_line_keeps_what_it_was_told() -> None:
    """It came under another uplink, as when cables are swapped, before its own had lost it."""
    bench = Bench().registered()
    refresh = sent(bench.advance(166))[-1]
    assert refresh.care_of == CARE_OF[1]
    stamp = timestamp_of(received_update(refresh))
    wrong = (bench.ntp() + (86400 << 32)) >> 32 << 32 | stamp & 0xFFFFFFFF
    bench.feed(Answer(Status.ID_MISMATCH, timestamp=wrong).to(refresh))
    updates = sent(bench.feed(UplinkChanged(2, True, CARE_OF[1], GATEWAY[2])))
    updates += sent(bench.feed(UplinkChanged(1, True, CARE_OF[2], GATEWAY[1])))
    updates += sent(bench.advance(5.0))
    ahead_s = {one.care_of: (timestamp_of(received_update(one)) - bench.ntp()) >> 32 for one in updates}
    assert ahead_s[CARE_OF[1]] > 80000 > 10 > ahead_s[CARE_OF[2]]


@pytest.mark.parametrize("lines", [2, 4, 5, 8])
def test_however_many_lines_have_to_be_told_the_time_nobody_backs_off(lines: int) -> None:
    """A site that had accepted our clock got its own set right: with four lines it took 9 s, with five 25."""
    named = tuple(
        replace(SETTINGS.lines[0], bid=bid, name=f"line{bid}", interface=f"line{bid}") for bid in range(1, lines + 1)
    )
    bench = Bench(replace(SETTINGS, lines=named))
    addresses = {bid: octets(f"2001:db8:{bid}:c::20") for bid in range(1, lines + 1)}
    bench.feed(
        GOOD.to(sent(bench.start(*(UplinkChanged(bid, True, addresses[bid], GATEWAY[1]) for bid in addresses)))[0])
    )
    [update] = sent(bench.feed(UplinkChanged(1, True, octets("2001:db8:1:c::99"), GATEWAY[1])))
    began = bench.now
    for _ in range(lines):
        stamp = timestamp_of(received_update(update))
        assert abs(stamp - bench.ntp()) < 2 << 32
        right = (bench.ntp() + (20 << 32)) >> 32 << 32 | stamp & 0xFFFFFFFF
        effects = bench.feed(Answer(Status.ID_MISMATCH, timestamp=right).to(update))
        [update] = sent(effects) or sent(bench.advance(1.0))  # three a second (RFC 6275 12)
    assert abs(timestamp_of(received_update(update)) - bench.ntp() - (20 << 32)) < 2 << 32
    assert bench.now - began <= lines / 3 + 1
