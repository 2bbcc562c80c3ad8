"""The home agent against a model of ten lines, and every event in every state."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha.events import (
    Event,
    ForwardingReported,
    OperatorAsked,
    RevokeAsked,
    TimeReached,
)
from ha.readiness import Mode
from ha.record import PLAIN_BID
from mip6.numbers import Status
from mip6.options import AlternateCareOf, BindingIdentifier
from tests.ha.cast import (
    CARE_OF_2,
    CARE_OF_3,
    HOME,
    OVERWRITE,
    POLICY,
    REGISTRATION,
    Router,
    Site,
    both_lines,
)
from tests.ha.test_journal import everything

ADDRESSES = (CARE_OF_2, CARE_OF_3, CARE_OF_2[:-1] + b"\x31")
LIFETIME_S = 100

# What one update says: lifetime or none, O or not, and BID -> care-of address (None: as it is); None: no BID option.
BIDS = st.dictionaries(st.integers(2, 4), st.sampled_from([None, *ADDRESSES]), min_size=1, max_size=3)
UPDATES = st.tuples(st.booleans(), st.booleans(), st.none() | BIDS, st.sampled_from(ADDRESSES), st.integers(0, 60))


class Model:
    """What RFC 6275 and RFC 5648 6.2 make of updates, for one home address: BID -> (care-of address, until when)."""

    def __init__(self) -> None:
        self.bindings: dict[int, tuple[bytes, float]] = {}

    def update(
        self, lives: bool, overwrite: bool, bids: dict[int, bytes | None] | None, plain: bytes, now: float
    ) -> None:
        held = {bid: one for bid, one in self.bindings.items() if one[1] > now}
        self.bindings = held
        if bids is None:
            self.bindings = {PLAIN_BID: (plain, now + LIFETIME_S)} if lives else {}
        elif not lives:
            self.bindings = {bid: one for bid, one in held.items() if bid not in bids}
        elif overwrite or PLAIN_BID not in held:
            known = {} if overwrite else held
            new = {bid: address or known.get(bid, (None,))[0] for bid, address in bids.items()}
            good = {bid: (address, now + LIFETIME_S) for bid, address in new.items() if address}
            if good:
                self.bindings = {**known, **good}

    def live(self, now: float) -> dict[int, bytes]:
        return {bid: address for bid, (address, until) in self.bindings.items() if until > now}


@settings(max_examples=150)
@given(st.lists(UPDATES, min_size=1, max_size=12))
def test_any_updates_leave_what_the_model_says_in_cache_and_kernel(
    updates: list[tuple[bool, bool, dict[int, bytes | None] | None, bytes, int]],
) -> None:
    site, router, model, now = Site(policy=replace(POLICY, lifetime_max_s=LIFETIME_S)), Router(), Model(), 100.0
    for lives, overwrite, bids, plain, pause_s in updates:
        now += 1 + pause_s
        site.feed(TimeReached(), now)
        options = [BindingIdentifier(bid, care_of=address) for bid, address in (bids or {}).items()]
        more = [AlternateCareOf(plain)] if bids is None else []
        flags, lifetime_s = (OVERWRITE if overwrite else REGISTRATION), (LIFETIME_S if lives else 0)
        event = router.update(now, options, flags=flags, lifetime_s=lifetime_s, more=more)
        before = model.live(now)
        [ack] = site.acks(event, now)
        model.update(lives, overwrite, bids, plain, now)
        record = site.agent.cache.records.get(HOME)
        cached = {bid: cell.care_of for bid, cell in record.live(now).items()} if record else {}
        entry = site.plane.read().get(HOME)
        assert cached == model.live(now), Status(ack.ack.status)
        assert ({path.bid: path.care_of for path in entry.paths} if entry else {}) == cached
        if ack.ack.status >= Status.REASON_UNSPECIFIED:
            assert cached == before
    site.feed(TimeReached(), now + LIFETIME_S + 1)
    assert site.plane.read() == {}


def nothing(site: Site) -> None:
    """Just started."""


def registered(site: Site) -> None:
    site.feed(Router().update(99.0, both_lines()), 99.0)


def under_way(site: Site) -> None:
    """Orders to the kernel that nobody has reported on."""
    site.hold_reports = True
    registered(site)


def refused(site: Site) -> None:
    """A kernel that takes nothing for this customer."""
    site.plane.refuse(HOME)
    registered(site)


def revoked(site: Site) -> None:
    registered(site)
    site.feed(RevokeAsked(HOME, ()), 99.5)


def drained(site: Site) -> None:
    registered(site)
    site.feed(OperatorAsked(Mode.DRAIN, "alice", "upgrade"), 99.5)


def expired(site: Site) -> None:
    site.feed(Router().update(10.0, both_lines(), lifetime_s=20), 10.0)
    site.feed(TimeReached(), 99.0)


EVENTS = [*everything(), (ForwardingReported({HOME: (1, None)}), 106.0), (ForwardingReported({HOME: (1, "no")}), 106.0)]


@pytest.mark.parametrize("state", [nothing, registered, under_way, refused, revoked, drained, expired])
@pytest.mark.parametrize("place", range(len(EVENTS)), ids=[type(event).__name__ for event, _ in EVENTS])
def test_no_event_in_any_state_is_an_error(state: Callable[[Site], None], place: int) -> None:
    site = Site(policy=replace(POLICY, cookie_key=b"s" * 32, acknowledge="any"), sites=("site2",))
    state(site)
    event: Event
    event, now = EVENTS[place]
    site.feed(event, now)
    site.feed(TimeReached(), now + 0.2)
    site.hold_reports = False
    site.plane.refuse(None)
    site.report(site.held, now + 0.3)
    for step in range(1, 30):
        site.feed(TimeReached(), now + 2.0 * step)
    cache = site.agent.cache
    assert not cache.pending and not cache.unsettled
    assert site.plane.read() == cache.installed
