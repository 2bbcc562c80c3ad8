"""What a new bridge is told of those before it, out of the history that the supervisor keeps."""

from typing import Any

import pytest

from bgp.hold_down import HoldDown
from bgp.memory import Memory, decode, remember
from bgp.report import time_text

UNIX = 1_800_000_000.0
EARLIER: list[tuple[str, str, str]] = [
    ("ExaBGP", "none", "running"),
    ("announcement", "starting", "withdrawn"),
    ("announcement", "withdrawn", "announced"),
]
FOUND = [("bridge", "running", "none"), ("announcement", "starting", "inherited")]  # by the next bridge


def history(*more: tuple[str, str, str]) -> list[dict[str, Any]]:
    """One entry a second."""
    rows = [*EARLIER, *more]
    return [{"at": time_text(UNIX + n), "what": w, "before": b, "after": a} for n, (w, b, a) in enumerate(rows)]


@pytest.mark.parametrize(
    ("more", "failures", "owed"),
    [
        ([], 0, False),
        ([("announcement", "announced", "lingering")], 1, True),
        ([("announcement", "announced", "lingering"), ("announcement", "lingering", "announced")], 1, False),
        ([("announcement", "announced", "withdrawn"), ("announcement", "withdrawn", "held")], 1, True),
        ([("bridge", "running", "none"), ("announcement", "starting", "inherited")], 0, False),
        ([("ExaBGP", "running", "none")], 1, True),
        ([("ExaBGP", "none", "running")], 1, True),  # the machine went down: nobody wrote the end of the one before
        ([("announcement", "announced", "stopping"), ("ExaBGP", "running", "none")], 0, False),
        ([("announcement", "announced", "lingering"), ("ExaBGP", "running", "none")], 1, True),
        ([("2001:db8:1:a::1", "established", "down")], 0, False),
        ([*FOUND, ("announcement", "inherited", "lingering")], 1, True),  # no holder came to the next bridge
        ([*FOUND, ("announcement", "inherited", "withdrawn")], 1, True),
        ([*FOUND, ("announcement", "inherited", "announced")], 0, False),
        ([*FOUND, ("ExaBGP", "running", "none")], 1, True),
        ([*FOUND, ("announcement", "inherited", "stopping"), ("ExaBGP", "running", "none")], 0, False),
        ([*FOUND[:1], ("announcement", "starting", "withdrawn")], 1, True),
        ([*FOUND[:1], ("announcement", "starting", "stopped"), ("ExaBGP", "running", "none")], 0, False),
    ],
)
def test_what_counts_as_given_up(more: list[tuple[str, str, str]], failures: int, owed: bool) -> None:
    known = remember(history(*more))
    assert (len(known.given_up), known.owed) == (failures, owed)
    assert decode(known.encode()) == known


def test_a_start_that_finds_an_announcement_without_an_end_comes_after_a_failure() -> None:
    assert remember(history(), UNIX + 60) == Memory((UNIX + 60,), True)
    stopped = history(("announcement", "announced", "stopping"), ("announcement", "stopping", "stopped"))
    assert remember(stopped, UNIX + 60) == Memory()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"given_up": 1, "owed": true}', '{"given_up": ["x"], "owed": 1}'])
def test_a_file_that_is_none_of_ours_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode(text)


def test_the_failback_is_due_however_long_the_site_was_down() -> None:
    """A failure of an hour was forgotten after five minutes, and with it the failback."""
    hold_down = HoldDown(60.0, failback_s=600.0)
    hold_down.given_up(0.0)
    assert hold_down.seconds(3600.0) == 600.0
    hold_down.announced()
    assert hold_down.seconds(3601.0) == 0.0


def test_a_new_life_holds_back_what_the_one_before_gave_up() -> None:
    assert HoldDown(60.0, 0.0, (1.0, 2.0), owed=True).seconds(3.0) == 1.0
    assert HoldDown(60.0, 600.0, (1.0, 2.0), owed=False).seconds(3.0) == 0.0
