"""Several home agents over a bad network: lost, late, doubled streams, and in the end equal caches."""

import random
from collections import deque
from dataclasses import replace

import pytest

from dataplane.entry import Prefix
from ha.effects import (
    AcknowledgeRecords,
    AskForRecords,
    Effect,
    SendBindingAck,
    SendRecords,
)
from ha.events import (
    ClockRead,
    Event,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    RecordsAcknowledged,
    RecordsReceived,
    TimeReached,
)
from ha.record import same
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from tests.ha.cast import (
    CARE_OF_1,
    CARE_OF_2,
    EPOCH,
    HOME,
    MNP,
    OVERWRITE,
    POLICY,
    Router,
    Site,
    address,
    both_lines,
    customer,
)

NOW = 100.0
OTHER_HOME = address("2001:db8:f000::52")
DAY_S = 86400.0
NAMES = ("site1", "site2", "site3")


class Mesh:
    """Sites joined by streams in memory: each is in order, any can be cut with what is under way lost."""

    def __init__(self, acknowledge: str = "any") -> None:
        policies = {name: replace(POLICY, site=name, acknowledge=acknowledge) for name in NAMES}
        self.sites = {name: Site(policies[name], [n for n in NAMES if n != name]) for name in NAMES}
        self.streams: dict[tuple[str, str], deque[Event]] = {}
        self.acks: list[tuple[str, SendBindingAck]] = []

    def join(self, sender: str, receiver: str, now: float) -> None:
        """The stream for `sender`'s changes comes up; nothing of an earlier one arrives any more."""
        self.streams[sender, receiver] = deque()
        self.streams[receiver + "*", sender] = deque()
        self.feed(receiver, PeerIdentified(sender, 1), now)

    def cut(self, sender: str, receiver: str, now: float) -> None:
        self.streams.pop((sender, receiver), None)
        self.streams.pop((receiver + "*", sender), None)
        self.feed(sender, PeerUnreachable(receiver), now)

    def feed(self, name: str, event: Event, now: float) -> None:
        for effect in self.sites[name].feed(event, now):
            self._carry(name, effect)

    def _carry(self, name: str, effect: Effect) -> None:
        match effect:
            case SendRecords(site, frame) if (name, site) in self.streams:
                self.streams[name, site].append(RecordsReceived(name, 1, frame))
            case AskForRecords(site, incarnation, since) if (name + "*", site) in self.streams:
                self.streams[name + "*", site].append(PeerAsked(name, incarnation, since))
            case AcknowledgeRecords(site, ack) if (name + "*", site) in self.streams:
                self.streams[name + "*", site].append(RecordsAcknowledged(name, ack))
            case SendBindingAck():
                self.acks.append((name, effect))

    def step(self, stream: tuple[str, str], now: float) -> None:
        if self.streams.get(stream):
            self.feed(stream[1], self.streams[stream].popleft(), now)

    def settle(self, now: float) -> None:
        while any(self.streams.values()):
            for stream in list(self.streams):
                self.step(stream, now)

    def join_all(self, now: float) -> None:
        for sender in NAMES:
            for receiver in NAMES:
                if sender != receiver:
                    self.join(sender, receiver, now)
        self.settle(now)


def test_any_waits_until_one_other_site_has_merged_and_installed() -> None:
    mesh = Mesh()
    mesh.join_all(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    assert mesh.acks == []
    mesh.step(("site1", "site2"), NOW)
    assert mesh.sites["site2"].plane.read()[HOME] == mesh.sites["site1"].plane.read()[HOME]
    assert mesh.acks == []
    mesh.step(("site2*", "site1"), NOW)
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ACCEPTED
    mesh.settle(NOW)
    assert len(mesh.acks) == 1
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "timeout") == 0


def test_a_silent_peer_delays_an_answer_only_until_the_timeout_and_that_is_counted() -> None:
    mesh = Mesh()
    mesh.join_all(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.feed("site1", TimeReached(), NOW + 0.04)
    assert mesh.acks == []
    mesh.feed("site1", TimeReached(), NOW + 0.06)
    assert len(mesh.acks) == 1
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "timeout") == 1


def test_a_site_without_peers_answers_at_once_and_counts_it() -> None:
    mesh = Mesh()
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    assert len(mesh.acks) == 1
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "no_peer") == 1


def test_all_waits_for_every_reachable_site() -> None:
    mesh = Mesh("all")
    mesh.join_all(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site1", "site2"), NOW)
    mesh.step(("site2*", "site1"), NOW)
    assert mesh.acks == []
    mesh.settle(NOW)
    assert len(mesh.acks) == 1


def test_a_peer_that_was_away_resumes_where_it_was() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    mesh.cut("site1", "site3", NOW)
    mesh.feed("site1", router.update(NOW, (BindingIdentifier(2),), lifetime_s=0), NOW)
    mesh.settle(NOW)
    assert len(mesh.sites["site3"].plane.read()[HOME].paths) == 2
    mesh.join("site1", "site3", NOW)
    mesh.settle(NOW)
    assert [path.care_of for path in mesh.sites["site3"].plane.read()[HOME].paths] == [CARE_OF_1]


def test_a_replay_at_another_site_is_refused_there() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    heard = router.update(NOW, both_lines())
    mesh.feed("site1", heard, NOW)
    mesh.settle(NOW)
    mesh.acks.clear()
    mesh.feed("site2", heard, NOW + 1)
    [(name, ack)] = mesh.acks
    assert (name, ack.ack.status) == ("site2", Status.ID_MISMATCH)


def test_a_record_from_the_future_is_quarantined() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW + 60, both_lines()), NOW + 60)  # site1's clock is a minute ahead
    mesh.step(("site1", "site2"), NOW)
    assert mesh.sites["site2"].counters.get("records_quarantined") == 1
    assert mesh.sites["site2"].agent.cache.records == {}


def test_a_quarantined_record_is_not_acknowledged_to_the_site_that_waits_for_it() -> None:
    """A site whose clock was a day behind quarantined every record and said it had it: routers were told status 0."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW + 60, both_lines()), NOW + 60)
    mesh.step(("site1", "site2"), NOW)
    mesh.step(("site2*", "site1"), NOW + 60)
    assert mesh.sites["site2"].counters.get("records_quarantined") == 1
    assert mesh.acks == []


def test_what_a_wrong_clock_wrote_gives_way_to_what_the_router_told_another_site() -> None:
    """A site that was a day ahead for a second held on to what it had heard then for a day; the sites differed."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", ClockRead(EPOCH + DAY_S), NOW)
    mesh.feed("site1", router.update(NOW + DAY_S, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    mesh.feed("site1", ClockRead(EPOCH), NOW + 1)
    right = Router(sequence=router.sequence)
    mesh.feed("site2", right.update(NOW + 1, both_lines()[:1]), NOW + 1)
    mesh.settle(NOW + 1)
    records = [mesh.sites[name].agent.cache.records[HOME] for name in ("site1", "site2")]
    assert same(*records)
    assert [path.care_of for path in mesh.sites["site1"].plane.read()[HOME].paths] == [CARE_OF_1]


def two_customers(name: str) -> Site:
    site = Site(replace(POLICY, site=name), [other for other in NAMES if other != name])
    other = Prefix(MNP.network[:6] + b"\x77" + MNP.network[7:], MNP.length)
    site.load(customer(), customer(home_address=OTHER_HOME, prefixes=(other,)))
    return site


@pytest.mark.parametrize("refused", [HOME, OTHER_HOME, None])
def test_a_frame_of_several_records_is_acknowledged_when_all_of_them_are_installed(refused: bytes | None) -> None:
    """The first record in the kernel acknowledged the whole frame, also for a record that the kernel refused."""
    sender, receiver = two_customers("site1"), two_customers("site2")
    sender.feed(Router().update(NOW, both_lines()), NOW)
    sender.feed(Router(home=OTHER_HOME).update(NOW, both_lines()), NOW)
    [sent] = [one for one in sender.feed(PeerAsked("site2", 0, 0), NOW) if isinstance(one, SendRecords)]
    receiver.plane.refuse(refused)
    done = receiver.feed(RecordsReceived("site1", 1, sent.frame), NOW)
    acknowledged = [one.frame.index for one in done if isinstance(one, AcknowledgeRecords)]
    assert acknowledged == ([] if refused else [2])


@pytest.mark.parametrize("seed", range(40))
def test_sites_are_equal_after_quiet_whatever_happened(seed: int) -> None:
    random_ = random.Random(seed)
    mesh, router, now = Mesh(), Router(), NOW
    mesh.join_all(now)
    for _ in range(150):
        now += random_.choice((0.0, 0.001, 0.3))
        sender, receiver = random_.sample(NAMES, 2)
        match random_.randrange(10):
            case 0:
                mesh.cut(sender, receiver, now)
            case 1:
                mesh.join(sender, receiver, now)
            case 2 | 3 | 4:
                bids = [
                    BindingIdentifier(bid, care_of=random_.choice((CARE_OF_1, CARE_OF_1[:-1] + bytes([bid]))))
                    for bid in random_.sample((1, 2), random_.randint(0, 2))
                ]
                flags = OVERWRITE if random_.random() < 0.3 else router.update(now).update.flags
                source = random_.choice((CARE_OF_1, CARE_OF_2))
                lifetime_s = random_.choice((0, 60, 120))
                mesh.feed(sender, router.update(now, bids, lifetime_s=lifetime_s, flags=flags, source=source), now)
            case 5:
                mesh.feed(sender, TimeReached(), now)
            case _:
                mesh.step(random_.choice(list(mesh.streams)), now)
    mesh.join_all(now)
    records = [site.agent.cache.records.get(HOME) for site in mesh.sites.values()]
    assert all(record is not None for record in records) or not any(records)
    for record in records[1:]:
        assert record is None or (records[0] is not None and same(records[0], record))
    kernels = [site.plane.read() for site in mesh.sites.values()]
    assert kernels[0] == kernels[1] == kernels[2]
