"""When a drained site may be stopped, judged from one look a second."""

from typing import Any

from ha.operator import Leaving


def seen(wanted: str, announcement: str, packets: int | None, *reasons: str) -> dict[str, Any]:
    return {"wanted": wanted, "announcement": announcement, "tunnelled_in": packets, "reasons": list(reasons)}


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
    assert verdicts[2][1] == "withdrawn; 1000 packets in the last second"


def test_traffic_that_comes_back_begins_the_wait_anew() -> None:
    leaving = Leaving()
    quiet = [leaving.look(seen("withdraw", "withdrawn", packets))[0] for packets in (0, 0, 900, 900, 900)]
    assert quiet == [False, False, False, False, True]


def test_the_last_site_is_never_over_and_says_why() -> None:
    leaving = Leaving()
    for _ in range(5):
        over, state = leaving.look(seen("depreference", "depreferenced", 0, "drained", "brake: no other site"))
        assert not over
    assert state == "depreferenced; drained; brake: no other site"


def test_a_kernel_that_cannot_be_read_is_not_quiet() -> None:
    leaving = Leaving()
    assert not any(leaving.look(seen("withdraw", "withdrawn", None))[0] for _ in range(5))
