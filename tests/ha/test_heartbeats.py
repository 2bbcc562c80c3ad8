"""The care-of test: who hears at an address and proves it may have traffic there; a claim alone moves nothing."""

from dataclasses import dataclass, field, replace

from ha import cookie
from ha.effects import SendRecords, SendToRouter
from ha.events import HeartbeatReceived, RecordsReceived
from ha.frames import StateSyncReply
from mip6 import auth, care_of_proof, header, ntp
from mip6.messages import Heartbeat
from mip6.options import BindingIdentifier, MessageIdentification, Option, RestartCounter
from tests.ha.cast import (
    CARE_OF_1,
    CARE_OF_2,
    CARE_OF_3,
    EPOCH,
    HOME,
    HOME_AGENT,
    KEY,
    OVERWRITE,
    POLICY,
    Router,
    Site,
    both_lines,
    customer,
)

NOW = 100.0
SECRET = b"s" * 32
CHECKING = replace(POLICY, cookie_key=SECRET)


def heartbeat(
    source: bytes,
    *more: Option,
    now: float = NOW,
    key: auth.SecurityAssociation = KEY,
    home: bytes = HOME,
    message_id: bool = True,
) -> HeartbeatReceived:
    options = [care_of_proof.identifier(home), *more]
    if message_id:
        options.append(MessageIdentification(ntp.to_timestamp(EPOCH + now)))
    octets = auth.encode_signed(Heartbeat(9, options=tuple(options)), key, source, home, source, HOME_AGENT)
    message = header.decode(octets, source, HOME_AGENT)
    assert isinstance(message, Heartbeat)
    return HeartbeatReceived(message, octets, source)


@dataclass
class Office:
    """A site at which a router registered two lines from line 1."""

    site: Site = field(default_factory=lambda: Site(policy=CHECKING))
    router: Router = field(default_factory=Router)

    def __post_init__(self) -> None:
        self.site.feed(self.router.update(NOW, both_lines()), NOW)

    def carrying(self) -> set[int]:
        """BIDs of the best priority: those that the kernel gives traffic to."""
        paths = self.site.plane.read()[HOME].paths
        best = min(path.priority for path in paths)
        return {path.bid for path in paths if path.priority == best}

    def beat(self, event: HeartbeatReceived, now: float = NOW) -> Heartbeat | None:
        answers = [effect for effect in self.site.feed(event, now) if isinstance(effect, SendToRouter)]
        assert all(answer.care_of == event.source and not answer.routed for answer in answers)
        message = answers[0].message if answers else None
        assert message is None or isinstance(message, Heartbeat)
        return message

    def cookie(self, source: bytes, now: float = NOW) -> bytes:
        answer = self.beat(heartbeat(source, now=now), now)
        assert answer is not None
        found = care_of_proof.cookie(answer)
        assert found is not None
        return found


def test_only_the_line_that_spoke_has_traffic_and_the_other_may_speak_in_its_tunnel() -> None:
    office = Office()
    assert office.carrying() == {1}
    assert {path.bid for path in office.site.plane.read()[HOME].paths} == {1, 2}


def test_the_echo_of_the_cookie_gives_the_line_its_traffic_and_the_next_answer_has_no_cookie() -> None:
    office = Office()
    first = office.beat(heartbeat(CARE_OF_2))
    assert first is not None
    assert (first.sequence, first.response) == (9, True)
    assert first.first(RestartCounter) == RestartCounter(0)
    given = care_of_proof.cookie(first)
    assert given is not None and office.carrying() == {1}
    answer = office.beat(heartbeat(CARE_OF_2, care_of_proof.cookie_option(given)))
    assert answer is not None and care_of_proof.cookie(answer) is None
    assert office.carrying() == {1, 2}
    assert office.site.counters.get("care_of_addresses_verified") == 1


def test_a_verified_line_is_told_so_at_once() -> None:
    office = Office()
    answer = office.beat(heartbeat(CARE_OF_1))
    assert answer is not None and care_of_proof.cookie(answer) is None


def test_a_cookie_is_good_for_its_own_address_and_time_only() -> None:
    office = Office()
    given = office.cookie(CARE_OF_2)
    where = (SECRET, CARE_OF_2, HOME, EPOCH + NOW)
    assert cookie.is_good(given, *where)
    assert cookie.is_good(given, SECRET, CARE_OF_2, HOME, EPOCH + NOW + cookie.STRETCH_S)
    assert not cookie.is_good(given, SECRET, CARE_OF_2, HOME, EPOCH + NOW + 2 * cookie.STRETCH_S)
    assert not cookie.is_good(given, SECRET, CARE_OF_3, HOME, EPOCH + NOW)
    assert not cookie.is_good(given, b"t" * 32, CARE_OF_2, HOME, EPOCH + NOW)
    stale = heartbeat(CARE_OF_2, care_of_proof.cookie_option(given), now=NOW + 110)
    answer = office.beat(stale, NOW + 110)
    assert answer is not None and care_of_proof.cookie(answer) not in (None, given)
    assert office.carrying() == {1}


def test_what_proves_nothing_is_not_answered_and_counted() -> None:
    office = Office()
    stranger = auth.SecurityAssociation(256, "hmac-sha256-128", b"x" * 32)
    cases = {
        "authentication_failed": heartbeat(CARE_OF_2, key=stranger),
        "spi_unknown": heartbeat(CARE_OF_2, key=auth.SecurityAssociation(257, "hmac-sha256-128", b"k" * 32)),
        "message_id_missing": heartbeat(CARE_OF_2, message_id=False),
        "message_id_outside_window": heartbeat(CARE_OF_2, now=NOW - 8),
        "care_of_unknown": heartbeat(CARE_OF_3),
        "home_address_unknown": heartbeat(CARE_OF_2, home=CARE_OF_3),
        "response_unasked": replace(heartbeat(CARE_OF_2), message=Heartbeat(9, response=True)),
    }
    before = dict(office.site.agent.cache.records)
    for reason, event in cases.items():
        assert office.beat(event) is None, reason
        assert office.site.counters.get("heartbeats_discarded", reason) == 1, reason
    assert office.site.agent.cache.records == before


def test_a_router_that_beats_too_often_is_not_answered_for_a_while() -> None:
    office = Office()
    answers = [office.beat(heartbeat(CARE_OF_1)) for _ in range(200)]
    assert 10 < sum(answer is not None for answer in answers) < 100
    assert office.beat(heartbeat(CARE_OF_1, now=NOW + 11), NOW + 11) is not None


def test_a_stranger_learns_that_we_live_within_the_strangers_budget() -> None:
    office = Office()
    plain = HeartbeatReceived(Heartbeat(3), b"", CARE_OF_3)
    answer = office.beat(plain)
    assert answer == Heartbeat(3, response=True, options=(RestartCounter(0),))
    assert 50 < sum(office.beat(plain) is not None for _ in range(300)) < 150


def test_a_refresh_keeps_the_proof_and_another_address_needs_another() -> None:
    office = Office()
    office.beat(heartbeat(CARE_OF_2, care_of_proof.cookie_option(office.cookie(CARE_OF_2))))
    office.site.feed(office.router.update(NOW + 60, (BindingIdentifier(1), BindingIdentifier(2))), NOW + 60)
    assert office.carrying() == {1, 2}
    office.site.feed(office.router.update(NOW + 61, both_lines(), flags=OVERWRITE), NOW + 61)
    assert office.carrying() == {1, 2}
    moved = (BindingIdentifier(1, care_of=CARE_OF_1), BindingIdentifier(2, care_of=CARE_OF_3))
    office.site.feed(office.router.update(NOW + 62, moved), NOW + 62)
    assert office.carrying() == {1}


def test_without_the_check_all_lines_have_traffic_at_once() -> None:
    site, router = Site(policy=CHECKING), Router()
    site.load(customer(verify_care_of=False))
    site.feed(router.update(NOW, both_lines()), NOW)
    assert {path.priority for path in site.plane.read()[HOME].paths} == {0}


def test_the_only_line_has_traffic_even_if_nothing_is_proved() -> None:
    site, router = Site(policy=CHECKING), Router()
    site.feed(router.update(NOW, (BindingIdentifier(2, care_of=CARE_OF_2),)), NOW)
    assert [path.bid for path in site.plane.read()[HOME].paths] == [2]


def test_a_proof_at_one_site_counts_at_the_others() -> None:
    here, there = Office(Site(policy=CHECKING, sites=("site2",))), Site(policy=replace(CHECKING, site="site2"))
    given = here.cookie(CARE_OF_2)
    there_office = Office(there)
    there_office.router.sequence = 0
    answer = there_office.beat(heartbeat(CARE_OF_2, care_of_proof.cookie_option(given)))
    assert answer is not None and care_of_proof.cookie(answer) is None  # the cookie of another site
    assert there_office.carrying() == {1, 2}


def test_verification_travels_in_the_record() -> None:
    one = Office()
    one.beat(heartbeat(CARE_OF_2, care_of_proof.cookie_option(one.cookie(CARE_OF_2))))
    records = tuple(one.site.agent.snapshot(NOW))
    two = Site(policy=replace(CHECKING, site="site2"), sites=("site1",))
    two.feed(RecordsReceived("site1", 1, StateSyncReply(1, records, True)), NOW)
    assert {path.priority for path in two.plane.read()[HOME].paths} == {0}


def test_the_peers_are_told_of_a_proof() -> None:
    from ha.events import PeerAsked

    office = Office(Site(policy=CHECKING, sites=("site2",)))
    office.site.feed(PeerAsked("site2", 0, 0), NOW)
    given = office.cookie(CARE_OF_2)
    effects = office.site.feed(heartbeat(CARE_OF_2, care_of_proof.cookie_option(given)), NOW)
    [sent] = [effect for effect in effects if isinstance(effect, SendRecords)]
    assert all(cell.verified for record in sent.frame.records for cell in record.cells.values())
