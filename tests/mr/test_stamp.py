"""Mesg-ID timestamps grow, whatever the clock does."""

from mip6.ntp import to_timestamp
from mr.stamp import Stamp


def test_a_stamp_follows_the_clock() -> None:
    assert Stamp(1000.0).advanced(5.0).last == to_timestamp(1005.0)


def test_a_clock_that_stands_still_or_goes_back_still_gives_growing_stamps() -> None:
    first = Stamp(1000.0).advanced(5.0)
    second = first.advanced(5.0)
    third = second.clock_observed(-1000.0).advanced(5.0)
    assert first.last < second.last < third.last


def test_the_stamp_kept_on_disk_is_never_undercut() -> None:
    kept = to_timestamp(2_000_000_000.0)
    assert Stamp(1000.0, kept).advanced(5.0).last == kept + 1


def test_a_home_agent_ahead_of_us_moves_the_stamps_forward() -> None:
    stamp = Stamp(1000.0).advanced(5.0).corrected(to_timestamp(1_700_000_000.0), 5.0).advanced(6.0)
    assert abs(stamp.last - to_timestamp(1_700_000_001.0)) < 1 << 32


def test_a_future_that_no_home_agent_accepted_is_left() -> None:
    """A router that once booted in 2099 was refused (144) by every home agent until 2099."""
    lost = Stamp(4_000_000_000.0, 0, to_timestamp(1_600_000_000.0)).advanced(5.0)
    found = lost.corrected(to_timestamp(1_700_000_000.0), 5.0).advanced(5.0)
    assert abs(found.last - to_timestamp(1_700_000_000.0)) < 1 << 32


def test_no_correction_goes_below_an_accepted_stamp() -> None:
    stamp = Stamp(1_700_000_000.0).advanced(5.0)
    accepted = stamp.accepted(stamp.last)
    assert accepted.corrected(to_timestamp(1_700_000_000.0), 5.0).advanced(5.0).last > stamp.last


def test_a_stamp_accepted_by_a_site_with_a_wrong_clock_does_not_lock_the_router_out_of_the_others() -> None:
    """A site a day ahead corrected a router and accepted it; all the others refused it (144) for a day."""
    led_astray = Stamp(1_700_086_400.0).advanced(5.0)
    accepted = led_astray.accepted(led_astray.last)
    back = accepted.corrected(to_timestamp(1_700_000_000.0), 5.0).advanced(5.0)
    assert abs(back.last - to_timestamp(1_700_000_000.0)) < 1 << 32
    again = back.accepted(back.last).corrected(to_timestamp(1_700_000_000.0), 5.0).advanced(5.0)
    assert again.last > back.last
