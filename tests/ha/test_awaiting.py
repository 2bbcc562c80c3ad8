"""Answers that wait for another site: when one has to leave without, however many others wait or waited."""

import math
from collections.abc import Sequence

import pytest

from ha.awaiting import SYNC_TIMEOUT_MIN_S, Awaiting
from ha.effects import SendBindingAck
from ha.undo import Undo
from mip6.messages import BindingAck
from mip6.numbers import BindingAckFlag, Status
from runtime.counters import Counters

SITES = frozenset({"site2", "site3"})
STEP_S = 0.01


def answer(sequence: int) -> SendBindingAck:
    return SendBindingAck(
        BindingAck(Status.ACCEPTED, BindingAckFlag(0), sequence, 60), bytes(16), None, bytes(16), None
    )


def test_the_deadline_is_found_again_when_the_answers_before_it_have_left() -> None:
    """Symptom: with one peer stopped, every event looked through all changes of seconds, and the site stood still."""
    awaiting, undo = Awaiting("any", Counters()), Undo()
    for index in range(100):
        assert awaiting.sent(index, answer(index), SITES, SITES, index * STEP_S / 100, undo) == []
    for index in range(99):
        assert awaiting.acknowledged(index, "site2", True, STEP_S, undo) == [answer(index)]
    last = 99 * STEP_S / 100 + SYNC_TIMEOUT_MIN_S
    assert awaiting.next_deadline() == last
    assert awaiting.time_reached(last - STEP_S, undo) == []
    assert awaiting.time_reached(last, undo) == [answer(99)]
    assert awaiting.next_deadline() == math.inf


def test_with_all_the_slowest_of_all_is_waited_for_be_it_a_mere_reflector() -> None:
    awaiting, undo = Awaiting("all", Counters()), Undo()
    awaiting.sent(1, answer(1), SITES, {"site2"}, 0.0, undo)
    awaiting.acknowledged(1, "site2", True, 0.1, undo)
    awaiting.acknowledged(1, "site3", False, 0.5, undo)
    assert awaiting.sync_timeout_s(SITES, {"site2"}) == 1.5
    assert Awaiting("any", Counters()).sync_timeout_s(SITES, {"site2"}) == SYNC_TIMEOUT_MIN_S


def test_an_event_that_fails_leaves_the_deadline_as_it_was() -> None:
    awaiting, undo = Awaiting("any", Counters()), Undo()
    awaiting.sent(1, answer(1), SITES, SITES, 0.0, undo)
    undo.roll_back()
    assert awaiting.next_deadline() == math.inf


def test_when_the_last_that_was_waited_for_is_lost_the_answer_leaves_and_is_counted() -> None:
    """It would wait for the timeout, which nobody counts as what it was: a promise to nobody."""
    for acknowledge in ("any", "all"):
        counters = Counters()
        awaiting, undo = Awaiting(acknowledge, counters), Undo()
        awaiting.sent(1, answer(1), SITES, SITES, 0.0, undo)
        assert awaiting.unreachable("site2", undo) == [] and counters.as_dict() == {}
        assert awaiting.unreachable("site3", undo) == [answer(1)]
        assert counters.as_dict() == {"acknowledged_degraded{peer_lost}": 1}
        assert awaiting.next_deadline() == math.inf and not awaiting.is_under_way(1, "site3")
        assert awaiting.time_reached(10.0, undo) == awaiting.unreachable("site3", undo) == []
        assert awaiting.acknowledged(1, "site3", True, 0.2, undo) == []


def test_who_is_lost_is_not_waited_for_and_the_word_of_the_others_is_enough() -> None:
    """With site 2 lost only a reflector is left: its word is enough then, as nobody is hoped for any more."""
    counters = Counters()
    awaiting, undo = Awaiting("any", counters), Undo()
    awaiting.sent(1, answer(1), SITES, {"site2"}, 0.0, undo)
    assert awaiting.unreachable("site2", undo) == []
    assert awaiting.acknowledged(1, "site2", True, 0.01, undo) == []
    assert awaiting.acknowledged(1, "site3", False, 0.02, undo, reflects=True) == [answer(1)]
    assert counters.as_dict() == {}


@pytest.mark.parametrize(
    ("reached", "lost", "degraded"),
    [(SITES, (), 0), ({"site2"}, (), 1), (SITES, ("site3",), 1), ({"site2"}, ("site3",), 1)],
)
def test_with_all_a_site_that_is_heard_and_not_reached_is_told(
    reached: frozenset[str], lost: Sequence[str], degraded: int
) -> None:
    """Its stream was cut, before the change or after: the answer left as if it had it, too."""
    counters = Counters()
    awaiting, undo = Awaiting("all", counters), Undo()
    assert awaiting.sent(1, answer(1), reached, SITES, 0.0, undo) == []
    for site in lost:
        assert awaiting.unreachable(site, undo) == []
    told = [awaiting.acknowledged(1, site, True, 0.01, undo) for site in sorted(reached - set(lost))]
    assert told[-1] == [answer(1)]
    assert counters.get("acknowledged_degraded", "not_installed") == degraded


def test_with_all_a_site_that_is_lost_when_it_had_said_yes_is_none_that_lacks() -> None:
    counters = Counters()
    awaiting, undo = Awaiting("all", counters), Undo()
    awaiting.sent(1, answer(1), SITES, SITES, 0.0, undo)
    awaiting.acknowledged(1, "site3", True, 0.01, undo)
    assert awaiting.unreachable("site3", undo) == []
    assert awaiting.acknowledged(1, "site2", True, 0.02, undo) == [answer(1)]
    assert counters.as_dict() == {}


def test_an_answer_that_was_given_is_not_given_again_when_a_site_is_lost() -> None:
    awaiting, undo = Awaiting("any", Counters()), Undo()
    awaiting.sent(1, answer(1), SITES, SITES, 0.0, undo)
    assert awaiting.acknowledged(1, "site2", True, 0.01, undo) == [answer(1)]
    assert awaiting.unreachable("site3", undo) == []
