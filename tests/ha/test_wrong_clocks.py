"""A site whose clock is wrong for a while: what it heard and what it refused then, before and after it is set."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha import snapshot
from ha.effects import AcknowledgeRecords
from ha.events import ClockRead, RecordsReceived, RevokeAsked
from ha.frames import StateSyncReply
from ha.record import same
from mip6 import ntp
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from tests.ha.cast import CARE_OF_1, CARE_OF_2, CARE_OF_3, EPOCH, HOME, OVERWRITE, POLICY, Router, both_lines, customer
from tests.ha.islands import Islands
from tests.ha.mesh import Mesh, star

NOW = 100.0
DAY_S = 86400.0
WINDOW_S, SKEW_S = POLICY.replay_window_s, POLICY.clock_skew_s


def test_a_record_from_the_future_is_quarantined() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW + 60, both_lines()), NOW + 60)  # site1's clock is a minute ahead
    mesh.step(("site1", "site2"), NOW)
    assert mesh.sites["site2"].counters.get("records_quarantined", "future") == 1
    assert mesh.sites["site2"].agent.cache.records == {}


@pytest.mark.parametrize("behind_s", [20.0, DAY_S])
def test_nobody_vouches_for_a_deletion_of_all_that_newer_bindings_stand_above(behind_s: float) -> None:
    """Of two sites one is behind: what it took away the other forwards on, and said that it had it."""
    mesh = Mesh()
    mesh.feed("site1", ClockRead(EPOCH - behind_s), NOW)
    mesh.join_all(NOW)
    mesh.gone("site3", NOW)
    mesh.feed("site1", Router().update(NOW - behind_s, both_lines()), NOW)
    mesh.feed("site2", Router(sequence=5).update(NOW + 10, both_lines()), NOW + 10)
    mesh.settle(NOW + 10)
    mesh.acks.clear()
    mesh.feed("site1", Router(sequence=9).update(NOW + 14 - behind_s, (), lifetime_s=0), NOW + 14)
    mesh.settle(NOW + 14)
    assert len(mesh.sites["site2"].plane.read()[HOME].paths) == 2
    assert mesh.acks == []


@pytest.mark.parametrize("message_id", [ntp.to_timestamp(EPOCH + NOW + DAY_S), 2**64 - 1])
def test_a_record_of_which_a_message_id_alone_is_of_tomorrow_is_quarantined(message_id: int) -> None:
    """It locked the router out at every site; with the highest, the next revocation fitted no frame and no snapshot."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    record = msgspec.structs.replace(mesh.sites["site1"].agent.snapshot(NOW)[0], message_id=message_id)
    mesh.feed("site2", RecordsReceived("site1", 1, StateSyncReply(9, (record,), False)), NOW)
    assert mesh.sites["site2"].counters.get("records_quarantined", "future") == 1
    mesh.feed("site2", router.update(NOW + 1, both_lines()), NOW + 1)
    mesh.settle(NOW + 1)
    assert {ack.ack.status for _, ack in mesh.acks} == {Status.ACCEPTED}
    mesh.feed("site2", RevokeAsked(HOME, ()), NOW + 2)
    mesh.tick(NOW + 4)
    mesh.settle(NOW + 4)
    assert snapshot.piece(mesh.sites["site2"].agent.snapshot(NOW + 4))


@given(st.floats(-0.99, 0.99), st.floats(-0.99, 0.99))
def test_what_another_site_may_accept_is_merged_here_and_nothing_that_is_newer(ahead: float, skew: float) -> None:
    """A router is up to 7 s ahead of the site that hears it, that one up to 2 s ahead of us: 9 s, and not a blink more.

    Were it less, a site with a clock a second off would not take what the others serve.
    """
    ahead_s, skew_s = ahead * WINDOW_S, skew * SKEW_S
    islands, router = Islands(customer(), (skew_s, 0.0, 0.0)), Router()
    stamp = ntp.to_timestamp(EPOCH + NOW + skew_s + ahead_s)
    assert islands.hear(0, router.update(NOW, both_lines(), stamp=stamp), NOW) == (Status.ACCEPTED, {1, 2})
    islands.tell(0, 1, NOW)
    assert islands.forwarded(1).keys() == {1, 2}

    late_s = WINDOW_S + SKEW_S + 0.1 + abs(ahead_s)
    islands.sites[0].feed(ClockRead(EPOCH + late_s), NOW)
    stamp = ntp.to_timestamp(EPOCH + NOW + late_s)
    assert islands.hear(0, router.update(NOW, both_lines()[:1], stamp=stamp), NOW) == (Status.ACCEPTED, {1})
    before = islands.record(2)
    islands.tell(0, 2, NOW)
    assert islands.record(2) is before and islands.sites[2].counters.get("records_quarantined", "future") == 1
    islands.tell(0, 2, NOW + late_s - WINDOW_S - SKEW_S + 0.01)
    assert islands.forwarded(2).keys() == {1, 2}


def test_a_quarantined_record_is_not_acknowledged_to_the_site_that_waits_for_it() -> None:
    """A site whose clock was a day behind quarantined every record and said it had it: routers were told status 0."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW + 60, both_lines()), NOW + 60)
    mesh.step(("site1", "site2"), NOW)
    mesh.step(("site2*", "site1"), NOW + 60)
    assert mesh.sites["site2"].counters.get("records_quarantined", "future") == 1
    assert mesh.acks == []


def test_what_a_wrong_clock_wrote_gives_way_to_what_the_router_told_another_site() -> None:
    """A site that was a day ahead for a second held on to what it had heard then for a day; the sites differed."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", ClockRead(EPOCH + DAY_S), NOW)
    mesh.feed("site1", router.update(NOW + DAY_S, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    mesh.feed("site1", ClockRead(EPOCH), NOW + 1)
    mesh.say_hello(NOW + 1)
    right = Router(sequence=router.sequence)
    mesh.feed("site2", right.update(NOW + 1, both_lines()[:1]), NOW + 1)
    mesh.settle(NOW + 1)
    records = [mesh.sites[name].agent.cache.records[HOME] for name in ("site1", "site2")]
    assert same(*records)
    assert [path.care_of for path in mesh.sites["site1"].plane.read()[HOME].paths] == [CARE_OF_1]


def test_what_a_clock_that_was_behind_quarantined_is_found_when_it_is_set() -> None:
    """The frame counted as merged, so nobody sent it again: the site differed until the router's next refresh."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site2", ClockRead(EPOCH - DAY_S), NOW)
    mesh.feed("site1", router.update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    assert mesh.sites["site2"].agent.cache.records == {}
    mesh.feed("site2", ClockRead(EPOCH), NOW + 1)
    mesh.tick(NOW + 1)
    mesh.settle(NOW + 1)
    assert same(*(mesh.sites[name].agent.cache.records[HOME] for name in ("site1", "site2")))


def test_what_was_quarantined_is_found_when_it_is_no_longer_of_the_future() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", ClockRead(EPOCH + 6), NOW)
    mesh.feed("site1", router.update(NOW + 12, both_lines()), NOW)
    for now in (NOW, NOW + 2.9):
        mesh.tick(now)
        mesh.settle(now)
        assert mesh.sites["site2"].agent.cache.records == {}
    mesh.tick(NOW + 5)
    mesh.settle(NOW + 5)
    assert HOME in mesh.sites["site2"].agent.cache.records


def test_a_router_is_not_refused_for_what_a_clock_of_tomorrow_had_accepted() -> None:
    """Its timestamps of today were answered 144 until the record was forgotten, five minutes later."""
    mesh = Mesh()
    mesh.join_all(NOW)
    mesh.feed("site1", ClockRead(EPOCH + DAY_S), NOW)
    mesh.feed("site1", Router().update(NOW + DAY_S, both_lines()), NOW)
    mesh.feed("site1", ClockRead(EPOCH), NOW + 1)
    mesh.say_hello(NOW + 1)
    mesh.acks.clear()
    mesh.feed("site1", Router(sequence=1).update(NOW + 1, both_lines()[:1]), NOW + 1)
    mesh.settle(NOW + 1)
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ACCEPTED
    assert [path.care_of for path in mesh.sites["site2"].plane.read()[HOME].paths] == [CARE_OF_1]


def test_a_site_that_fell_behind_its_peers_does_not_give_up_what_they_know_too() -> None:
    """Nobody would know it after the death of the one who heard it, although the router was told that two sites do."""
    mesh = Mesh()
    mesh.join_all(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    mesh.say_hello(NOW)
    before = mesh.sites["site2"].agent.cache.records[HOME]
    mesh.feed("site2", ClockRead(EPOCH - DAY_S), NOW + 1)
    mesh.acks.clear()
    mesh.feed("site2", Router(sequence=1).update(NOW + 1 - DAY_S, both_lines()[:1]), NOW + 1)
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ID_MISMATCH
    assert mesh.sites["site2"].agent.cache.records[HOME] is before


@pytest.mark.parametrize(("alive", "degraded"), [(("site1", "site2"), 1), (("site1", "site2", "site3"), 0)])
def test_a_site_whose_clock_is_ahead_vouches_for_nothing_that_it_revoked_by_it(
    alive: Sequence[str], degraded: int
) -> None:
    """Symptom: a line revoked at a site whose clock was of tomorrow stayed revoked there alone; the router registered
    it again elsewhere, was told that two sites have it, and the site that forwarded it died.
    """
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site2", router.update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    mesh.feed("site1", ClockRead(EPOCH + DAY_S), NOW + 1)
    mesh.say_hello(NOW + 1)
    mesh.feed("site1", RevokeAsked(HOME, (1,)), NOW + 1)
    mesh.settle(NOW + 1)
    if "site3" not in alive:
        mesh.gone("site3", NOW + 1)
    mesh.say_hello(NOW + 9)
    mesh.tick(NOW + 9)
    mesh.settle(NOW + 9)
    mesh.acks.clear()
    mesh.feed("site2", router.update(NOW + 9, both_lines(), flags=OVERWRITE), NOW + 9)
    mesh.settle(NOW + 9)
    assert [path.care_of for path in mesh.sites["site1"].plane.read()[HOME].paths] == [CARE_OF_2]
    mesh.tick(NOW + 12)
    [(name, ack)] = mesh.acks
    assert (name, ack.ack.status) == ("site2", Status.ACCEPTED)
    assert mesh.sites["site2"].counters.get("acknowledged_degraded", "timeout") == degraded


@pytest.mark.parametrize("behind_s", [20.0, DAY_S])
def test_no_site_vouches_for_what_stands_below_what_it_holds(behind_s: float) -> None:
    """Symptom: a site that booted with yesterday's clock knew nothing of a router, and accepted it by that clock. The
    others held what the router had said before, which was newer, and vouched: with `any` it was answered as known to
    two sites, and died with the one.
    """
    mesh = Mesh()
    mesh.feed("site3", ClockRead(EPOCH - behind_s), NOW)
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    mesh.acks.clear()
    mesh.say_hello(NOW + 1)
    mesh.tick(NOW + 1)
    mesh.settle(NOW + 1)
    there = BindingIdentifier(2, care_of=CARE_OF_3)
    late = Router(sequence=7).update(NOW + 1 - behind_s, (there,), flags=OVERWRITE, source=CARE_OF_3)
    mesh.feed("site3", late, NOW + 1)
    mesh.settle(NOW + 1)
    assert mesh.acks == []
    mesh.tick(NOW + 4)
    [(name, ack)] = mesh.acks
    assert (name, ack.ack.status) == ("site3", Status.ACCEPTED)
    assert mesh.sites["site3"].counters.get("acknowledged_degraded", "timeout") == 1


def test_two_lines_told_at_once_to_two_sites_are_vouched_for() -> None:
    """What another line said meanwhile is newer than a change, and takes nothing from it."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    one, two = both_lines()
    mesh.feed("site3", router.update(NOW, (one, two), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    mesh.feed("site2", router.update(NOW + 0.1, (one,)), NOW + 0.1)
    mesh.feed("site1", router.update(NOW + 0.11, (two,)), NOW + 0.11)
    mesh.settle(NOW + 0.11)
    assert [ack.ack.status for _, ack in mesh.acks] == [Status.ACCEPTED] * 3
    counts = [site.counters.get("acknowledged_degraded", "not_installed") for site in mesh.sites.values()]
    assert counts == [0, 0, 0]


@pytest.mark.parametrize("others_are_heard", [True, False])
def test_nobody_vouches_for_what_a_reflector_took_out_of_a_change(others_are_heard: bool) -> None:
    """Symptom: a reflector put what it held, which was newer, in place of one of two lines of a change, and passed that
    on; who had that was told to the site with yesterday's clock as having the change. And where nobody else was heard,
    so that the reflector alone would do, its own word was taken.
    """
    mesh = Mesh(topologies=star(("hub1",), ("site1", "site2", "site3")), idle=("hub1",))
    mesh.feed("site3", ClockRead(EPOCH - DAY_S), NOW)
    mesh.join_all(NOW)
    one, two = both_lines()
    mesh.feed("site1", Router().update(NOW, (two,)), NOW)
    mesh.settle(NOW)
    mesh.acks.clear()
    if others_are_heard:
        mesh.say_hello(NOW + 1)
    mesh.tick(NOW + 1)
    mesh.settle(NOW + 1)
    mesh.feed("site3", Router(sequence=7).update(NOW + 1 - DAY_S, (one, two)), NOW + 1)
    mesh.settle(NOW + 1)
    assert {1, 2} == mesh.sites["site2"].agent.cache.records[HOME].cells.keys()
    mesh.tick(NOW + 4)
    [(name, ack)] = mesh.acks
    assert (name, ack.ack.status) == ("site3", Status.ACCEPTED)
    assert mesh.sites["site3"].counters.get("acknowledged_degraded", "timeout") == 1


def test_who_forwards_lines_of_tomorrow_does_not_vouch_for_a_plain_binding_of_today() -> None:
    """Symptom: both kinds stood in the record, but what is in force is the kind that was written later."""
    mesh = Mesh()
    mesh.join_all(NOW)
    mesh.gone("site3", NOW)
    mesh.feed("site1", ClockRead(EPOCH + DAY_S), NOW)
    mesh.feed("site1", Router().update(NOW + DAY_S, both_lines()), NOW)
    mesh.settle(NOW)
    mesh.say_hello(NOW + 1)
    mesh.tick(NOW + 1)
    mesh.settle(NOW + 1)
    mesh.acks.clear()
    mesh.feed("site2", Router(sequence=7).update(NOW + 1, ()), NOW + 1)
    mesh.settle(NOW + 1)
    assert 0 in mesh.sites["site1"].agent.cache.records[HOME].cells
    mesh.tick(NOW + 4)
    assert [(name, ack.ack.status) for name, ack in mesh.acks] == [("site2", Status.ACCEPTED)]
    assert mesh.sites["site2"].counters.get("acknowledged_degraded", "timeout") == 1


@pytest.mark.parametrize(("behind_s", "degraded"), [(DAY_S, 1), (10.0, 1), (WINDOW_S, 0)])
def test_nobody_vouches_for_what_is_here_only_until_another_site_tells_what_it_holds(
    behind_s: float, degraded: int
) -> None:
    """Symptom: a site with yesterday's clock accepted a router, one that knew nothing of it had that and said so, and a
    moment later heard from the third what the router had said before, which was newer: one site had what two vouched
    for.
    """
    mesh = Mesh()
    mesh.feed("site1", ClockRead(EPOCH - behind_s), NOW)
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.feed("site2", Router().update(NOW - 1, both_lines()), NOW)  # is on its way
    moved = (both_lines()[0], BindingIdentifier(2, care_of=CARE_OF_3))
    mesh.feed("site1", Router(sequence=7).update(NOW - behind_s, moved), NOW)
    mesh.step(("site1", "site3"), NOW)
    mesh.step(("site3*", "site1"), NOW)
    mesh.settle(NOW)
    mesh.tick(NOW + 3)
    assert ("site1", Status.ACCEPTED) in [(name, ack.ack.status) for name, ack in mesh.acks]
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "timeout") == degraded


def test_nobody_vouches_for_what_stands_in_a_record_that_it_gives_up_when_its_clock_is_set() -> None:
    """All sites had been a day ahead, one still was. Of what it had heard then a number was left, the bindings had
    expired; the router's next word went into that record, was vouched for, and was given up with it.
    """
    mesh = Mesh()
    mesh.join_all(NOW)
    for name in mesh.sites:
        mesh.feed(name, ClockRead(EPOCH + DAY_S), NOW)
    mesh.feed("site1", Router().update(NOW + DAY_S, both_lines(), lifetime_s=12), NOW)
    mesh.settle(NOW)
    for name in ("site1", "site3"):
        mesh.feed(name, ClockRead(EPOCH), NOW + 20)
    mesh.say_hello(NOW + 20)
    mesh.tick(NOW + 20)
    mesh.settle(NOW + 20)
    mesh.acks.clear()
    mesh.feed("site1", Router(sequence=7).update(NOW + 20, both_lines()), NOW + 20)
    mesh.step(("site1", "site2"), NOW + 20)
    mesh.step(("site2*", "site1"), NOW + 20)
    assert len(mesh.sites["site2"].plane.read()[HOME].paths) == 2
    assert mesh.acks == []
    mesh.settle(NOW + 20)
    assert [(name, ack.ack.status) for name, ack in mesh.acks] == [("site1", Status.ACCEPTED)]


def test_a_frame_is_not_vouched_for_if_one_of_its_records_is_of_yesterday() -> None:
    mesh = Mesh()
    mesh.join_all(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    mesh.say_hello(NOW + 60)
    [old] = mesh.sites["site1"].agent.snapshot(NOW)
    new = msgspec.structs.replace(old, home_address=bytes(16), message_id=ntp.to_timestamp(EPOCH + NOW + 60))
    for index, records, acknowledged in ((7, (new,), 1), (8, (old,), 0), (9, (new, old), 0)):
        told = RecordsReceived("site1", 1, StateSyncReply(index, records, False))
        effects = mesh.sites["site2"].feed(told, NOW + 60)
        assert sum(isinstance(one, AcknowledgeRecords) for one in effects) == acknowledged


def test_who_does_not_know_whether_it_is_ahead_vouches_for_what_it_has() -> None:
    """Of two sites that differ: to the one that is ahead every word of the other is of yesterday."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.gone("site3", NOW)
    mesh.feed("site2", ClockRead(EPOCH + DAY_S), NOW)
    mesh.say_hello(NOW + 9)
    mesh.feed("site1", router.update(NOW + 9, both_lines()), NOW + 9)
    mesh.settle(NOW + 9)
    assert [(name, ack.ack.status) for name, ack in mesh.acks] == [("site1", Status.ACCEPTED)]
