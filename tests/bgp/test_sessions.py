"""What a session was sent, why it ended, and what ExaBGP did not tell when it happened."""

from bgp.events import NeighbourChanged, Session
from bgp.sessions import NOT_TOLD, Sessions

ISP, OTHER = "2001:db8:1:a::1", "2001:db8:1:b::1"
ROUTE, ROUTE_4 = "2001:db8:f000::/36 as-path 64500 64500 community 64500:7", "192.0.2.0/24"
RIB: dict[str, tuple[str, ...]] = {ISP: (ROUTE,), OTHER: (ROUTE,)}
BOTH = ("ipv6 unicast", "ipv4 unicast")


def asked(sessions: Sessions, rib: dict[str, tuple[str, ...]] = RIB) -> dict[str, tuple[str, ...]]:
    sessions.ask()
    sessions.answered(rib)
    return sessions.sent()


def test_exabgps_rib_is_not_sent_to_a_neighbour_that_is_down() -> None:
    """The status listed the aggregate for a neighbour with a wrong AS: ExaBGP has it in its RIB all the same."""
    sessions = Sessions()
    sessions.described([Session(ISP, "down", 5.0, 64500), Session(OTHER, "established", 5.0, 64500, BOTH)], 10.0)
    assert asked(sessions) == {OTHER: (ROUTE,)}


def test_a_session_that_ends_was_sent_nothing_until_the_next_one_was_asked_about() -> None:
    sessions = Sessions()
    sessions.told(NeighbourChanged(ISP, "established"), 1.0)
    assert asked(sessions) == {ISP: (ROUTE,)}
    sessions.told(NeighbourChanged(ISP, "down", "ended by the neighbour"), 2.0)
    assert sessions.sent() == {}
    sessions.told(NeighbourChanged(ISP, "established"), 3.0)
    assert sessions.sent() == {}
    assert asked(sessions) == {ISP: (ROUTE,)}


def test_an_answer_to_a_question_from_before_the_reset_counts_for_nothing() -> None:
    sessions = Sessions()
    sessions.told(NeighbourChanged(ISP, "established"), 1.0)
    sessions.ask()
    sessions.told(NeighbourChanged(ISP, "down"), 1.1)
    sessions.told(NeighbourChanged(ISP, "established"), 1.2)
    sessions.answered(RIB)
    assert sessions.sent() == {}


def test_a_family_that_the_neighbour_did_not_agree_on_was_not_sent() -> None:
    sessions = Sessions()
    sessions.described([Session(ISP, "established", 5.0, 64500, ("ipv6 unicast",))], 10.0)
    assert asked(sessions, {ISP: (ROUTE, ROUTE_4)}) == {ISP: (ROUTE,)}


def test_the_end_is_told_with_its_reason_and_how_long_the_session_had_stood() -> None:
    sessions = Sessions()
    sessions.told(NeighbourChanged(ISP, "established"), 1.0)
    change = sessions.told(NeighbourChanged(ISP, "down", "ended by the neighbour: Bad Peer AS"), 3.5)
    assert change is not None
    assert (change.before, change.after, change.lasted_s) == ("established", "down", 2.5)
    assert change.reason == "ended by the neighbour: Bad Peer AS"
    end = {"reason": "ended by the neighbour: Bad Peer AS", "ended_s_ago": 1.5, "reached_s_ago": 4.0}
    assert sessions.ends(5.0) == {ISP: end}


def test_a_change_that_only_the_list_shows_is_one_all_the_same() -> None:
    """An event that was lost, with a bridge that was respawned at that moment, left the history as it was."""
    sessions = Sessions()
    assert sessions.described([Session(ISP, "established", 5.0, 64500)], 10.0) == [], "the first sight changes nothing"
    [change] = sessions.described([Session(ISP, "down", 2.0, 64500)], 20.0)
    assert (change.before, change.after, change.reason, change.lasted_s) == ("established", "down", NOT_TOLD, 13.0)


def test_what_the_list_does_not_know_the_events_keep() -> None:
    """`show neighbor` calls a session that is being opened down, too: no change, whoever says it."""
    sessions = Sessions()
    sessions.told(NeighbourChanged(ISP, "connected"), 1.0)
    assert sessions.described([Session(ISP, "down", 0.0, 64500)], 2.0) == []
    assert sessions.all(3.0)[0].state == "connected"
