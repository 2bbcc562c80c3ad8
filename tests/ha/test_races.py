"""Several sites hear one router and do not know of each other: what they make of it, whichever way they meet."""

from dataclasses import dataclass
from itertools import permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from ha.events import BindingUpdateReceived, RevokeAsked
from ha.record import PLAIN_BID, merge, same
from mip6 import ntp
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from tests.ha.cast import CARE_OF_2, CARE_OF_3, EPOCH, HOME, OVERWRITE, REGISTRATION, Router, customer
from tests.ha.islands import LIFETIME_S, Islands, Said, in_force, said_by, unsigned

NOW = 1000.0
AHEAD_MAX_S = 7.0  # of a router's clock, RFC 4285 6
SITES = st.integers(0, 2)
PAIRS = list(permutations(range(3), 2))
ADDRESSES = (CARE_OF_2, CARE_OF_3, CARE_OF_2[:-1] + b"\x31")
BIDS = st.dictionaries(st.integers(2, 4), st.sampled_from(ADDRESSES), min_size=1, max_size=3)
REFUSED = Status.REASON_UNSPECIFIED


@dataclass(frozen=True)
class Act:
    """One update at one site, `pause_s` after the one before; then sites tell each other.

    `bids` None: no BID option. `authentic`: with MN-HA and Mesg-ID.
    """

    site: int
    lives: bool
    overwrite: bool
    bids: dict[int, bytes] | None
    source: bytes
    lifetime_s: int
    pause_s: float
    authentic: bool
    told: list[tuple[int, int]]

    def event(self, router: Router, now: float, ahead_s: float) -> BindingUpdateReceived:
        stamp = max(router.last_stamp + 1, ntp.to_timestamp(EPOCH + now + ahead_s))
        event = router.update(
            now,
            [BindingIdentifier(bid, care_of=care_of) for bid, care_of in (self.bids or {}).items()],
            lifetime_s=self.lifetime_s if self.lives else 0,
            flags=OVERWRITE if self.overwrite else REGISTRATION,
            source=self.source,
            stamp=stamp,
            message_id=self.authentic,
        )
        return event if self.authentic else unsigned(event)


def acts(pauses_s: st.SearchStrategy[float], authentic: st.SearchStrategy[bool]) -> st.SearchStrategy[list[Act]]:
    one = st.builds(
        Act,
        site=SITES,
        lives=st.sampled_from([True, True, False]),
        overwrite=st.booleans(),
        bids=st.none() | BIDS,
        source=st.sampled_from(ADDRESSES),
        lifetime_s=st.sampled_from([12, 40, LIFETIME_S]),
        pause_s=pauses_s,
        authentic=authentic,
        told=st.lists(st.sampled_from(PAIRS), max_size=2),
    )
    return st.lists(one, min_size=2, max_size=6)


@settings(max_examples=200)
@given(
    st.booleans().flatmap(lambda authentic: acts(st.sampled_from([0.5, 1.0, 20.0]), st.just(authentic))),
    st.permutations(PAIRS),
)
def test_what_the_router_said_last_is_in_force_everywhere_in_whichever_order_the_sites_meet(
    updates: list[Act], order: list[tuple[int, int]]
) -> None:
    """O flag and updates without BID wipe what they must even when they race; what is wiped never comes back."""
    rights = customer(require_authentication=updates[0].authentic)
    islands, router, said, now = Islands(rights), Router(), list[Said](), NOW
    for act in updates:
        now += act.pause_s
        event = act.event(router, now, 0.0)
        status, bids = islands.hear(act.site, event, now) or (REFUSED, set())
        if status < REFUSED:
            said.append(said_by(event, bids, router.last_stamp, now))
        islands.tell_all(act.told, now)
    islands.tell_all(order, now)
    for later_s in (0.0, 13.0, 41.0, LIFETIME_S - 1.0, LIFETIME_S + 1.0):
        islands.pass_time(now + later_s)
        expected = in_force(said, now + later_s)
        for site in range(3):
            assert islands.live(site, now + later_s) == islands.forwarded(site) == expected


def test_each_way_to_wipe_leaves_what_came_after_and_nothing_of_before() -> None:
    """The property above, where it is closest: an update of one BID at one site, one that wipes at another."""
    for (first, second), wipes_first in product(PAIRS, (True, False)):
        for bids, lives in ((None, True), ({3: CARE_OF_3}, True), (None, False)):
            islands, router = Islands(customer()), Router()
            start = router.update(
                NOW, [BindingIdentifier(2, care_of=CARE_OF_2), BindingIdentifier(4, care_of=CARE_OF_2)]
            )
            islands.hear(first, start, NOW)
            islands.tell_all([(first, second)], NOW)
            wipe = Act(first, lives, True, bids, CARE_OF_3, LIFETIME_S, 0.0, True, [])
            one = Act(second, True, False, {2: CARE_OF_3}, CARE_OF_3, 12, 0.0, True, [])
            said = [said_by(start, {2, 4}, router.last_stamp, NOW)]
            for act in (wipe, one) if wipes_first else (one, wipe):
                event = act.event(router, NOW + 1, 0.0)
                status, accepted = islands.hear(act.site, event, NOW + 1) or (REFUSED, set())
                assert status == Status.ACCEPTED
                said.append(said_by(event, accepted, router.last_stamp, NOW + 1))
            islands.tell_all(PAIRS, NOW + 1)
            for later in (NOW + 1, NOW + 14, NOW + 200):
                islands.pass_time(later)
                expected = in_force(said, later)
                assert [islands.forwarded(site) for site in range(3)] == [expected] * 3


@settings(max_examples=200)
@given(
    acts(st.sampled_from([0.0, 0.1, 1.5]), st.booleans()),
    st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=3, max_size=3),
    st.sampled_from([-5.9, 0.0, 5.9]),
    st.booleans(),
)
def test_accepted_means_that_the_record_changed_and_says_what_was_accepted(
    updates: list[Act], clocks: list[float], ahead_s: float, require_authentication: bool
) -> None:
    rights = customer(require_authentication=require_authentication)
    islands, router, now = Islands(rights, clocks), Router(), NOW
    for act in updates:
        now += act.pause_s
        islands.pass_time(now)
        before = islands.record(act.site)
        status, bids = islands.hear(act.site, act.event(router, now, ahead_s), now) or (REFUSED, set())
        after = islands.record(act.site)
        if status >= REFUSED:
            assert after is before
        else:
            assert after is not None
            if before is not None:
                assert after.newest() > before.newest() and not same(before, after)
                assert same(merge(before, after), after) and same(merge(after, before), after)
            live = islands.live(act.site, now)
            asked = {PLAIN_BID: act.source} if act.bids is None else {bid: act.bids[bid] for bid in bids}
            if act.lives:
                assert live.items() >= asked.items()
            else:
                assert not live if act.bids is None else not live.keys() & asked.keys()
            assert islands.forwarded(act.site) == live
        islands.tell_all(act.told, now)


@settings(max_examples=200)
@given(
    acts(st.sampled_from([0.1, 1.5]), st.just(True)),
    st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=3, max_size=3),
    st.sampled_from([0.0, 3.0, 5.9]),
    st.tuples(SITES, st.none() | st.sets(st.integers(2, 4), min_size=1)),
    st.integers(1, 5),
    st.permutations(PAIRS),
)
def test_what_an_operator_revokes_is_gone_at_every_site_however_far_ahead_the_router(
    updates: list[Act],
    clocks: list[float],
    ahead_s: float,
    asked: tuple[int, set[int] | None],
    place: int,
    order: list[tuple[int, int]],
) -> None:
    """A router up to 7 s ahead of the site: what that site took away, the others must not go on with."""
    islands, router, now, where = Islands(customer(), clocks), Router(), NOW, asked[0]
    gone: set[int] = set()
    until = 0  # what was stamped later may be the router's answer to it
    for number, act in enumerate(updates):
        now += act.pause_s
        islands.hear(act.site, act.event(router, now, ahead_s), now)
        islands.tell_all(act.told, now)
        if number + 1 == min(place, len(updates)):
            live, record = islands.live(where, now), islands.record(where)
            chosen = live.keys() & asked[1] if asked[1] else set(live)
            islands.sites[where].feed(RevokeAsked(HOME, tuple(asked[1] or ())), now)
            assert islands.live(where, now).keys() == live.keys() - chosen
            if record is not None and chosen:
                gone = chosen if asked[1] else {PLAIN_BID, 2, 3, 4}
                until = max(record.newest().time, ntp.to_timestamp(EPOCH + now + clocks[where]))
    islands.tell_all(order, now)
    copies = [record for site in range(3) if (record := islands.record(site))]
    assert len(copies) in (0, 3)
    assert all(same(copies[0], copy) for copy in copies)
    for site, copy in enumerate(copies):
        live_again = [bid for bid, cell in copy.live(now).items() if bid in gone and cell.version.time <= until]
        assert not live_again, (site, live_again)
    assert all(islands.forwarded(site) == islands.live(site, now) for site in range(3))


@given(
    st.floats(0.0, AHEAD_MAX_S - 0.01),
    st.sampled_from([(0.0, 0.0, 0.0), (1.0, -0.99, 0.0), (-1.0, 0.0, 0.99)]),
    st.permutations(PAIRS),
)
def test_a_revocation_of_what_all_sites_forward_stands_even_merged_the_wrong_way_round(
    ahead_s: float, clocks: tuple[float, float, float], order: list[tuple[int, int]]
) -> None:
    """Symptom of `clock + 1`: gone where the operator said so, and only until the next word of another site."""
    for bids in ((), (2,)):
        islands, router = Islands(customer(), clocks), Router()
        stamp = ntp.to_timestamp(EPOCH + NOW + clocks[0] + ahead_s)
        lines = [BindingIdentifier(bid, care_of=CARE_OF_2) for bid in (2, 3)]
        assert islands.hear(0, router.update(NOW, lines, source=CARE_OF_2, stamp=stamp), NOW) == (0, {2, 3})
        islands.tell_all(PAIRS, NOW)
        assert all(islands.forwarded(site).keys() == {2, 3} for site in range(3))
        islands.sites[1].feed(RevokeAsked(HOME, bids), NOW)
        islands.tell_all(order, NOW)
        assert all(islands.forwarded(site).keys() == ({3} if bids else set()) for site in range(3))
        for site in range(3):
            again = router.update(NOW, lines, source=CARE_OF_2, stamp=stamp)
            assert islands.hear(site, again, NOW) == (Status.ID_MISMATCH, set())


@settings(max_examples=200)
@given(
    st.sampled_from(["bid", "all", "plain", "overwrite", "revoke", "revoke bid"]),
    st.integers(1, 280),
    st.integers(1, 10),
    st.sampled_from([0.0, 0.3, 4.0, 8.0]),
    st.integers(1, 320) | st.sampled_from([294, 297, 299]),
    st.permutations(PAIRS),
)
def test_what_was_taken_away_is_not_brought_back_by_a_site_that_was_cut_off(
    how: str, refreshed_s: int, after_s: int, late_s: float, away_s: int, order: list[tuple[int, int]]
) -> None:
    """Who forgets a deletion too early believes whoever was away, and forwards to where the router is no more.

    Site 1 hears a refresh and then the deletion. Of the refresh only site 3 hears, late, and nothing else for long; of
    the deletion only site 2. What an operator revokes, site 1 did not hear refreshed at all.
    """
    islands, router = Islands(customer()), Router()
    line = [BindingIdentifier(2, care_of=CARE_OF_2)]
    islands.hear(0, router.update(NOW, line, lifetime_s=LIFETIME_S, source=CARE_OF_2), NOW)
    islands.tell_all(PAIRS, NOW)
    refreshed, heard_at = NOW + refreshed_s, 2 if how.startswith("revoke") else 0
    islands.hear(heard_at, router.update(refreshed, line, lifetime_s=LIFETIME_S, source=CARE_OF_2), refreshed)
    words, taken = islands.word_of(heard_at, refreshed), refreshed + after_s
    if late_s < after_s and heard_at != 2:
        islands.tell(0, 2, refreshed + late_s, words)
    if how.startswith("revoke"):
        islands.pass_time(taken)
        islands.sites[0].feed(RevokeAsked(HOME, (2,) if how == "revoke bid" else ()), taken)
    else:
        bids = {"bid": {2: CARE_OF_2}, "overwrite": {3: CARE_OF_3}}.get(how)
        act = Act(0, how in ("plain", "overwrite"), how == "overwrite", bids, CARE_OF_3, 12, 0.0, True, [])
        assert (islands.hear(0, act.event(router, taken, 0.0), taken) or (REFUSED,))[0] == Status.ACCEPTED
    now = taken + 0.5
    if how.endswith("bid"):  # and another comes and goes, so that the record is looked through meanwhile
        other = [BindingIdentifier(4, care_of=CARE_OF_3)]
        assert islands.hear(0, router.update(now, other, lifetime_s=12, source=CARE_OF_3), now) == (0, {4})
    islands.tell(0, 1, now)
    if late_s >= after_s and heard_at != 2:
        now = max(now, refreshed + late_s)
        islands.tell(0, 2, now, words)
    back = now + away_s
    islands.tell_all([(2, 1), (2, 0)], back)
    assert all(CARE_OF_2 not in islands.forwarded(site).values() for site in (0, 1))
    islands.tell_all(order, back)
    assert all(CARE_OF_2 not in islands.forwarded(site).values() for site in range(3))


@given(st.integers(0, 0xFFFF), st.integers(1, 0x7FFF), st.sampled_from(PAIRS), st.floats(0.5, 100.0), st.booleans())
def test_the_sequence_number_that_another_site_accepted_is_judged_here(
    number: int, step: int, pair: tuple[int, int], after_s: float, newer: bool
) -> None:
    """RFC 6275 9.5.1: newer modulo 2**16 than the last one, whichever site heard that."""
    islands, router, line = Islands(customer()), Router(sequence=number), [BindingIdentifier(2, care_of=CARE_OF_2)]
    first, second = pair
    for earlier_s in (1.0, 0.0):
        islands.hear(first, router.update(NOW - earlier_s, line, source=CARE_OF_2), NOW - earlier_s)
    islands.tell(first, second, NOW)
    last, now = router.sequence, NOW + after_s
    router.sequence = (last + (step if newer else -step) - 1) % 65536
    [ack] = islands.sites[second].acks(router.update(now, line, source=CARE_OF_2), now)
    assert ack.ack.status == (Status.ACCEPTED if newer else Status.SEQUENCE_NUMBER_OUT_OF_WINDOW)
    assert ack.ack.sequence == (router.sequence if newer else last)
