"""The star: reflectors pass on changes, acknowledgements and HELLO between sites that do not know each other."""

import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from msgspec import structs

from ha.effects import AcknowledgeRecords, SendRecords
from ha.events import HelloReceived, PeerAsked, PeerIdentified, RecordsAcknowledged, RecordsReceived, TimeReached
from ha.frames import Heard, Hello, StateSyncAck, StateSyncReply
from ha.record import same
from ha.repair import DIGEST_EVERY_S
from ha.replication import HOLD_BACK_S
from ha.site import Topology
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from tests.ha.cast import CARE_OF_1, HOME, OVERWRITE, POLICY, Router, Site, both_lines
from tests.ha.mesh import MESH, Mesh, star

NOW = 100.0
ONE = star(["hub"], ["site1", "site2", "site3"])
TWO = star(["hub1", "hub2"], ["site1", "site2", "site3"])
SERVING_HUB = star(["site1"], ["site2", "site3"])


def joined(mesh: Mesh) -> Mesh:
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    return mesh


def test_a_change_reaches_a_site_that_its_author_does_not_know() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    assert mesh.sites["site3"].plane.read() == mesh.sites["site1"].plane.read() != {}
    assert mesh.sites["hub"].plane.read() == {}


def test_any_waits_for_a_site_that_forwards_and_not_for_the_reflector() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub"), NOW)
    mesh.step(("hub*", "site1"), NOW)
    assert mesh.acks == []
    mesh.step(("hub", "site2"), NOW)
    mesh.step(("site2*", "hub"), NOW)
    mesh.step(("hub*", "site1"), NOW)
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ACCEPTED
    mesh.settle(NOW)
    assert len(mesh.acks) == 1
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "timeout") == 0


def test_a_reflector_vouches_for_a_deletion_as_little_as_for_a_binding() -> None:
    """It has no kernel in which to leave anything: that nothing needs be done there is not that somebody did it."""
    mesh, router = joined(Mesh(topologies=ONE, idle=["hub"])), Router()
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    mesh.acks.clear()
    mesh.feed("site1", router.update(NOW, both_lines(), lifetime_s=0), NOW)
    mesh.step(("site1", "hub"), NOW)
    mesh.step(("hub*", "site1"), NOW)
    assert mesh.acks == []
    mesh.settle(NOW)
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ACCEPTED
    assert mesh.sites["site2"].plane.read() == mesh.sites["site1"].plane.read() == {}


def test_the_reflector_alone_is_enough_when_no_other_site_is_heard() -> None:
    mesh = Mesh(topologies=ONE, idle=["hub"])
    mesh.join("site1", "hub", NOW)
    mesh.join("hub", "site1", NOW)
    mesh.settle(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    assert len(mesh.acks) == 1
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "no_peer") == 0


def test_all_waits_for_every_site_that_is_heard_through_a_reflector() -> None:
    mesh = joined(Mesh("all", topologies=ONE, idle=["hub"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub"), NOW)
    mesh.step(("hub", "site2"), NOW)
    mesh.step(("site2*", "hub"), NOW)
    for _ in range(3):
        mesh.step(("hub*", "site1"), NOW)
    assert mesh.acks == []
    mesh.settle(NOW)
    assert len(mesh.acks) == 1


def test_a_reflector_that_is_a_home_agent_acknowledges_for_itself() -> None:
    mesh = joined(Mesh(topologies=SERVING_HUB))
    mesh.feed("site2", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site2", "site1"), NOW)
    mesh.step(("site1*", "site2"), NOW)
    assert len(mesh.acks) == 1
    mesh.settle(NOW)
    assert mesh.sites["site3"].plane.read() == mesh.sites["site1"].plane.read() != {}


def test_a_change_that_goes_in_circles_ends() -> None:
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    for _ in range(60):
        for stream in list(mesh.streams):
            mesh.step(stream, NOW)
    assert not any(mesh.streams.values())
    assert len(mesh.acks) == 1


def test_one_of_two_reflectors_may_die_in_the_middle_of_a_change() -> None:
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub1"), NOW)
    mesh.gone("hub1", NOW)
    mesh.settle(NOW)
    assert mesh.sites["site3"].plane.read() == mesh.sites["site2"].plane.read() != {}
    assert len(mesh.acks) == 1


def test_what_the_only_reflector_lost_is_found_when_it_is_back() -> None:
    mesh, router = joined(Mesh(topologies=ONE, idle=["hub"])), Router()
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.step(("site1", "hub"), NOW)
    mesh.gone("hub", NOW)
    mesh.settle(NOW)
    assert mesh.sites["site2"].plane.read() == {}
    mesh.join_all(NOW + 1)
    mesh.tick(NOW + DIGEST_EVERY_S)
    mesh.settle(NOW + DIGEST_EVERY_S)
    assert mesh.sites["site2"].plane.read() == mesh.sites["site1"].plane.read() != {}


def test_clients_hear_each_other_through_the_reflector_and_forget_when_it_is_silent_about_one() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    assert mesh.sites["site1"].agent.serving.forwarding == {"site2", "site3"}
    mesh.gone("site2", NOW)
    mesh.say_hello(NOW + 1)
    mesh.tick(NOW + 1)
    assert mesh.sites["site1"].agent.serving.forwarding == {"site3"}
    seen = mesh.sites["site1"].agent.serving.seen["site2"]
    assert seen is not None
    assert (seen.heard_at, seen.direct) == (NOW, False)


def test_two_reflectors_do_not_keep_a_dead_site_alive_by_telling_each_other() -> None:
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.gone("site2", NOW)
    for tenth in range(1, 60):
        mesh.say_hello(NOW + tenth / 10)
    for name in ("hub1", "site1"):
        seen = mesh.sites[name].agent.serving.seen["site2"]
        assert seen is not None
        assert seen.heard_at == NOW


def test_what_a_reflector_knows_from_another_one_it_keeps_to_itself() -> None:
    """Else two of them would tell each other of a dead site for ever, each time a round trip younger than it is."""
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.cut("site2", "hub1", NOW)
    mesh.say_hello(NOW + 1)
    serving = mesh.sites["hub1"].agent.serving
    seen = serving.seen["site2"]
    assert seen is not None
    assert (seen.heard_at, seen.direct) == (NOW + 1, False)
    assert "site2" not in {one.site for one in serving.heard(NOW + 1)}


def test_a_reflector_that_starts_passes_on_no_full_sets() -> None:
    """Each client's full set would go to every other client, who has it already."""
    mesh = Mesh(topologies=ONE, idle=["hub"])
    for name in ("site1", "site2"):
        mesh.sites[name].feed(Router().update(NOW, both_lines()), NOW)
    for name in ("site1", "site2", "site3"):
        mesh.join("hub", name, NOW)
    mesh.settle(NOW)
    for name in ("site1", "site2"):
        mesh.join(name, "hub", NOW)
    for stream in (("hub*", "site1"), ("site1", "hub"), ("hub*", "site2"), ("site2", "hub")):
        mesh.step(stream, NOW)
    assert HOME in mesh.sites["hub"].agent.cache.records
    assert not any(queue for (sender, _), queue in mesh.streams.items() if sender == "hub")


@pytest.mark.parametrize("age_s", [3.0, 10.0])
def test_the_proof_of_a_line_is_passed_on_at_once_while_a_client_has_not_told_all(age_s: float) -> None:
    """What was said more than 9 s ago nobody vouches for; it was taken for a full set, and waited for the digests."""
    mesh = Mesh(topologies=ONE, idle=["hub"])
    for name in ("site1", "site2"):
        mesh.join(name, "hub", NOW)
        mesh.join("hub", name, NOW)
    mesh.settle(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    [proved] = mesh.sites["site1"].agent.snapshot(NOW)
    cells = {bid: structs.replace(cell, verified=False) for bid, cell in proved.cells.items()}
    hub, now = mesh.sites["hub"], NOW + age_s
    hub.feed(RecordsReceived("site1", 1, StateSyncReply(1, (structs.replace(proved, cells=cells),), False)), NOW)
    mesh.say_hello(now)
    hub.feed(PeerIdentified("site3", 1), now)
    effects = hub.feed(RecordsReceived("site1", 1, StateSyncReply(2, (proved,), False)), now)
    assert [one.site for one in effects if isinstance(one, SendRecords)] == ["site2"]


def test_a_site_is_not_told_by_two_reflectors_that_it_has_its_own_change() -> None:
    """Status 0 left, and no other site had the binding: hub2 gave the change back to its author, who had it."""
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    for stream in (("site1", "hub1"), ("hub1", "hub2"), ("hub2", "site1"), ("site1*", "hub2"), ("hub2*", "hub1")):
        mesh.step(stream, NOW)
        mesh.step(stream, NOW)
    while mesh.streams["hub1*", "site1"] or mesh.streams["hub2*", "site1"]:
        mesh.step(("hub1*", "site1"), NOW)
        mesh.step(("hub2*", "site1"), NOW)
    assert mesh.sites["site2"].plane.read() == mesh.sites["site3"].plane.read() == {}
    assert mesh.acks == []
    mesh.settle(NOW)
    assert len(mesh.acks) == 1


def test_a_word_of_a_site_that_nobody_waits_for_releases_nothing() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    for name in ("site1", "nobody"):
        mesh.feed("site1", RecordsAcknowledged("hub", StateSyncAck(1, name)), NOW)
    assert mesh.acks == []


def test_a_reflector_passes_on_no_word_about_the_author_nor_about_half_a_frame() -> None:
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    hub = mesh.sites["hub"]
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    [first] = [event for event in mesh.streams["site1", "hub"] if isinstance(event, RecordsReceived)]
    sent = [one for one in hub.feed(first, NOW) if isinstance(one, SendRecords)]
    index = sent[0].frame.index
    assert hub.feed(RecordsAcknowledged("site1", StateSyncAck(index)), NOW) == []
    assert hub.feed(RecordsAcknowledged("site2", StateSyncAck(index)), NOW) == [
        AcknowledgeRecords("site1", StateSyncAck(first.frame.index, "site2"))
    ]
    other = msgspec.structs.replace(first.frame.records[0], home_address=HOME[:-1] + b"\x99")
    half_known = StateSyncReply(7, (*first.frame.records, other), False)
    again = hub.feed(RecordsReceived("site1", 1, half_known), NOW)
    [passed] = [one for one in again if isinstance(one, SendRecords) and one.site == "site2"]
    assert hub.feed(RecordsAcknowledged("site2", StateSyncAck(passed.frame.index)), NOW) == []


def test_only_reflectors_speak_for_others() -> None:
    mesh = joined(Mesh())
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    for said in (StateSyncAck(1, "site1"), StateSyncAck(1, "nobody")):
        before = len(mesh.acks)
        mesh.feed("site1", RecordsAcknowledged("site3", said), NOW)
        assert len(mesh.acks) == before + (said.site == "site1")  # it counts as site3's own word, and once
    fresh = Mesh()
    fresh.join_all(NOW)
    other = Heard("site3", 0.0, 0.0, "announced", True, 0.0, False)
    hello = Hello(fresh.sites["site2"].agent.state.clock(NOW), "READY", "announced", True, 0, others=(other,))
    fresh.feed("site1", HelloReceived("site2", hello), NOW)
    assert fresh.sites["site1"].agent.serving.seen["site3"] is None


def test_what_is_heard_from_a_site_itself_counts_before_a_reflector_s_word() -> None:
    """Two reflectors made each other silent about a site that both heard, by ages that leave out the way."""
    mesh = joined(Mesh(topologies=TWO, idle=["hub1", "hub2"]))
    serving = mesh.sites["hub1"].agent.serving
    heard = mesh.sites["hub2"].agent.serving.heard(NOW + 0.1)
    hello = Hello(mesh.sites["hub2"].agent.state.clock(NOW), "INIT", "unheard", False, 0, others=heard)
    late = tuple(msgspec.structs.replace(one, age_s=0.0) for one in hello.others)
    mesh.feed("hub1", HelloReceived("hub2", msgspec.structs.replace(hello, others=late)), NOW + 0.1)
    assert "site2" in {one.site for one in serving.heard(NOW + 0.1)}


def test_an_answer_waits_for_sites_whose_word_is_enough_and_not_for_the_quick_reflector() -> None:
    """The reflector answered in a millisecond, so each answer left after 50 ms, before a site behind it could."""
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    router = Router()
    for round_ in range(3):
        now = NOW + round_
        mesh.say_hello(now)
        mesh.tick(now)
        mesh.settle(now)
        mesh.feed("site1", router.update(now, both_lines()), now)
        mesh.step(("site1", "hub"), now)
        mesh.step(("hub*", "site1"), now + 0.001)
        mesh.feed("site1", TimeReached(), now + 0.16)
        mesh.settle(now + 0.16)
    degraded = mesh.sites["site1"].counters.get("acknowledged_degraded", "timeout")
    assert degraded == 1  # the first, of which nothing was known yet


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_reflector_that_starts_is_not_taken_for_one_that_knows_all(is_heard: bool) -> None:
    """A client that had lost its snapshot took for gone what only another site knew, and the hub not yet."""
    mesh = Mesh(topologies=ONE, idle=["hub"])
    mesh.sites["site2"].feed(Router().update(0.0, both_lines()), 0.0)
    mesh.join("site1", "hub", 0.0)
    mesh.join("hub", "site1", 0.0)
    mesh.settle(0.0)
    hub = mesh.sites["site1"].agent.replication.peers["hub"]
    assert not hub.complete
    if is_heard:
        for name in ("site2", "site3"):
            mesh.join(name, "hub", 0.1)
    at = 0.3 if is_heard else HOLD_BACK_S + 0.2
    ends: list[StateSyncReply] = []
    for now in (at, at + 0.1):
        mesh.settle(now)
        mesh.feed("hub", TimeReached(), now)
        said = [event.frame for event in mesh.streams["hub", "site1"] if isinstance(event, RecordsReceived)]
        ends += [frame for frame in said if frame.complete]
    [end] = ends
    assert [record.home_address for record in end.records] == ([HOME] if is_heard else [])  # not only by its digest
    mesh.settle(at + 0.1)
    assert mesh.sites["site1"].agent.replication.peers["hub"].complete
    assert (HOME in mesh.sites["site1"].agent.cache.records) == is_heard


def test_what_comes_to_a_reflector_while_a_client_is_sent_its_set_belongs_to_the_set() -> None:
    """The other site was through before the last slice: what only it knew was in no slice, and not passed on either."""
    hub = Site(replace(POLICY, site="hub", slice_records=2), topology=ONE["hub"], serves=False)
    knowing = Site(replace(POLICY, site="site2"), topology=ONE["site2"])
    knowing.feed(Router().update(NOW, both_lines()), NOW)
    [wire] = knowing.agent.snapshot(NOW)
    old = [structs.replace(wire, home_address=bytes(15) + bytes((number,))) for number in range(10)]
    hub.agent.recover(old, {}, NOW)
    hub.feed(PeerIdentified("site2", 1), NOW)
    sent = list(hub.feed(PeerAsked("site1", 0, 0), NOW))
    hub.feed(RecordsReceived("site2", 1, StateSyncReply(0, (wire,), True)), NOW)
    for step in range(1, 12):
        sent += hub.feed(TimeReached(), NOW + step / 10)
    told = [one.frame for one in sent if isinstance(one, SendRecords) and one.site == "site1"]
    ends = [number for number, frame in enumerate(told) if frame.complete]
    assert len(ends) == 1
    assert HOME in {record.home_address for frame in told[: ends[0] + 1] for record in frame.records}


def test_sites_with_reflectors_between_them_are_believed_later() -> None:
    """Two sites that drain at once would each take the other's old word for a site that stays."""
    mesh = joined(Mesh(topologies=ONE, idle=["hub"]))
    mesh.tick(NOW + 0.1)
    assert mesh.sites["site1"].agent.serving.decision.linger_s in (2.0, 300.0)
    full = joined(Mesh())
    full.tick(NOW + 0.1)
    assert full.sites["site1"].agent.serving.decision.linger_s in (1.0, 300.0)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize(
    ("topologies", "idle"), [(ONE, ["hub"]), (TWO, ["hub1", "hub2"]), (SERVING_HUB, []), (MESH, [])]
)
def test_sites_are_equal_after_quiet_whatever_happened(
    topologies: dict[str, Topology], idle: Sequence[str], seed: int
) -> None:
    random_ = random.Random(seed)
    mesh, router, now = Mesh(topologies=topologies, idle=idle), Router(), NOW
    serving = [name for name in mesh.names if name not in idle]
    pairs = [(one, other) for one in mesh.names for other in topologies[one].peers]
    mesh.join_all(now)
    for _ in range(150):
        now += random_.choice((0.0, 0.001, 0.3))
        sender, receiver = random_.choice(pairs)
        match random_.randrange(10):
            case 0:
                mesh.cut(sender, receiver, now)
            case 1:
                mesh.join(sender, receiver, now)
            case 2 | 3 | 4:
                bids = [BindingIdentifier(bid, care_of=CARE_OF_1[:-1] + bytes([bid])) for bid in (1, 2)]
                flags = OVERWRITE if random_.random() < 0.3 else router.update(now).update.flags
                lifetime_s = random_.choice((0, 60, 120))
                update = router.update(now, bids[: random_.randint(0, 2)], lifetime_s=lifetime_s, flags=flags)
                mesh.feed(random_.choice(serving), update, now)
            case 5:
                mesh.feed(sender, TimeReached(), now)
            case _:
                mesh.step(random_.choice(list(mesh.streams) or pairs), now)
    mesh.join_all(now)
    for _ in range(4):  # a difference may have to pass two reflectors
        now += DIGEST_EVERY_S
        mesh.tick(now)
        mesh.settle(now)
    records = [site.agent.cache.records.get(HOME) for site in mesh.sites.values()]
    for record in records[1:]:
        assert (record is None) == (records[0] is None)
        assert record is None or (records[0] is not None and same(records[0], record))
    kernels = [mesh.sites[name].plane.read() for name in serving]
    assert all(kernel == kernels[0] for kernel in kernels)
