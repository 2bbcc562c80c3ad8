"""Several home agents over a bad network: lost, late, doubled streams, and in the end equal caches."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dataplane.entry import Prefix
from ha import frames
from ha.effects import AcknowledgeRecords, AskForRecords, Effect, SendBindingAck, SendRecords
from ha.events import (
    DataPlaneChecked,
    HelloReceived,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    RecordsAcknowledged,
    RecordsReceived,
    SelfTested,
    TimeReached,
)
from ha.frames import Hello, StateSyncAck, StateSyncReply
from ha.record import same
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from tests.ha.cast import (
    CARE_OF_1,
    CARE_OF_2,
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
from tests.ha.mesh import NAMES, Mesh

NOW = 100.0
OTHER_HOME = address("2001:db8:f000::52")
DAY_S = 86400.0


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


def test_one_frame_acknowledges_several_changes() -> None:
    site = Site(replace(POLICY, site="site1", acknowledge="any"), ["site2"])
    site.feed(PeerAsked("site2", 0, 0), NOW)
    other = Prefix(MNP.network[:6] + b"\x77" + MNP.network[7:], MNP.length)
    site.load(customer(), customer(home_address=OTHER_HOME, prefixes=(other,)))
    for home in (HOME, OTHER_HOME):
        done = site.feed(Router(home=home).update(NOW, both_lines()), NOW)
        assert not [one for one in done if isinstance(one, SendBindingAck)]
    done = site.feed(RecordsAcknowledged("site2", StateSyncAck(1, also=(2,))), NOW)
    assert [one.signed_home_address for one in done if isinstance(one, SendBindingAck)] == [HOME, OTHER_HOME]


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


def test_local_waits_for_nobody_and_no_answer_of_it_is_degraded() -> None:
    mesh = Mesh("local")
    mesh.join_all(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ACCEPTED
    mesh.settle(NOW)
    assert len(mesh.acks) == 1
    assert not [name for name in mesh.sites["site1"].counters.as_dict() if name.startswith("acknowledged_degraded")]


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


def test_a_peer_that_started_anew_is_asked_for_everything() -> None:
    """It numbers its changes from 1 again: whoever asked for those after the third would never hear the first three."""
    site = Site(sites=["site2"])
    site.feed(PeerIdentified("site2", 1), NOW)
    site.feed(RecordsReceived("site2", 1, StateSyncReply(0, (), True)), NOW)
    for index in (1, 2, 3):
        site.feed(RecordsReceived("site2", 1, StateSyncReply(index, (), False)), NOW)
    assert site.feed(PeerIdentified("site2", 1), NOW) == [AskForRecords("site2", 1, 3)]
    assert site.feed(PeerIdentified("site2", 2), NOW) == [AskForRecords("site2", 0, 0)]


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


def two_customers(name: str, slice_records: int = 200) -> Site:
    site = Site(replace(POLICY, site=name, slice_records=slice_records), [other for other in NAMES if other != name])
    other = Prefix(MNP.network[:6] + b"\x77" + MNP.network[7:], MNP.length)
    site.load(customer(), customer(home_address=OTHER_HOME, prefixes=(other,)))
    return site


def test_a_peer_that_was_cut_off_while_it_caught_up_misses_nothing_in_the_end() -> None:
    """A change between two slices moves no resume point: what was to come behind it is asked for again."""
    sites = {name: two_customers(name, slice_records=1) for name in NAMES[:2]}
    sender, receiver = sites.values()
    first, second = Router(), Router(home=OTHER_HOME)
    sender.feed(first.update(NOW, both_lines()), NOW)
    sender.feed(second.update(NOW, both_lines()), NOW)
    receiver.feed(PeerIdentified("site1", 1), NOW)
    slice_ = records_for("site2", sender.feed(PeerAsked("site2", 0, 0), NOW))
    between = records_for("site2", sender.feed(first.update(NOW + 0.001, both_lines()[:1]), NOW + 0.001))
    for frame in slice_ + between:
        receiver.feed(RecordsReceived("site1", 1, frame), NOW + 0.002)
    assert HOME in receiver.agent.cache.records
    assert OTHER_HOME not in receiver.agent.cache.records

    sender.feed(PeerUnreachable("site2"), NOW + 1)
    assert records_for("site2", sender.feed(TimeReached(), NOW + 2)) == []
    [asked] = receiver.feed(PeerIdentified("site1", 1), NOW + 3)
    assert isinstance(asked, AskForRecords)
    frames = records_for("site2", sender.feed(PeerAsked("site2", asked.incarnation, asked.since), NOW + 3))
    for late_s in (3.1, 3.2):
        frames += records_for("site2", sender.feed(TimeReached(), NOW + late_s))
    assert [len(frame.records) for frame in frames] == [1, 1]
    assert [frame.complete for frame in frames] == [False, True]
    for frame in frames:
        receiver.feed(RecordsReceived("site1", 1, frame), NOW + 4)
    assert all(
        same(sender.agent.cache.records[home], receiver.agent.cache.records[home]) for home in (HOME, OTHER_HOME)
    )
    [asked] = receiver.feed(PeerIdentified("site1", 1), NOW + 5)
    assert asked == AskForRecords("site1", 1, 3)


def records_for(site: str, effects: Sequence[Effect]) -> list[StateSyncReply]:
    return [one.frame for one in effects if isinstance(one, SendRecords) and one.site == site]


@pytest.mark.parametrize("refused", [HOME, OTHER_HOME, None])
def test_a_frame_of_several_records_is_acknowledged_when_all_of_them_are_installed(refused: bytes | None) -> None:
    """The first record in the kernel acknowledged the whole frame, also for a record that the kernel refused."""
    sender, receiver = two_customers("site1"), two_customers("site2")
    sender.feed(Router().update(NOW, both_lines()), NOW)
    sender.feed(Router(home=OTHER_HOME).update(NOW, both_lines()), NOW)
    [sent] = records_for("site2", sender.feed(PeerAsked("site2", 0, 0), NOW))
    receiver.plane.refuse(refused)
    done = receiver.feed(RecordsReceived("site1", 1, StateSyncReply(2, sent.records, False)), NOW)
    acknowledged = [one.frame.index for one in done if isinstance(one, AcknowledgeRecords)]
    assert acknowledged == ([] if refused else [2])


def test_the_end_of_a_full_set_acknowledges_no_change_that_is_not_yet_installed() -> None:
    """A router was told status 0, and that another site had its binding, by the end of a set that was empty."""
    sender, receiver = Site(replace(POLICY, site="site1", acknowledge="any"), ["site2"]), two_customers("site2")
    sender.feed(PeerAsked("site2", 0, 0), NOW)
    sent = records_for("site2", sender.feed(Router().update(NOW, both_lines()), NOW))
    receiver.hold_reports = True
    done = [one for frame in sent for one in receiver.feed(RecordsReceived("site1", 1, frame), NOW)]
    done += receiver.feed(RecordsReceived("site1", 1, StateSyncReply(1, (), True)), NOW)
    assert not [one for one in done if isinstance(one, AcknowledgeRecords)]
    [ack] = [one for one in receiver.report(receiver.held, NOW) if isinstance(one, AcknowledgeRecords)]
    assert ack.frame.index == 1


def test_what_two_peers_tell_a_site_that_starts_is_ordered_once() -> None:
    """Each of 100,000 customers was planned and ordered twice, and a takeover was a third longer for it."""
    sender, receiver = two_customers("site1"), two_customers("site2")
    sender.feed(Router().update(NOW, both_lines()), NOW)
    [sent] = records_for("site2", sender.feed(PeerAsked("site2", 0, 0), NOW))
    receiver.hold_reports = True
    for peer in ("site1", "site3"):
        receiver.feed(RecordsReceived(peer, 1, sent), NOW)
    assert [order.home_address for order in receiver.held] == [HOME]
    receiver.report(receiver.held, NOW)
    assert HOME in receiver.plane.read()


def test_a_site_that_heard_of_everybody_is_not_ready_before_its_kernel_has_them() -> None:
    """For 5 s a new site drew the traffic of 70,000 customers that it could not forward yet."""
    sender, site = Site(replace(POLICY, site="site2"), ["site1"]), Site(sites=["site2"])
    sender.feed(Router().update(NOW, both_lines()), NOW)
    sent = records_for("site1", sender.feed(PeerAsked("site1", 0, 0), NOW))
    site.feed(DataPlaneChecked(egress_present=True), NOW)
    site.feed(SelfTested(None), NOW)
    site.hold_reports = True
    site.feed(HelloReceived("site2", Hello(site.agent.state.clock(NOW), "ANNOUNCED", "announced", True, 1)), NOW)
    for frame in sent:
        site.feed(RecordsReceived("site2", 1, frame), NOW)
    site.feed(TimeReached(), NOW + 0.2)
    assert [order.home_address for order in site.held] == [HOME]
    assert site.agent.serving.decision.starting
    site.report(site.held, NOW + 0.2)
    site.feed(TimeReached(), NOW + 0.4)
    assert site.agent.serving.decision.wanted == "announce"


def greeted(site: Site, now: float) -> list[Effect]:
    """The site hears its peer, and its tick comes."""
    hello = Hello(site.agent.state.clock(now), "ANNOUNCED", "announced", True, 1)
    return [*site.feed(HelloReceived("site2", hello), now), *site.feed(TimeReached(), now + 0.01)]


@pytest.mark.parametrize("ticks", [True, False], ids=["cut off", "stood still"])
def test_who_missed_much_asks_again_and_is_not_preferred_before_its_kernel_knows_it(ticks: bool) -> None:
    """A greeting ended its isolation: it drew the traffic of customers who had registered elsewhere meanwhile."""
    sender, site = Site(replace(POLICY, site="site2"), ["site1"]), Site(sites=["site2"])
    for event in (DataPlaneChecked(egress_present=True), SelfTested(None), PeerIdentified("site2", 1)):
        site.feed(event, NOW)
    site.feed(RecordsReceived("site2", 1, StateSyncReply(1, (), True)), NOW)
    greeted(site, NOW + 0.2)
    assert site.agent.serving.decision.wanted == "announce"
    if ticks:
        for second in range(1, 31):
            site.feed(TimeReached(), NOW + second)
        assert "isolated" in site.agent.serving.decision.reasons[0]
    asked = [one for one in greeted(site, NOW + 31) if isinstance(one, AskForRecords)]
    assert asked == [AskForRecords("site2", 1, 1)]
    greeted(site, NOW + 31.2)
    assert site.agent.serving.decision.wanted == "depreference"
    sender.feed(Router().update(NOW + 31, both_lines()), NOW + 31)
    site.hold_reports = True
    for frame in records_for("site1", sender.feed(PeerAsked("site1", 0, 0), NOW + 31)):
        site.feed(RecordsReceived("site2", 1, frame), NOW + 31.3)
    greeted(site, NOW + 31.4)
    assert site.agent.serving.decision.wanted == "depreference"
    site.report(site.held, NOW + 31.5)
    greeted(site, NOW + 31.6)
    assert site.agent.serving.decision.wanted == "announce"


def test_a_change_that_comes_again_on_its_way_to_the_kernel_is_acknowledged_to_both() -> None:
    sender, receiver = Site(replace(POLICY, site="site1", acknowledge="any"), ["site2"]), two_customers("site2")
    sender.feed(PeerAsked("site2", 0, 0), NOW)
    [sent] = records_for("site2", sender.feed(Router().update(NOW, both_lines()), NOW))
    receiver.hold_reports = True
    for peer in ("site1", "site3"):
        assert receiver.feed(RecordsReceived(peer, 1, sent), NOW) == []
    done = receiver.report(receiver.held, NOW)
    assert {one.site for one in done if isinstance(one, AcknowledgeRecords)} == {"site1", "site3"}


def test_what_a_peer_tells_beside_a_binding_update_outlives_its_refusal_by_the_kernel() -> None:
    """A peer knows from an earlier life of ours what the kernel refuses now: it stands there, and so here."""
    site = two_customers("site2")
    site.hold_reports = True
    site.feed(Router().update(NOW, both_lines()), NOW)
    wanted = site.agent.cache.records[HOME]
    site.feed(RecordsReceived("site1", 1, StateSyncReply(0, (frames.to_wire(wanted, NOW),), False)), NOW)
    site.plane.refuse(HOME)
    site.hold_reports = False
    site.report(site.held, NOW)
    assert same(site.agent.cache.records[HOME], wanted)


def test_what_the_kernel_refused_is_not_acknowledged_when_another_site_says_it_again() -> None:
    """With two reflectors every change comes twice: the second copy was taken for one that is installed."""
    sender, receiver = Site(replace(POLICY, site="site1", acknowledge="any"), ["site2"]), two_customers("site2")
    sender.feed(PeerAsked("site2", 0, 0), NOW)
    [sent] = records_for("site2", sender.feed(Router().update(NOW, both_lines()), NOW))
    receiver.plane.refuse(HOME)
    for peer in ("site1", "site3"):
        done = receiver.feed(RecordsReceived(peer, 1, sent), NOW)
        assert not [one for one in done if isinstance(one, AcknowledgeRecords)]
    receiver.plane.refuse(None)
    done = receiver.feed(RecordsReceived("site1", 1, sent), NOW)
    acknowledged = [one for one in done if isinstance(one, AcknowledgeRecords)]
    assert acknowledged == [AcknowledgeRecords("site1", StateSyncAck(1))]


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
