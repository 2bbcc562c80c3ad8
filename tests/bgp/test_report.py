"""What `xsp-bgp status` remembers of the past."""

from typing import Any

import pytest

from bgp.memory import remember
from bgp.report import REMEMBERED, History

UNIX = 1_800_000_000.0


def entry(number: int, what: str, after: str, by: str) -> dict[str, Any]:
    """As the bridge tells it; one a second."""
    rest = {"before": "", "reason": "", "lasted_s": 1.0}
    return {"number": number, "at": UNIX + number, "what": what, "after": after, "by": by, **rest}


def test_a_session_that_flaps_for_hours_does_not_drive_out_why_we_announce() -> None:
    history = History()
    history.take([entry(1, "announcement", "announced", "xsp-ha")])
    for number in range(2, 10_000):
        history.take([entry(number, "2001:db8:1:a::1", "down", "ExaBGP")])
    history.take([entry(10_000, "announcement", "withdrawn", "bridge")])
    entries = history.entries()
    assert len(entries) == REMEMBERED + 2
    assert entries[0]["after"] == "announced"
    assert entries[-1]["after"] == "withdrawn"
    assert entries == sorted(entries, key=lambda one: one["at"])
    assert history.last == 10_000


def test_what_is_remembered_is_bounded() -> None:
    history = History()
    for number in range(1, 1000):
        history.take([entry(number, "announcement", "announced", "xsp-ha")])
        history.note(UNIX + number, "ExaBGP", "none", "running", "", 0.0)
    assert len(history.entries()) == REMEMBERED


def test_what_was_kept_is_told_by_the_next_supervisor_and_what_is_no_entry_is_not() -> None:
    kept: list[Any] = []
    history = History(lambda *entries: kept.extend(entries))
    history.note(UNIX, "ExaBGP", "none", "running", "", 0.0)
    history.take([entry(1, "announcement", "announced", "xsp-ha"), entry(2, "2001:db8:1:a::1", "down", "ExaBGP")])
    after = History()
    after.restore([*kept, {"at": 1, "what": "announcement"}, {}])
    assert after.entries() == history.entries() == kept
    assert after.last == 0  # the next bridge counts anew


def test_a_clock_that_is_set_back_does_not_change_the_order() -> None:
    """A failure of before stood behind the announcement of after, and held the site back for as long as the offset."""
    history = History()
    history.take([entry(1, "announcement", "announced", "xsp-ha"), entry(2, "announcement", "lingering", "bridge")])
    history.take([{**entry(3, "2001:db8:1:a::1", "down", "ExaBGP"), "at": UNIX - 3600}])
    history.take([{**entry(4, "announcement", "announced", "xsp-ha"), "at": UNIX - 3599}])
    assert [one["after"] for one in history.entries()] == ["announced", "lingering", "down", "announced"]
    assert not remember(history.entries()).owed
    after = History()
    after.restore(history.entries())
    assert after.entries() == history.entries()


@pytest.mark.parametrize("at", ["yesterday", "", "2027-01-15T08:00:00", "2027-01-15"])
def test_what_does_not_say_when_it_was_is_no_entry(at: str) -> None:
    """One such line in the file, and every start of xsp-bgp ended in a ValueError; or it was read as local time."""
    kept: list[Any] = []
    History(lambda *entries: kept.extend(entries)).take([entry(1, "announcement", "announced", "xsp-ha")])
    after = History()
    after.restore([*kept, {**kept[0], "before": "announced", "after": "lingering", "at": at}])
    assert after.entries() == kept
    assert remember(after.entries()).given_up == ()
