"""A router with several lines that is told other times than its own: by one site of several, or by all."""

from dataclasses import replace

import pytest

from mip6.numbers import Status
from mr.events import UplinkChanged
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
