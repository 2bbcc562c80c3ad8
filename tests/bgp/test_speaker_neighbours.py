"""The speaker with several neighbours: each is told on its own terms, and none holds up another."""

from ipaddress import ip_network

from bgp.events import (
    AskNeighbours,
    CommandAnswered,
    Effect,
    Event,
    LeaseRenewed,
    NeighboursGiven,
    Note,
    Session,
    TimeReached,
    Wanted,
)
from bgp.route import Announce, Place, Route, Terms, Withdraw
from bgp.speaker import Speaker
from bgp.states import State

AGGREGATE = ip_network("2001:db8:f000::/36")
ROUTE = Route(AGGREGATE, ("64500:1",), med=50)
ISP, SECOND, ROUTER = "2001:db8:1:a::1", "2001:db8:1:a::2", "2001:db8:1:a::3"
NEIGHBOURS = (Terms(ISP, 64501), Terms(SECOND, 64502, ("64500:9",), 2, 7), Terms(ROUTER, 64500))


class Exabgp:
    """ExaBGP that knows some of these neighbours and refuses commands about others."""

    def __init__(self, *, known: tuple[str, ...] = (ISP, SECOND, ROUTER)) -> None:
        self.now, self.known = 0.0, known
        self.refusing: set[str] = set()
        self.rib: dict[Place, Route] = {}
        self.commands: list[Effect] = []
        self.speaker = Speaker((AGGREGATE,), NEIGHBOURS, 0.0)

    def feed(self, event: Event) -> None:
        effects = self.speaker.handle(event, self.now)
        while commands := [effect for effect in effects if not isinstance(effect, Note)]:
            assert len(commands) == 1, "one command in flight"
            self.commands += commands
            effects = self.speaker.handle(self.answer(commands[0]), self.now)

    def answer(self, command: Effect) -> CommandAnswered:
        match command:
            case Announce(neighbour) | Withdraw(neighbour) if neighbour in self.refusing or neighbour not in self.known:
                return CommandAnswered(False)
            case Announce(neighbour, route):
                self.rib[neighbour, route.prefix] = route
            case Withdraw(neighbour, prefix):
                self.rib.pop((neighbour, prefix), None)
            case AskNeighbours():
                return CommandAnswered(True, sessions=tuple(Session(one, "up", 1.0, 64500) for one in self.known))
        return CommandAnswered(True)

    def renew(self, wanted: Wanted) -> None:
        self.feed(LeaseRenewed(wanted, "test", 1000, (ROUTE,)))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while self.speaker.next_deadline() <= until:
            self.now = max(self.now, self.speaker.next_deadline())
            self.feed(TimeReached())
        self.now = until


def test_each_neighbour_is_told_on_its_own_terms() -> None:
    exabgp = Exabgp()
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    assert exabgp.commands[2:5] == [Withdraw(one, AGGREGATE) for one in (ISP, SECOND, ROUTER)]
    assert exabgp.rib == {
        (ISP, AGGREGATE): ROUTE,
        (SECOND, AGGREGATE): Route(AGGREGATE, ("64500:1", "64500:9"), med=7, prepend=2),
        (ROUTER, AGGREGATE): ROUTE,
    }
    exabgp.renew(Wanted.DEPREFERENCE)
    assert all(route.communities[0] == "65535:0" for route in exabgp.rib.values())
    exabgp.renew(Wanted.WITHDRAW)
    assert exabgp.rib == {}
    assert exabgp.speaker.sent() == ()


def test_a_refused_announcement_to_one_neighbour_does_not_hold_up_the_others() -> None:
    exabgp = Exabgp()
    exabgp.feed(TimeReached())
    exabgp.refusing = {ISP}
    exabgp.renew(Wanted.ANNOUNCE)
    assert set(exabgp.rib) == {(SECOND, AGGREGATE), (ROUTER, AGGREGATE)}
    assert exabgp.speaker.sent() == (AGGREGATE,)
    assert not exabgp.speaker.settled()
    exabgp.refusing = set()
    exabgp.wait(0.28)
    assert exabgp.rib[ISP, AGGREGATE] == ROUTE
    assert exabgp.speaker.settled()


def test_a_refused_withdraw_from_one_neighbour_does_not_hold_up_the_others_and_is_overdue() -> None:
    exabgp = Exabgp()
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    exabgp.refusing = {ISP}
    exabgp.renew(Wanted.WITHDRAW)
    assert set(exabgp.rib) == {(ISP, AGGREGATE)}
    exabgp.wait(1.5)
    assert exabgp.speaker.overdue_s(exabgp.now) > 1.0, "the supervisor ends ExaBGP over this"


def test_a_neighbour_that_exabgp_does_not_know_is_left_out() -> None:
    exabgp = Exabgp(known=(ISP, SECOND))
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    assert exabgp.speaker.state is State.ANNOUNCED
    assert set(exabgp.rib) == {(ISP, AGGREGATE), (SECOND, AGGREGATE)}
    assert exabgp.speaker.settled()
    assert exabgp.speaker.overdue_s(exabgp.now) == 0.0


def test_a_session_that_exabgp_lists_as_down_is_no_reason_to_leave_it_out() -> None:
    exabgp = Exabgp()
    exabgp.speaker.handle(TimeReached(), 0.0)
    sessions = tuple(Session(one, "down", 1.0, 64500) for one in (ISP, SECOND, ROUTER))
    assert exabgp.speaker.handle(CommandAnswered(True, rib={}), 0.0) == [AskNeighbours()]
    exabgp.speaker.handle(CommandAnswered(True, sessions=sessions), 0.0)
    for _ in range(3):
        exabgp.speaker.handle(CommandAnswered(True), 0.0)
    exabgp.renew(Wanted.ANNOUNCE)
    assert len(exabgp.rib) == 3


def test_one_that_goes_is_told_a_withdraw_and_the_others_nothing() -> None:
    exabgp = Exabgp()
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    exabgp.commands.clear()
    exabgp.feed(NeighboursGiven((NEIGHBOURS[0], NEIGHBOURS[2])))
    assert exabgp.commands == [Withdraw(SECOND, AGGREGATE), AskNeighbours()]
    assert set(exabgp.rib) == {(ISP, AGGREGATE), (ROUTER, AGGREGATE)}
    assert exabgp.speaker.settled()
    assert exabgp.speaker.described


def test_one_that_comes_is_told_when_exabgp_knows_it() -> None:
    exabgp = Exabgp(known=(ISP,))
    exabgp.speaker = Speaker((AGGREGATE,), NEIGHBOURS[:1], 0.0)
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    exabgp.known = (ISP, SECOND)
    exabgp.commands.clear()
    exabgp.feed(NeighboursGiven(NEIGHBOURS[:2]))
    assert [one.neighbour for one in exabgp.commands if isinstance(one, Announce)] == [SECOND]
    assert exabgp.rib[SECOND, AGGREGATE].med == 7


def test_new_terms_are_one_announcement_to_that_neighbour() -> None:
    exabgp = Exabgp()
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    exabgp.commands.clear()
    exabgp.feed(NeighboursGiven((NEIGHBOURS[0], Terms(SECOND, 64502, med=9), NEIGHBOURS[2])))
    assert [one for one in exabgp.commands if not isinstance(one, AskNeighbours)] == [
        Announce(SECOND, Route(AGGREGATE, ("64500:1",), med=9))
    ]


def test_one_that_only_exabgp_knows_may_have_our_route_and_is_told_a_withdraw() -> None:
    exabgp = Exabgp()
    exabgp.speaker = Speaker((AGGREGATE,), NEIGHBOURS[:1], 0.0)
    exabgp.rib[SECOND, AGGREGATE] = ROUTE  # from a bridge before us
    exabgp.feed(TimeReached())
    exabgp.wait(0.2)
    assert exabgp.rib == {}
    assert exabgp.speaker.state is State.WITHDRAWN
    exabgp.renew(Wanted.ANNOUNCE)
    assert set(exabgp.rib) == {(ISP, AGGREGATE)}


def test_who_was_given_up_and_comes_again_is_told_again() -> None:
    exabgp = Exabgp()
    exabgp.feed(TimeReached())
    exabgp.renew(Wanted.ANNOUNCE)
    exabgp.feed(NeighboursGiven(NEIGHBOURS[:1]))
    exabgp.known = (ISP,)
    exabgp.feed(NeighboursGiven(NEIGHBOURS[:1]))
    assert set(exabgp.rib) == {(ISP, AGGREGATE)}
    exabgp.known = (ISP, SECOND)
    exabgp.feed(NeighboursGiven(NEIGHBOURS[:2]))
    assert set(exabgp.rib) == {(ISP, AGGREGATE), (SECOND, AGGREGATE)}
    assert exabgp.speaker.settled()
