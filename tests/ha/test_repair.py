"""Digests: whatever made two sites differ, they find it and are equal again, and nothing else is sent."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ha import digest, frames
from ha.awaiting import AWAITED_MAX_S
from ha.cache import BindingCache
from ha.digest import Digests
from ha.effects import AskForRepair, Effect, SendDigest, SendRecords
from ha.events import DigestReceived, PeerAsked, PeerIdentified, RecordsReceived, RepairAsked, TimeReached
from ha.frames import StateDigest, StateRepairRequest, StateSyncReply
from ha.record import Binding, Record, Register, Version, same
from ha.repair import DIGEST_EVERY_S, SETTLE_EVERY_S, SETTLED_A_TURN, Repair
from ha.undo import Undo
from mip6.options import BindingIdentifier
from runtime.counters import Counters
from tests.ha.cast import CARE_OF_1, HOME, POLICY, Router, Site, address, both_lines
from tests.ha.mesh import Mesh
from tests.ha.test_record import record, records

NOW = 100.0


def digests(*held: Record) -> Digests:
    made = Digests()
    by_home = {record.home_address: record for record in held}
    assert made.settle(dict.fromkeys(by_home), by_home, len(held), Undo())
    return made


@given(records(), records())
def test_digests_are_equal_exactly_when_the_shared_state_is(one: Record, other: Record) -> None:
    assert (digest.of(one) == digest.of(other)) == same(one, other)


@given(records(), st.integers(1, 4))
def test_a_part_of_a_later_release_is_part_of_the_digest(one: Record, time: int) -> None:
    more = structs.replace(one, more={"flows": Register(Version(time, "site2"), b"x")})
    assert digest.of(more) != digest.of(one)
    assert digests(one).differing(digests(more).sums()) == [digest.bucket_of(HOME)]


def test_what_one_site_saw_proved_differs_from_what_is_only_claimed() -> None:
    version = Version(4, "a")
    claimed, proved = (record({1: Binding(version, CARE_OF_1, 10.0, verified=verified)}) for verified in (False, True))
    assert digest.of(claimed) != digest.of(proved)


@given(records(), records())
def test_what_comes_and_goes_leaves_no_trace_in_the_sums(one: Record, other: Record) -> None:
    made, held, undo = Digests(), {HOME: one}, Undo()
    empty = made.sums()
    for now in (held, {HOME: other}, held, {}):
        made.settle({HOME: None}, now, 1, undo)
    assert made.sums() == empty
    assert made.shown([digest.bucket_of(HOME)], 1) == {digest.bucket_of(HOME): {}}


def test_an_event_that_fails_leaves_what_it_looked_at_to_be_looked_at_again() -> None:
    made, touched, undo = Digests(), {HOME: None}, Undo()
    made.settle(touched, {}, 5, undo)
    assert touched == {}
    undo.roll_back()
    assert touched == {HOME: None}


def test_a_site_that_was_told_nothing_by_one_that_died_is_equal_within_two_periods() -> None:
    """It learnt of the change from the router's next refresh, and forwarded to an address of before until then."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    mesh.feed("site1", router.update(NOW + 1, (BindingIdentifier(2),), lifetime_s=0), NOW + 1)
    mesh.step(("site1", "site2"), NOW + 1)
    mesh.gone("site1", NOW + 1)
    assert mesh.sites["site3"].plane.read() != mesh.sites["site2"].plane.read()
    for late_s in (DIGEST_EVERY_S, 2 * DIGEST_EVERY_S):
        for name in ("site2", "site3"):
            mesh.feed(name, TimeReached(), NOW + late_s)
        mesh.settle(NOW + late_s)
    assert mesh.sites["site3"].plane.read() == mesh.sites["site2"].plane.read()
    assert [path.care_of for path in mesh.sites["site3"].plane.read()[HOME].paths] == [CARE_OF_1]
    assert mesh.sites["site2"].counters.get("records_repaired") == 1


@pytest.mark.parametrize("is_complete", [False, True])
def test_digests_are_made_up_for_quickly_once_the_first_full_set_is_here(is_complete: bool) -> None:
    """A site that starts has more to do; and with ticks alone, under load, digests would never be through."""
    site = customers(("site1", "site2"), 2 * SETTLED_A_TURN)["site1"]
    if is_complete:
        site.feed(RecordsReceived("site2", 1, StateSyncReply(0, (), True)), NOW)
    site.feed(TimeReached(), NOW)
    assert (site.agent.next_deadline() <= NOW + SETTLE_EVERY_S) == is_complete


def customers(names: Sequence[str], many: int) -> dict[str, Site]:
    """Sites that differ in everything: the first knows so many routers, the others none."""
    sites = {name: Site(replace(POLICY, site=name), [other for other in names if other != name]) for name in names}
    first = sites[names[0]]
    for number in range(many):
        first.agent.cache.put(
            structs.replace(one_record(), home_address=number.to_bytes(16, "big")), first.agent.state.undo
        )
    first.agent.state.undo.commit()
    return sites


def one_record() -> Record:
    site = Site()
    site.feed(Router().update(NOW, both_lines()), NOW)
    return site.agent.cache.records[HOME]


def carry(sites: dict[str, Site], sender: str, receiver: str, effects: Sequence[Effect], now: float) -> int:
    """Carry what two sites say about their differences until they are silent; how many requests it took."""
    requests, waiting = 0, [(sender, receiver, one) for one in effects]
    while waiting:
        here, there, effect = waiting.pop(0)
        match effect:
            case SendDigest(site, frame) if site == there:
                answers = sites[there].feed(DigestReceived(here, frame), now)
            case AskForRepair(site, frame) if site == there:
                requests += 1
                answers = sites[there].feed(RepairAsked(here, frame), now)
                while not any(isinstance(one, SendRecords) and one.frame.repaired for one in answers):
                    now += 0.011
                    answers += sites[there].feed(TimeReached(), now)
            case SendRecords(site, frame) if site == there:
                answers = sites[there].feed(RecordsReceived(here, 1, frame), now)
            case _:
                continue
        waiting += [(there, here, one) for one in answers]
    return requests


def settled(site: Site, now: float) -> list[Effect]:
    """What a site says when its digests are made."""
    said: list[Effect] = []
    for turn in range(200):
        said += site.feed(TimeReached(), now + turn * 0.011)
    return said


def test_a_repair_goes_on_until_nothing_differs() -> None:
    """At 64 buckets in two seconds, a reflector that was away for ten needed two minutes."""
    sites = customers(("site1", "site2"), 3000)
    sites["site1"].feed(PeerAsked("site2", 1, 0), NOW)
    settled(sites["site2"], NOW)
    shown = [one for one in settled(sites["site1"], NOW) if isinstance(one, SendDigest)]
    requests = carry(sites, "site1", "site2", shown[:1], NOW + 3)
    buckets = {digest.bucket_of(number.to_bytes(16, "big")) for number in range(3000)}
    assert requests == math.ceil(len(buckets) / frames.BUCKETS_MAX)
    assert len(sites["site2"].agent.cache.records) == 3000


def test_what_cannot_be_repaired_keeps_nobody_from_his_turn() -> None:
    """Records that stayed quarantined filled each round, and a good one behind them never came."""
    repair = Repair(BindingCache(), Counters())
    empty, undo = digests().sums(), Undo()
    assert repair.settle(NOW, undo)
    theirs = bytearray(empty)
    for bucket in range(2 * frames.BUCKETS_MAX):
        theirs[8 * bucket] ^= 1
    seen: list[int] = []
    for period in range(2):
        asked = repair.compared("site2", StateDigest(digest.KIND, bytes(theirs)), NOW + 7 * period, undo)
        assert asked is not None  # and the peer says nothing
        seen += asked.buckets
    assert sorted(seen) == list(range(2 * frames.BUCKETS_MAX))


def test_a_peer_that_shows_its_sums_all_the_time_is_answered_once_a_period() -> None:
    repair, undo = Repair(BindingCache(), Counters()), Undo()
    theirs = StateDigest(digest.KIND, b"\1" * len(digests().sums()))
    answers = [repair.compared("site2", theirs, NOW + tenth / 1000, undo) for tenth in range(500)]
    assert sum(one is not None for one in answers) == 1
    assert repair.compared("site2", StateDigest(digest.KIND, b""), NOW + 9, undo) is None


def test_what_is_under_way_is_not_sent_again_until_it_is_overdue() -> None:
    """Under load hundreds of records differ because they are under way, and each comparison sent them all again."""
    mesh = Mesh()
    mesh.join_all(NOW)
    site = mesh.sites["site1"]
    site.feed(TimeReached(), NOW)
    site.feed(Router().update(NOW + 1, both_lines()), NOW + 1)
    nothing = StateRepairRequest({digest.bucket_of(HOME): {}})
    for late_s, sent in ((1.2, 0), (AWAITED_MAX_S + 1.5, 1)):
        site.feed(TimeReached(), NOW + late_s)
        done = site.feed(RepairAsked("site2", nothing), NOW + late_s)
        [reply] = [one.frame for one in done if isinstance(one, SendRecords)]
        assert (len(reply.records), reply.repaired) == (sent, True)


def test_sites_that_are_equal_send_each_other_no_records() -> None:
    mesh = Mesh()
    mesh.join_all(NOW)
    mesh.feed("site1", Router().update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    for period in range(1, 4):
        mesh.tick(NOW + DIGEST_EVERY_S * period)
        assert {type(event) for stream in mesh.streams.values() for event in stream} == {DigestReceived}
        mesh.settle(NOW + DIGEST_EVERY_S * period)
    counts = [site.counters.get("digest_buckets_differed") for site in mesh.sites.values()]
    assert counts == [0, 0, 0]


def test_what_the_kernel_may_yet_refuse_is_shown_to_nobody() -> None:
    """A peer that caught up or repaired was sent a change that was then refused here, and kept it."""
    mesh = Mesh()
    mesh.join_all(NOW)
    site = mesh.sites["site1"]
    site.hold_reports = True
    site.feed(Router().update(NOW, both_lines()), NOW)
    site.feed(TimeReached(), NOW)
    nothing = StateRepairRequest({digest.bucket_of(HOME): {}})
    sent = [*site.feed(PeerAsked("site2", 0, 0), NOW), *site.feed(RepairAsked("site3", nothing), NOW)]
    frames = [one.frame for one in sent if isinstance(one, SendRecords)]
    assert len(frames) == 2
    assert [frame.records for frame in frames] == [(), ()]


def test_a_peer_that_still_catches_up_is_not_compared() -> None:
    mesh = Mesh()
    site = mesh.sites["site1"]
    site.feed(PeerIdentified("site2", 1), NOW)
    site.feed(Router().update(NOW, both_lines()), NOW)
    theirs = StateDigest(digest.KIND, digests().sums())
    assert site.feed(DigestReceived("site2", theirs), NOW) == []
    assert not [one for one in site.feed(TimeReached(), NOW) if isinstance(one, SendDigest)]  # nobody is reachable


def test_digests_of_another_kind_are_left_alone() -> None:
    mesh = Mesh()
    mesh.join_all(NOW)
    assert mesh.sites["site1"].feed(DigestReceived("site2", StateDigest(digest.KIND + 1, b"")), NOW) == []


def test_buckets_that_there_are_not_are_nothing() -> None:
    held = digests()
    assert held.others({digest.BUCKETS + 5: {HOME: 3}, -1: {}, 0: {address("2001:db8::1"): 1}}) == []
