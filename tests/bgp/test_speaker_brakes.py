"""The speaker's brakes: what comes and goes is held back; who may be the last stays without a lease, too."""

from dataclasses import replace

import pytest

from bgp.events import (
    AskNeighbours,
    AskRoutes,
    CommandAnswered,
    Event,
    HolderLost,
    LeaseRenewed,
    NeighbourChanged,
    OthersHeard,
    Session,
    StopAsked,
    TimeReached,
    Transition,
    Wanted,
)
from bgp.hold_down import HoldDown
from bgp.route import Announce, Route, Terms
from bgp.speaker import LEASE_S, Speaker
from bgp.states import State
from tests.bgp.test_speaker import FIRST, ISP, LINGER_MS, ROUTES, SECOND, Exabgp, in_state


def test_an_announcement_that_comes_and_goes_is_held_back_longer_each_time() -> None:
    exabgp = Exabgp(hold_max_s=3.0)
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    held_s = []
    for _ in range(5):
        exabgp.wait(LEASE_S + LINGER_MS / 1000)
        assert exabgp.rib == {}
        began = exabgp.now
        while exabgp.rib != {route.prefix: route for route in ROUTES}:
            exabgp.renew(Wanted.ANNOUNCE)
            assert len(exabgp.rib) == 2, "held back means depreferenced, not withdrawn"
            exabgp.wait(0.1)
        held_s.append(exabgp.now - began)
    assert held_s == pytest.approx([0.5, 1.0, 2.0, 3.0, 3.0], abs=0.11)


def test_failures_are_forgotten_after_five_minutes_and_hold_back_for_one_at_most() -> None:
    hold_down = HoldDown()
    for at in (0.0, 1.0, 2.0):
        hold_down.given_up(at)
    assert hold_down.seconds(2.0) == 2.0
    assert hold_down.seconds(301.5) == 0.5
    assert hold_down.seconds(302.0) == 0.0
    for at in range(1000):
        hold_down.given_up(float(at))
    assert hold_down.seconds(1000.0) == 60.0


def test_what_failed_once_takes_its_traffic_back_after_the_failback_time_only() -> None:
    hold_down = HoldDown(3.0, failback_s=120.0)
    assert hold_down.seconds(0.0) == 0.0  # nobody failed
    hold_down.given_up(0.0)
    assert hold_down.seconds(1.0) == 120.0


def orphan() -> Exabgp:
    """Announced, and its lease about to run out."""
    exabgp = Exabgp(orphan_hold_s=300.0)
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    return exabgp


def test_without_word_of_another_site_the_aggregate_outlives_its_lease_for_the_orphan_hold() -> None:
    exabgp = orphan()
    exabgp.wait(LEASE_S + 299.9)
    assert exabgp.rib == {route.prefix: route.depreferenced() for route in ROUTES}
    assert "brake" in exabgp.speaker.reason
    exabgp.wait(0.2)
    assert exabgp.rib == {}
    assert exabgp.speaker.history()[-1].reason.endswith("the brake was held long enough")


def test_it_goes_after_the_linger_while_another_site_is_known_to_announce() -> None:
    exabgp = orphan()
    for _ in range(12):
        exabgp.feed(OthersHeard(0.0))
        exabgp.wait(0.2)
    assert exabgp.rib == {}
    assert "brake" not in exabgp.speaker.reason


def test_what_was_said_before_our_lease_ended_or_just_after_does_not_count() -> None:
    """Of sites whose leases end together, none believes another."""
    exabgp = orphan()
    exabgp.wait(LEASE_S + 0.55)
    exabgp.feed(OthersHeard(0.0))
    exabgp.wait(LINGER_MS / 1000)
    assert len(exabgp.rib) == 2
    exabgp.feed(OthersHeard(2.1))
    assert len(exabgp.rib) == 2
    exabgp.feed(OthersHeard(0.2))
    assert exabgp.rib == {}


def test_word_of_another_site_ends_the_brake_and_old_word_does_not_count() -> None:
    exabgp = orphan()
    exabgp.feed(OthersHeard(0.0))
    exabgp.wait(20.0)
    assert len(exabgp.rib) == 2
    exabgp.feed(OthersHeard(None))
    assert len(exabgp.rib) == 2
    exabgp.feed(OthersHeard(0.0))
    assert exabgp.rib == {}


def test_word_that_is_older_than_a_second_when_the_linger_ends_does_not_count() -> None:
    exabgp = orphan()
    exabgp.wait(LEASE_S + 0.7)
    exabgp.feed(OthersHeard(0.0))
    exabgp.wait(LINGER_MS / 1000)  # its supervisor told it nothing more
    assert len(exabgp.rib) == 2


def test_the_history_tells_what_changed_why_how_long_it_was_and_who_asked() -> None:
    exabgp = in_state(State.ANNOUNCED)
    exabgp.wait(1.0)
    exabgp.feed(NeighbourChanged("2001:db8:1:a::1", "down"))
    told = [(one.what, one.before, one.after, one.by, one.lasted_s) for one in exabgp.speaker.history()]
    assert told == [
        ("announcement", "starting", "withdrawn", "ExaBGP", 0.0),
        ("announcement", "withdrawn", "announced", "xsp-ha", 0.0),
        ("announcement", "announced", "lingering", "bridge", 0.3),
        ("2001:db8:1:a::1", "up", "down", "ExaBGP", 8.0),
    ]
    assert [one.number for one in exabgp.speaker.history(after=2)] == [3, 4]


def test_a_path_made_longer_for_the_load_is_in_the_history() -> None:
    """Routes that changed in the middle of an announcement were told to the neighbours, and nowhere else."""
    exabgp = in_state(State.ANNOUNCED)
    exabgp.now += 0.2
    longer = tuple(replace(route, prepend=2) for route in ROUTES)
    for _ in range(2):  # the second renewal changes nothing
        exabgp.feed(LeaseRenewed(Wanted.ANNOUNCE, "ready; load is 95% of the capacity", LINGER_MS, longer))
    [one] = exabgp.speaker.history(after=2)
    assert (one.what, one.by, one.lasted_s) == ("routes", "xsp-ha", 0.2)
    assert one.before == f"{FIRST} communities 64500:1; {SECOND}"
    assert one.after == f"{FIRST} prepend 2 communities 64500:1; {SECOND} prepend 2"
    assert one.reason == "ready; load is 95% of the capacity"


def test_a_new_bridge_holds_back_what_the_one_before_it_had_given_up() -> None:
    """A failback of ten minutes was over with the bridge: ExaBGP's death, or its own, announced at once."""
    exabgp = Exabgp(left=ROUTES)
    hold_down = HoldDown(60.0, 600.0, (-5.0,), owed=True)
    exabgp.speaker = Speaker((FIRST, SECOND), (Terms(ISP, 64501),), 0.0, 0.0, hold_down)
    exabgp.feed(TimeReached())
    for _ in range(5990):
        exabgp.renew(Wanted.ANNOUNCE)
        assert exabgp.speaker.state is State.HELD
        exabgp.wait(0.1)
    assert exabgp.rib == {route.prefix: route.depreferenced() for route in ROUTES}
    for _ in range(20):
        exabgp.renew(Wanted.ANNOUNCE)
        exabgp.wait(0.1)
    assert exabgp.rib == {route.prefix: route for route in ROUTES}


def inherited(hold_down: HoldDown) -> Exabgp:
    """A bridge that found an announcement of the one before."""
    exabgp = Exabgp(left=ROUTES)
    exabgp.speaker = Speaker((FIRST, SECOND), (Terms(ISP, 64501),), 0.0, 0.0, hold_down)
    exabgp.feed(TimeReached())
    assert exabgp.speaker.state is State.INHERITED
    return exabgp


def test_an_inherited_announcement_that_nobody_claims_is_given_up() -> None:
    """Bridge and home agent died together, and nothing was held back when both were there again."""
    exabgp = inherited(HoldDown(3.0))
    exabgp.wait(LEASE_S + 0.1)
    assert exabgp.rib == {route.prefix: Route(route.prefix).depreferenced() for route in ROUTES}
    exabgp.renew(Wanted.ANNOUNCE)
    assert exabgp.speaker.state is State.HELD


def heir(answered_at: float) -> tuple[list[Transition], float]:
    """A bridge since 100.0 to which ExaBGP answers then and no holder comes: what it did, and when it withdrew."""
    speaker, now = Speaker((FIRST,), (Terms(ISP, 64501),), 100.0), answered_at
    speaker.handle(TimeReached(), 100.0)
    speaker.handle(CommandAnswered(True, rib={ISP: (str(FIRST),)}), 100.1)
    speaker.handle(CommandAnswered(True, sessions=(Session(ISP, "up", 7.0, 64500),)), answered_at)
    while speaker.state is not State.WITHDRAWN and now < 200.0:
        now = speaker.next_deadline()
        speaker.handle(CommandAnswered(True), now)
    return [one for one in speaker.history() if one.what == "announcement"], now


def test_an_inherited_lease_that_was_over_before_exabgp_answered_did_not_end_before_it_began() -> None:
    """The history said that an announcement was inherited for -0.15 s, and its entries were not in order."""
    entries, withdrawn_at = heir(answered_at=100.45)
    assert [one.after for one in entries] == ["inherited", "lingering", "withdrawn"]
    assert [one.at for one in entries] == [100.45, 100.45, withdrawn_at]
    assert [one.lasted_s for one in entries] == pytest.approx([0.45, 0.0, withdrawn_at - 100.45])
    assert withdrawn_at == heir(answered_at=100.15)[1], "the linger counts from the true end of the lease"


def test_what_was_given_up_before_is_not_given_up_again_nor_what_is_claimed_or_stopped() -> None:
    owed, fresh, stopped = HoldDown(3.0, 0.0, (-5.0,), owed=True), HoldDown(3.0), HoldDown(3.0)
    inherited(owed).renew(Wanted.DEPREFERENCE)
    inherited(fresh).renew(Wanted.ANNOUNCE)
    inherited(stopped).feed(StopAsked(1000))
    assert (owed.failures(1.0), fresh.failures(1.0), stopped.failures(1.0)) == (1, 0, 0)


def test_a_renewal_from_before_exabgp_has_said_all_counts_as_any_other() -> None:
    """ExaBGP's second answer ended the live lease of a holder: depreferenced, and with the wrong linger."""
    speaker = Speaker((FIRST,), (Terms(ISP, 64501),), 0.0)
    assert speaker.handle(TimeReached(), 0.0) == [AskRoutes()]
    assert speaker.handle(CommandAnswered(True, rib={ISP: (str(FIRST),)}), 0.1) == [AskNeighbours()]
    speaker.handle(LeaseRenewed(Wanted.ANNOUNCE, "ready", 5000, ROUTES[:1]), 0.25)
    speaker.handle(CommandAnswered(True, sessions=(Session(ISP, "established", 7.0, 64500),)), 0.4)
    assert speaker.state is State.INHERITED
    assert speaker.lease_lives(0.4)
    effects = speaker.handle(TimeReached(), 0.25 + LEASE_S)
    assert [one.route for one in effects if isinstance(one, Announce)] == [ROUTES[0].depreferenced()]
    assert speaker.next_deadline() == 0.25 + LEASE_S + 5.0


@pytest.mark.parametrize(("event", "ended_at"), [(TimeReached(), 0.15 + LEASE_S), (HolderLost(), 0.4)])
def test_a_lease_that_was_renewed_and_ended_before_exabgp_has_said_all_ended_then(
    event: Event, ended_at: float
) -> None:
    """It counted as ended 0.2 s after the start: the linger was shorter, and older word of other sites was believed."""
    speaker = Speaker((FIRST,), (Terms(ISP, 64501),), 0.0)
    speaker.handle(TimeReached(), 0.0)
    speaker.handle(CommandAnswered(True, rib={ISP: (str(FIRST),)}), 0.1)
    speaker.handle(LeaseRenewed(Wanted.ANNOUNCE, "ready", 5000, ROUTES[:1]), 0.15)
    speaker.handle(event, 0.4)
    speaker.handle(CommandAnswered(True, sessions=(Session(ISP, "established", 7.0, 64500),)), 0.6)
    assert speaker.state is State.LINGERING
    assert speaker.next_deadline() == ended_at + 5.0


def test_an_answer_that_says_nothing_of_the_routes_does_not_say_that_none_was_sent() -> None:
    """A RIB that could not be listed, or read, once: the status said that the neighbours were sent nothing."""
    speaker = Speaker((FIRST,), (Terms(ISP, 64501),), 0.0)
    speaker.handle(NeighbourChanged(ISP, "established"), 0.0)
    shown: dict[str, tuple[str, ...]] = {ISP: (str(FIRST),)}
    speaker.handle(CommandAnswered(True, rib=shown, routes=shown), 0.1)
    assert speaker.routes_sent() == shown
    speaker.handle(CommandAnswered(True), 0.2)
    for answer in (CommandAnswered(False), CommandAnswered(True)):  # refused; not understood
        ask(speaker)
        speaker.handle(answer, speaker.next_deadline())
        assert speaker.routes_sent() == shown


def ask(speaker: Speaker) -> None:
    """Until the RIB is asked for."""
    for _ in range(100):
        now = speaker.next_deadline()
        if AskRoutes() in speaker.handle(TimeReached(), now):
            return
        speaker.handle(CommandAnswered(True), now)
    raise AssertionError("it is never asked for")
