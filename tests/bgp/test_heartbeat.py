"""What ExaBGP is asked when there is nothing to tell it."""

from bgp.events import AskNeighbours, AskRoutes
from bgp.heartbeat import Heartbeat


def test_a_route_confirmed_in_a_new_session_leaves_the_question_what_both_ends_agreed_on() -> None:
    """Its families were unknown for seconds: a route that was confirmed to anybody drove out the question."""
    heartbeat = Heartbeat(0.0)
    heartbeat.session_established()
    heartbeat.route_confirmed()
    heartbeat.route_confirmed()
    assert [heartbeat.question(), heartbeat.question()] == [AskRoutes(), AskNeighbours()]
    heartbeat.session_established()
    assert heartbeat.question() == AskRoutes()
    heartbeat.route_confirmed()
    assert [heartbeat.question(), heartbeat.question()] == [AskRoutes(), AskNeighbours()]
