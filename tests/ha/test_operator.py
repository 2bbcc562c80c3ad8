"""When a drained site may be stopped, judged from one look a second."""

from typing import Any

import pytest

from ha.operator import MARGIN_S, Leaving, wait


def seen(wanted: str, announcement: str, packets: int | None, *reasons: str) -> dict[str, Any]:
    counted = {"tunnelled_in": packets, "tunnelled_out": packets}
    return {"wanted": wanted, "announcement": announcement, "linger_s": 2.0, "reasons": list(reasons), **counted}


def test_it_is_over_when_withdrawn_and_two_seconds_were_quiet() -> None:
    leaving = Leaving()
    looks = [
        seen("depreference", "depreferenced", 1000, "drained by the operator alice"),
        seen("withdraw", "depreferenced", 2000, "drained by the operator alice"),
        seen("withdraw", "withdrawn", 3000, "drained by the operator alice"),
        seen("withdraw", "withdrawn", 3020, "drained by the operator alice"),
        seen("withdraw", "withdrawn", 3040, "drained by the operator alice"),
    ]
    verdicts = [leaving.look(look) for look in looks]
    assert [over for over, _ in verdicts] == [False, False, False, False, True]
    assert verdicts[0][1] == "depreferenced; drained by the operator alice"
    assert verdicts[2][1] == "withdrawn; packets in the last second: 1000 from customers, 1000 to customers"


def test_traffic_that_comes_back_begins_the_wait_anew() -> None:
    leaving = Leaving()
    quiet = [leaving.look(seen("withdraw", "withdrawn", packets))[0] for packets in (0, 0, 900, 900, 900)]
    assert quiet == [False, False, False, False, True]


def test_counters_that_are_made_anew_say_nothing_of_what_passed() -> None:
    leaving = Leaving()
    quiet = [leaving.look(seen("withdraw", "withdrawn", packets))[0] for packets in (9000, 10, 10, 10)]
    assert quiet == [False, False, False, True]


def test_the_last_site_is_never_over_and_says_why() -> None:
    leaving = Leaving()
    for _ in range(5):
        over, state = leaving.look(seen("depreference", "depreferenced", 0, "drained", "brake: no other site"))
        assert not over
    assert state == "depreferenced; drained; brake: no other site"


def test_a_kernel_that_cannot_be_read_is_not_quiet() -> None:
    leaving = Leaving()
    assert not any(leaving.look(seen("withdraw", "withdrawn", None))[0] for _ in range(5))


@pytest.mark.parametrize("busy", ["tunnelled_in", "tunnelled_out"])
def test_packets_in_one_direction_alone_keep_a_site_from_being_stopped(busy: str) -> None:
    """What came for customers was not counted: "nothing arrives any more", and it was stopped under their feet."""
    leaving = Leaving()
    looks = [seen("withdraw", "withdrawn", 0) | {busy: 1000 * number} for number in range(6)]
    assert not any(leaving.look(look)[0] for look in looks)
    look = looks[-1]
    assert [leaving.look(look)[0] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(("asked_s", "waited_s"), [(None, 61.0 + MARGIN_S), (5.0, 5.0)])
def test_a_wait_is_as_long_as_the_neighbours_need_unless_told_otherwise(asked_s: float | None, waited_s: float) -> None:
    """Its default was a minute, and with intervals of 30 s the withdraw alone comes after one."""
    look = seen("depreference", "depreferenced", 0, "drained") | {"linger_s": 61.0}
    pauses: list[float] = []
    assert wait(lambda: look, lambda _: None, asked_s, lambda: sum(pauses), pauses.append) == waited_s
    assert sum(pauses) == pytest.approx(waited_s, abs=2)
