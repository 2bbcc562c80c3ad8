"""The speaker: its table in full, what it commands on the way, and that no announcement outlives lease and linger."""

from ipaddress import ip_network
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgp.client import RECONNECT_S
from bgp.events import (
    AskNeighbours,
    AskRoutes,
    AskVersion,
    CommandAnswered,
    Effect,
    Event,
    HolderLost,
    LeaseRenewed,
    NeighbourChanged,
    Note,
    OthersHeard,
    Session,
    StopAsked,
    TimeReached,
    Wanted,
)
from bgp.hold_down import HoldDown
from bgp.route import Announce, Prefix, Route, Terms, Withdraw
from bgp.speaker import LEASE_S, Speaker
from bgp.states import DEPREFERRING, TABLE, Cue, State

FIRST, SECOND = ip_network("2001:db8:f000::/36"), ip_network("2001:db8:e000::/36")
ROUTES = (Route(FIRST, ("64500:1",)), Route(SECOND))
LINGER_MS = 2000
ISP = "2001:db8:1:a::1"

EXPECTED = """
               cleared        found          announce       depreference   withdraw       lease-ended    linger-ended   hold-ended     stop
starting       withdrawn      inherited      starting       starting       starting       starting       starting       starting       stopped
inherited      inherited      inherited      held           depreferenced  withdrawn      lingering      inherited      inherited      stopping
withdrawn      withdrawn      withdrawn      held           depreferenced  withdrawn      withdrawn      withdrawn      withdrawn      stopped
announced      announced      announced      announced      depreferenced  withdrawn      lingering      announced      announced      stopping
depreferenced  depreferenced  depreferenced  held           depreferenced  withdrawn      lingering      depreferenced  depreferenced  stopping
held           held           held           held           depreferenced  withdrawn      lingering      held           announced      stopping
lingering      lingering      lingering      held           depreferenced  withdrawn      lingering      withdrawn      lingering      stopping
stopping       stopping       stopping       stopping       stopping       stopped        stopping       stopped        stopping       stopping
stopped        stopped        stopped        stopped        stopped        stopped        stopped        stopped        stopped        stopped
"""  # noqa: E501


class Exabgp:
    """What ExaBGP does with commands, obediently and at once: the outside of the speaker."""

    def __init__(
        self, now: float = 0.0, hold_max_s: float = 0.0, orphan_hold_s: float = 0.0, left: tuple[Route, ...] = ()
    ) -> None:
        self.now = now
        self.rib: dict[Prefix, Route] = {route.prefix: route for route in left}  # by an earlier bridge
        self.commands: list[Effect] = []
        self.speaker = Speaker((FIRST, SECOND), (Terms(ISP, 64501),), now, orphan_hold_s, HoldDown(hold_max_s))

    def feed(self, event: Event) -> None:
        effects = self.speaker.handle(event, self.now)
        while commands := [effect for effect in effects if not isinstance(effect, Note)]:
            assert len(commands) == 1, "one command in flight"
            self.commands += commands
            effects = self.speaker.handle(self.obey(commands[0]), self.now)

    def obey(self, command: Effect) -> CommandAnswered:
        match command:
            case Announce(_, route):
                self.rib[route.prefix] = route
            case Withdraw(_, prefix):
                self.rib.pop(prefix, None)
            case AskNeighbours():
                return CommandAnswered(True, sessions=(Session(ISP, "up", 7.0, 64500),))
            case AskRoutes():
                return CommandAnswered(True, rib={"2001:db8:1:a::1": tuple(map(str, self.rib))})
        return CommandAnswered(True)

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the speaker whenever it asked for it."""
        until = self.now + seconds
        while self.speaker.next_deadline() <= until:
            self.now = max(self.now, self.speaker.next_deadline())
            self.feed(TimeReached())
        self.now = until

    def renew(self, wanted: Wanted, linger_ms: int = LINGER_MS) -> None:
        self.feed(LeaseRenewed(wanted, f"wanted {wanted}", linger_ms, ROUTES))


def in_state(state: State) -> Exabgp:
    """An ExaBGP whose speaker was led to `state` by events alone."""
    left = ROUTES if state is State.INHERITED else ()
    exabgp = Exabgp(hold_max_s=60.0 if state is State.HELD else 0.0, left=left)
    if state is State.STARTING:
        return exabgp
    exabgp.feed(TimeReached())
    if state in (State.ANNOUNCED, State.LINGERING, State.STOPPING, State.STOPPED):
        exabgp.renew(Wanted.ANNOUNCE)
    if state is State.HELD:
        for wanted in (Wanted.ANNOUNCE, Wanted.DEPREFERENCE, Wanted.ANNOUNCE):
            exabgp.renew(wanted)
    if state is State.DEPREFERENCED:
        exabgp.renew(Wanted.DEPREFERENCE)
    if state is State.LINGERING:
        exabgp.feed(HolderLost())
    if state in (State.STOPPING, State.STOPPED):
        exabgp.feed(StopAsked(1000))
    if state is State.STOPPED:
        exabgp.wait(1.1)
    assert exabgp.speaker.state is state
    return exabgp


def reached(state: State, cue: Cue) -> State:
    """What the table says, for a site that is not held back unless it is already."""
    after = TABLE[state][cue]
    if state is State.STARTING:
        return State.WITHDRAWN  # ExaBGP clears at once here; a wish counts from its next renewal on
    return State.ANNOUNCED if after is State.HELD and state is not State.HELD else after


def test_the_table_is_what_it_should_be() -> None:
    header, *rows = (line.split() for line in EXPECTED.strip().splitlines())
    expected = {
        (State(row[0]), Cue(cue.replace("-", " "))): State(after)
        for row in rows
        for cue, after in zip(header, row[1:], strict=True)
    }
    assert expected == {(state, cue): TABLE[state][cue] for state, cue in product(State, Cue)}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("wanted", Wanted)
def test_every_wish_in_every_state_follows_the_table_and_reaches_the_rib(state: State, wanted: Wanted) -> None:
    exabgp = in_state(state)
    after = reached(state, Cue(wanted.value))
    exabgp.renew(wanted)
    assert exabgp.speaker.state is after
    expected = {route.prefix: route.depreferenced() if after in DEPREFERRING else route for route in ROUTES}
    assert exabgp.rib == (expected if after in DEPREFERRING or after is State.ANNOUNCED else {})
    assert set(exabgp.speaker.sent()) == set(exabgp.rib)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", [HolderLost(), StopAsked(1000)], ids=["holder lost", "stop asked"])
def test_a_lost_holder_and_a_stop_in_every_state_follow_the_table(state: State, event: Event) -> None:
    exabgp = in_state(state)
    exabgp.feed(event)
    after = TABLE[state][Cue.STOP if isinstance(event, StopAsked) else Cue.LEASE_ENDED]
    assert exabgp.speaker.state is (State.WITHDRAWN if after is State.STARTING else after)
    for route in exabgp.rib.values():
        assert "65535:0" in route.communities


@pytest.mark.parametrize("state", State)
def test_time_alone_withdraws_in_every_state(state: State) -> None:
    exabgp = in_state(state)
    exabgp.wait(LEASE_S + LINGER_MS / 1000)
    assert exabgp.rib == {}


def test_the_first_acts_are_two_questions_then_a_withdraw_and_only_then_an_announcement() -> None:
    exabgp = Exabgp()
    exabgp.renew(Wanted.ANNOUNCE)
    assert exabgp.commands == [AskRoutes(), AskNeighbours(), Withdraw(ISP, SECOND), Withdraw(ISP, FIRST)]
    exabgp.renew(Wanted.ANNOUNCE)
    assert exabgp.commands[4:6] == [Announce(ISP, ROUTES[1]), Announce(ISP, ROUTES[0])]


def test_what_an_earlier_bridge_left_stays_untouched_until_its_holder_is_back() -> None:
    """A holder may be busy for 150 ms, and then tries every 50."""
    assert RECONNECT_S <= 0.05
    exabgp = Exabgp(left=ROUTES)
    exabgp.feed(TimeReached())
    exabgp.wait(0.19)
    assert {route.prefix: route for route in ROUTES} == exabgp.rib
    assert not [c for c in exabgp.commands if isinstance(c, Withdraw | Announce)]
    exabgp.renew(Wanted.ANNOUNCE)
    assert {route.prefix: route for route in ROUTES} == exabgp.rib
    assert not [c for c in exabgp.commands if isinstance(c, Withdraw)]


@pytest.mark.parametrize(("mrai_s", "linger_s"), [(0, 1.0), (5, 10.0)])
def test_what_an_earlier_bridge_left_is_a_lease_that_ended_if_nobody_comes(mrai_s: int, linger_s: float) -> None:
    """It was withdrawn after a second however long the neighbours hold back what they hear."""
    exabgp = Exabgp(left=ROUTES)
    exabgp.speaker = Speaker((FIRST, SECOND), (Terms(ISP, 64501, mrai_s=mrai_s),), exabgp.now)
    exabgp.feed(TimeReached())
    exabgp.wait(0.2)
    assert [route.communities[:1] for route in exabgp.rib.values()] == [("65535:0",), ("65535:0",)]
    exabgp.wait(linger_s - 0.05)
    assert len(exabgp.rib) == 2
    exabgp.wait(0.05)
    assert exabgp.rib == {}


def test_what_is_not_shown_is_withdrawn_all_the_same_beside_what_is_inherited() -> None:
    exabgp = Exabgp(left=ROUTES[:1])
    exabgp.feed(TimeReached())
    assert exabgp.speaker.state is State.INHERITED
    assert exabgp.commands == [AskRoutes(), AskNeighbours(), Withdraw(ISP, SECOND)]


def test_an_expired_lease_depreferences_at_once_and_withdraws_after_the_linger() -> None:
    exabgp = in_state(State.ANNOUNCED)
    exabgp.wait(LEASE_S - 0.01)
    assert exabgp.rib == {route.prefix: route for route in ROUTES}
    exabgp.wait(0.01)
    assert exabgp.rib == {route.prefix: route.depreferenced() for route in ROUTES}
    assert exabgp.speaker.reason == "the lease ran out"
    exabgp.wait(LINGER_MS / 1000 - 0.01)
    assert len(exabgp.rib) == 2
    exabgp.wait(0.01)
    assert exabgp.rib == {}


def test_a_live_holder_may_stay_depreferenced_beyond_its_linger() -> None:
    """An isolated site never withdraws: its linger counts from the end of its lease."""
    exabgp = in_state(State.WITHDRAWN)
    for _ in range(100):
        exabgp.renew(Wanted.DEPREFERENCE, linger_ms=1000)
        exabgp.wait(0.1)
    assert exabgp.speaker.state is State.DEPREFERENCED
    assert len(exabgp.rib) == 2


def test_a_new_holder_resumes_without_a_withdraw() -> None:
    exabgp = in_state(State.LINGERING)
    exabgp.wait(1.0)
    before = len(exabgp.commands)
    exabgp.renew(Wanted.ANNOUNCE)
    assert exabgp.rib == {route.prefix: route for route in ROUTES}
    assert not [c for c in exabgp.commands[before:] if isinstance(c, Withdraw)]


def test_a_second_loss_does_not_lengthen_the_linger() -> None:
    exabgp = in_state(State.LINGERING)
    exabgp.wait(1.5)
    exabgp.feed(HolderLost())
    exabgp.wait(0.5)
    assert exabgp.rib == {}


def test_a_bridge_that_slept_over_lease_and_linger_withdraws_without_a_detour() -> None:
    exabgp = in_state(State.ANNOUNCED)
    before = len(exabgp.commands)
    exabgp.now += 60.0
    exabgp.feed(TimeReached())
    assert exabgp.rib == {}
    assert not [c for c in exabgp.commands[before:] if isinstance(c, Announce)]


def test_a_renewal_that_was_read_late_keeps_the_announcement() -> None:
    exabgp = in_state(State.ANNOUNCED)
    before = len(exabgp.commands)
    exabgp.now += 60.0
    exabgp.renew(Wanted.ANNOUNCE)
    assert not [c for c in exabgp.commands[before:] if isinstance(c, Withdraw | Announce)]


def test_changed_attributes_replace_the_route_without_a_withdraw() -> None:
    exabgp = in_state(State.ANNOUNCED)
    before = len(exabgp.commands)
    changed = (Route(FIRST, ("64500:1",), prepend=2), ROUTES[1])
    exabgp.feed(LeaseRenewed(Wanted.ANNOUNCE, "loaded", LINGER_MS, changed))
    assert exabgp.commands[before:] == [Announce(ISP, changed[0])]


def test_an_answer_that_does_not_come_is_overdue_and_nothing_else_is_sent() -> None:
    speaker = Speaker((FIRST,), (Terms(ISP, 64501),), 0.0)
    assert speaker.handle(TimeReached(), 0.0) == [AskRoutes()]
    assert speaker.handle(TimeReached(), 5.0) == []
    assert speaker.overdue_s(5.0) == 5.0
    assert not speaker.settled()


def test_a_refused_withdraw_is_tried_again_and_is_overdue_from_its_first_refusal() -> None:
    speaker = Speaker((FIRST,), (Terms(ISP, 64501),), 0.0)
    speaker.handle(TimeReached(), 0.0)
    assert speaker.handle(CommandAnswered(False), 0.0) == [AskNeighbours()]
    assert speaker.handle(CommandAnswered(True, sessions=()), 0.0) == [Withdraw(ISP, FIRST)]
    effects = speaker.handle(CommandAnswered(False), 0.1)
    assert [type(effect) for effect in effects] == [Note]
    assert speaker.state is State.STARTING
    assert speaker.next_deadline() <= 0.35
    assert speaker.handle(TimeReached(), 0.35) == [Withdraw(ISP, FIRST)]
    assert speaker.overdue_s(1.3) >= 1.1


def test_a_refused_announcement_is_not_reported_as_sent_and_does_not_hold_up_the_withdraw() -> None:
    exabgp = in_state(State.WITHDRAWN)
    speaker = exabgp.speaker
    assert speaker.handle(LeaseRenewed(Wanted.ANNOUNCE, "go", 1000, ROUTES[:1]), 0.01)[-1] == Announce(ISP, ROUTES[0])
    speaker.handle(CommandAnswered(False), 0.02)
    assert speaker.sent() == ()
    effects = speaker.handle(LeaseRenewed(Wanted.WITHDRAW, "dead", 1000, ()), 0.03)
    assert effects[-1] == Withdraw(ISP, FIRST)


def test_sessions_come_from_the_description_and_from_events() -> None:
    exabgp = in_state(State.WITHDRAWN)
    assert [(s.neighbour, s.state, s.since_s) for s in exabgp.speaker.sessions(1.0)] == [("2001:db8:1:a::1", "up", 8.0)]
    exabgp.now = 2.0
    exabgp.feed(NeighbourChanged("2001:db8:1:a::1", "down"))
    assert [(s.state, s.since_s) for s in exabgp.speaker.sessions(3.0)] == [("down", 1.0)]


def test_at_rest_there_is_a_heartbeat_and_now_and_then_a_description() -> None:
    exabgp = in_state(State.WITHDRAWN)
    before = len(exabgp.commands)
    exabgp.wait(60.0)
    kinds = [type(command) for command in exabgp.commands[before:]]
    assert 500 <= len(kinds) <= 650
    assert kinds.count(AskVersion) > 450
    assert kinds.count(AskNeighbours) >= 10
    assert kinds.count(AskRoutes) >= 10


WISHES = st.builds(
    LeaseRenewed,
    wanted=st.sampled_from(Wanted),
    reason=st.just("any"),
    linger_ms=st.sampled_from([0, 100, 1000, 5000]),
    routes=st.sampled_from([(), ROUTES[:1], ROUTES]),
)
OTHERS = st.builds(OthersHeard, st.none() | st.sampled_from([0.0, 0.9]))
EVENTS = (
    WISHES | OTHERS | st.just(HolderLost()) | st.builds(StopAsked, st.sampled_from([0, 1000])) | st.just(TimeReached())
)
PAUSES = st.sampled_from([0.0, 0.05, 0.1, 0.29, 0.31, 1.0, 6.0])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(EVENTS, PAUSES), max_size=30))
def test_nothing_outlives_lease_and_linger_whatever_happens(history: list[tuple[Event, float]]) -> None:
    """After the last renewal that wanted it, at most lease + linger passes until the RIB is empty; and undepreferenced
    routes live no longer than the lease."""
    exabgp = Exabgp()
    exabgp.feed(TimeReached())
    renewed_at, linger_s = float("-inf"), 0.0
    for event, pause in history:
        exabgp.feed(event)
        if isinstance(event, LeaseRenewed) and exabgp.speaker.state not in (State.STOPPING, State.STOPPED):
            renewed_at, linger_s = exabgp.now, event.linger_ms / 1000
        exabgp.wait(pause)
        age = exabgp.now - renewed_at
        if age >= LEASE_S:
            assert all("65535:0" in route.communities for route in exabgp.rib.values())
        if age >= LEASE_S + linger_s:
            assert exabgp.rib == {}
        if exabgp.speaker.state in (State.WITHDRAWN, State.STOPPED):
            assert exabgp.rib == {}
        assert exabgp.speaker.settled()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EVENTS, PAUSES, st.booleans()), max_size=30))
def test_refusals_and_late_answers_end_in_what_the_state_calls_for(history: list[tuple[Event, float, bool]]) -> None:
    """ExaBGP answers late and refuses at will; once it obeys again, its RIB is what the state calls for."""
    exabgp = Exabgp()
    speaker, in_flight = exabgp.speaker, None
    for event, pause, obeys in history:
        commands = [e for e in speaker.handle(event, exabgp.now) if not isinstance(e, Note)]
        assert not (in_flight and commands), "one command in flight"
        in_flight = commands[0] if commands else in_flight
        exabgp.now += pause
        if in_flight is not None:
            answer = exabgp.obey(in_flight) if obeys else CommandAnswered(False)
            commands = [e for e in speaker.handle(answer, exabgp.now) if not isinstance(e, Note)]
            in_flight = commands[0] if commands else None
    while in_flight is not None:
        commands = [e for e in speaker.handle(exabgp.obey(in_flight), exabgp.now) if not isinstance(e, Note)]
        in_flight = commands[0] if commands else None
    exabgp.wait(10.0)
    assert speaker.settled()
    assert exabgp.rib == {}
