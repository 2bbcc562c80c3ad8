"""Mesg-ID timestamps grow, whatever the clock does, and one site's wrong clock concerns the line that leads there."""

from mip6.ntp import to_timestamp
from mr.stamp import Stamp, Stamps

ONE, OTHER = b"one".rjust(16), b"other".rjust(16)
NOW = 1_700_000_000.0
DAY_S = 86400.0
SECOND = 1 << 32


class Router:
    """The stamps of a router, and the last that it made; its monotonic clock says what the world's does."""

    def __init__(self, wrong_s: float = 0.0, last: int = 0) -> None:
        self.stamps, self.said = Stamps(Stamp(wrong_s, last)), 0

    def says(self, now: float, line: bytes = ONE) -> int:
        """The timestamp of what it says now over a line."""
        self.stamps = self.stamps.advanced(line, now)
        self.said = self.stamps.of(line).last
        return self.said

    def is_told(self, home_agents_time: float, now: float, line: bytes = ONE) -> None:
        """A home agent with this clock answers 144 over a line."""
        self.stamps = self.stamps.corrected_by(to_timestamp(home_agents_time), line, now)

    def is_pleased(self, sent_at: float, timestamp: int | None = None) -> None:
        """The last that it said is accepted, or something else."""
        self.stamps = self.stamps.accepted(timestamp or self.said, sent_at)


def is_near(timestamp: int, unix: float) -> bool:
    """Is it this time, but for what a 144 leaves open?"""
    return abs(timestamp - to_timestamp(unix)) < SECOND


def test_a_stamp_follows_the_clock() -> None:
    assert Router(1000.0).says(5.0) == to_timestamp(1005.0)


def test_a_clock_that_stands_still_or_goes_back_still_gives_growing_stamps() -> None:
    router = Router(1000.0)
    first, second = router.says(5.0), router.says(5.0)
    router.stamps = router.stamps.clock_observed(-1000.0)
    assert first < second < router.says(5.0)


def test_the_stamp_kept_on_disk_is_never_undercut() -> None:
    kept = to_timestamp(2_000_000_000.0)
    assert Router(1000.0, kept).says(5.0) == kept + 1


def test_a_home_agent_ahead_of_us_moves_the_stamps_forward() -> None:
    router = Router(-DAY_S)
    router.says(NOW)
    router.is_told(NOW, NOW)
    assert is_near(router.says(NOW + 1), NOW + 1)


def test_a_future_that_no_home_agent_accepted_is_left() -> None:
    """A router that once booted in 2099 was refused (144) by every home agent until 2099."""
    router = Router(last=to_timestamp(4_000_000_000.0))
    router.says(NOW)
    router.is_told(NOW, NOW)
    assert is_near(router.says(NOW), NOW)
    assert is_near(router.says(NOW, OTHER), NOW)


def test_no_correction_goes_below_an_accepted_stamp() -> None:
    router = Router()
    router.is_pleased(NOW, before := router.says(NOW))
    router.stamps = router.stamps.clock_observed(DAY_S)
    router.says(NOW)
    router.is_told(NOW - 0.9, NOW)
    assert router.says(NOW) > before


def test_a_stamp_accepted_by_a_site_with_a_wrong_clock_does_not_lock_the_router_out_of_the_others() -> None:
    """A site a day ahead corrected a router and accepted it; all the others refused it (144) for a day."""
    router = Router(DAY_S)
    router.says(NOW)
    router.is_pleased(NOW)
    router.is_told(NOW, NOW)
    back = router.says(NOW)
    assert is_near(back, NOW)
    router.is_pleased(NOW)
    router.is_told(NOW, NOW)
    assert router.says(NOW) > back


def test_one_site_with_a_wrong_clock_puts_only_the_line_wrong_that_leads_there() -> None:
    """Where lines led to a right and a wrong site, each was asked by the clock of the other and refused (144)."""
    router = Router()
    router.says(NOW)
    router.is_pleased(NOW)
    router.is_told(NOW - DAY_S, NOW)
    assert is_near(router.says(NOW), NOW - DAY_S)
    assert is_near(router.says(NOW, OTHER), NOW)


def test_a_router_that_boots_between_two_times_has_one_for_each_line() -> None:
    """Nothing has shown yet which clock is good: a line goes by the last word, or by what itself was told."""
    router = Router(-5 * DAY_S)
    router.says(NOW)
    router.is_told(NOW - DAY_S, NOW)
    assert is_near(router.says(NOW, OTHER), NOW - DAY_S)
    router.is_told(NOW, NOW, OTHER)
    assert is_near(router.says(NOW), NOW - DAY_S)
    assert is_near(router.says(NOW, OTHER), NOW)


def test_what_is_accepted_shows_all_lines_the_time() -> None:
    """A line went on by what a wrong clock had said, and heartbeats over it, which get no 144, were for nobody."""
    router = Router()
    router.says(NOW)
    router.is_pleased(NOW)
    router.is_told(NOW - DAY_S, NOW)
    router.says(NOW, OTHER)
    router.is_pleased(NOW)
    assert is_near(router.says(NOW + 1), NOW + 1)


def test_a_late_acknowledgement_speaks_for_the_clock_that_it_answers() -> None:
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    early = router.says(NOW + 1)
    router.is_told(NOW - DAY_S, NOW + 1)
    router.says(NOW + 2)
    router.is_pleased(NOW + 1, early)
    assert is_near(router.says(NOW + 3), NOW + 3)


def test_a_wall_clock_that_was_set_makes_the_next_correction_one_for_all_lines() -> None:
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    router.stamps = router.stamps.clock_observed(DAY_S)
    router.says(NOW + 1)
    router.is_told(NOW + 1, NOW + 1)
    assert is_near(router.says(NOW + 1, OTHER), NOW + 1)


def test_a_later_word_is_greater_over_whatever_line() -> None:
    """One line was told a time some seconds ahead: what a router said later by another lost against that."""
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    router.is_told(NOW + 5, NOW)
    stamps = [router.says(NOW + 0.1 * tenth, ONE if tenth % 2 else OTHER) for tenth in range(1, 9)]
    assert stamps == sorted(set(stamps))


def test_a_144_that_tells_the_time_that_we_have_does_not_set_us_back() -> None:
    """A 144 leaves half a second open: a router's later word was less than its earlier one, and lost against it."""
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    before = router.says(NOW + 0.9)
    router.is_told(NOW + 0.9, NOW + 0.9)  # taken for NOW + 0.5
    assert router.says(NOW + 0.9) > before


def test_a_line_that_moved_to_another_time_and_back_goes_on_above_its_last_word() -> None:
    """Moved by BGP to a site with a wrong clock and back, a router's next word was less than its last one before."""
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    before = router.says(NOW + 0.95)
    router.is_told(NOW - DAY_S, NOW + 0.95)
    router.says(NOW + 0.96)
    router.is_told(NOW + 0.97, NOW + 0.97)
    assert before < router.says(NOW + 0.97) < before + SECOND


def test_an_address_that_is_gone_takes_its_correction_along() -> None:
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    router.is_told(NOW - DAY_S, NOW)
    router.stamps = router.stamps.forgotten(ONE, NOW)
    assert not router.stamps.corrected
    assert is_near(router.says(NOW), NOW)


def test_what_was_said_from_an_address_that_is_gone_is_not_undercut() -> None:
    """A line that was a few seconds ahead lost its address: what the router said next lost against its last word."""
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    router.is_told(NOW + 5, NOW)
    before = router.says(NOW)
    router.stamps = router.stamps.forgotten(ONE, NOW + 1)
    assert before < router.says(NOW + 1) < before + SECOND


def test_all_lines_come_back_from_a_wrong_clock_as_soon_as_one_hears_of_the_right_time() -> None:
    """All lines had led to a site with a wrong clock; when they led elsewhere each had to be refused once more."""
    router = Router()
    router.is_pleased(NOW, router.says(NOW))
    for line in (ONE, OTHER):
        router.says(NOW, line)
        router.is_told(NOW + DAY_S, NOW, line)
    assert is_near(router.says(NOW), NOW + DAY_S)
    router.is_told(NOW, NOW)
    assert is_near(router.says(NOW), NOW)
    assert is_near(router.says(NOW, OTHER), NOW)


def test_a_wrong_clock_that_most_lines_lead_to_does_not_take_the_right_one_from_the_last() -> None:
    """Three lines, nothing accepted yet: two sites say one time, and the third line's own stays."""
    third = b"third".rjust(16)
    router = Router(-5 * DAY_S)
    for line, time in (
        (ONE, NOW - DAY_S),
        (OTHER, NOW - DAY_S),
        (third, NOW),
        (ONE, NOW - DAY_S),
        (OTHER, NOW - DAY_S),
    ):
        router.says(NOW, line)
        router.is_told(time, NOW, line)
    assert is_near(router.says(NOW, third), NOW)
