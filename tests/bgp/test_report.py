"""What `xsp-bgp status` remembers of the past."""

from typing import Any

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
