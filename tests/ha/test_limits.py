"""What one router may cost: its share is its own, comes back with time, and is not spent by those who replay."""

from ha.limits import MOST, STRETCH_S, Cost, RouterLimits
from ha.undo import Undo
from mip6.numbers import Status
from tests.ha.cast import HOME, Router, Site, both_lines, customer

NOW = 100.0
OTHER = HOME[:-1] + b"\x77"


def test_a_share_is_one_routers_one_kind_and_one_stretchs() -> None:
    limits, undo = RouterLimits(), Undo()
    most = MOST[Cost.CORRECTION]
    assert [limits.spend(Cost.CORRECTION, HOME, NOW, undo) for _ in range(most + 2)] == [True] * most + [False] * 2
    assert limits.exhausted(Cost.CORRECTION, HOME, NOW)
    assert not limits.exhausted(Cost.UPDATE, HOME, NOW)
    assert not limits.exhausted(Cost.CORRECTION, OTHER, NOW)
    assert limits.spend(Cost.CORRECTION, HOME, NOW + STRETCH_S, undo)


def test_what_an_event_that_failed_had_spent_is_given_back() -> None:
    limits, undo = RouterLimits(), Undo()
    for _ in range(MOST[Cost.CORRECTION]):
        limits.spend(Cost.CORRECTION, HOME, NOW, undo)
    undo.roll_back()
    assert not limits.exhausted(Cost.CORRECTION, HOME, NOW)


def test_a_router_that_asks_too_often_is_refused_by_status_and_others_are_served() -> None:
    site, router, other = Site(), Router(), Router(home=OTHER)
    site.load(customer(), customer(home_address=OTHER, prefixes=()))
    statuses = [site.acks(router.update(NOW, both_lines()), NOW)[0].ack.status for _ in range(70)]
    assert statuses == [Status.ACCEPTED] * MOST[Cost.UPDATE] + [Status.INSUFFICIENT_RESOURCES] * 10
    flags = other.update(NOW).update.flags & ~0x0400
    assert site.acks(other.update(NOW, flags=flags), NOW)[0].ack.status == Status.ACCEPTED
    assert site.acks(router.update(NOW + 11, both_lines()), NOW + 11)[0].ack.status == Status.ACCEPTED


def test_replays_spend_nothing_of_the_routers_own_and_are_soon_not_answered() -> None:
    site, router = Site(), Router()
    first = router.update(NOW, both_lines())
    site.feed(first, NOW)
    answers = [ack for _ in range(1000) for ack in site.acks(first, NOW)]
    assert len(answers) == MOST[Cost.CORRECTION]
    assert site.counters.get("answers_suppressed", "corrections") == 1000 - len(answers)
    assert site.acks(router.update(NOW + 1, both_lines()), NOW + 1)[0].ack.status == Status.ACCEPTED
