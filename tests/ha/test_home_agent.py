"""HomeAgent: from Binding Update to kernel to acknowledgement, and nothing lost on the way when something fails."""

import random

import pytest

from ha.effects import SendBindingAck, SetForwarding
from ha.events import DataPlaneChecked, Event, HelloReceived, OperatorAsked, SelfTested, TimeReached
from ha.frames import Hello
from ha.home_agent import HomeAgent
from ha.readiness import Mode
from mip6 import auth
from mip6.numbers import Status
from mip6.options import BindingIdentifier, MessageIdentification
from tests.ha.cast import CARE_OF_1, CARE_OF_2, CARE_OF_3, HOME, KEY, MNP, OVERWRITE, Router, Site, both_lines, customer

NOW = 100.0


def paths(site: Site) -> dict[int, bytes]:
    entry = site.plane.read().get(HOME)
    return {path.bid: path.care_of for path in entry.paths} if entry else {}


def test_a_bulk_registration_is_in_the_kernel_before_it_is_acknowledged() -> None:
    site = Site(hold_reports=True)
    assert site.acks(Router().update(NOW, both_lines(), flags=OVERWRITE), NOW) == []
    effects = site.report(site.held, NOW)
    [ack] = [effect for effect in effects if isinstance(effect, SendBindingAck)]
    assert ack.ack.status == Status.ACCEPTED
    assert [(o.bid, o.status) for o in ack.ack.all(BindingIdentifier)] == [(1, 0), (2, 0)]
    assert (ack.care_of, ack.home_address, ack.association) == (CARE_OF_1, HOME, KEY)
    assert paths(site) == {1: CARE_OF_1, 2: CARE_OF_2}
    assert site.plane.read()[HOME].prefixes == (MNP,)


def test_a_refresh_touches_no_forwarding() -> None:
    site, router = Site(), Router()
    site.feed(router.update(NOW, both_lines()), NOW)
    site.hold_reports = True
    bids = (BindingIdentifier(1), BindingIdentifier(2))
    [ack] = site.acks(router.update(NOW + 60, bids), NOW + 60)
    assert ack.ack.status == Status.ACCEPTED and site.held == []
    assert site.agent.cache.records[HOME].live(NOW + 130).keys() == {1, 2}


def test_deleting_one_bid_leaves_the_other_and_deleting_all_leaves_nothing() -> None:
    site, router = Site(), Router()
    site.feed(router.update(NOW, both_lines()), NOW)
    [ack] = site.acks(router.update(NOW, (BindingIdentifier(1),), lifetime_s=0, source=CARE_OF_2), NOW)
    assert (ack.ack.status, ack.care_of, paths(site)) == (Status.ACCEPTED, CARE_OF_2, {2: CARE_OF_2})
    [ack] = site.acks(router.update(NOW, lifetime_s=0, source=CARE_OF_2), NOW)
    assert (ack.ack.status, paths(site)) == (Status.ACCEPTED, {})


def test_a_binding_expires_by_itself() -> None:
    site = Site()
    site.feed(Router().update(NOW, both_lines(), lifetime_s=60), NOW)
    site.feed(TimeReached(), NOW + 59)
    assert paths(site)
    site.feed(TimeReached(), NOW + 61)
    assert paths(site) == {}


def test_what_the_kernel_refuses_is_refused_and_leaves_the_state_as_it_was() -> None:
    site, router = Site(), Router()
    site.feed(router.update(NOW, both_lines()), NOW)
    before = site.agent.cache.records[HOME]
    site.plane.refuse(HOME)
    moved = (BindingIdentifier(2, care_of=CARE_OF_3),)
    [ack] = site.acks(router.update(NOW, moved), NOW)
    assert ack.ack.status == Status.INSUFFICIENT_RESOURCES
    assert site.agent.cache.records[HOME] == before


def test_an_internal_error_half_way_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted error: the state before is the state after, and the next update is served."""
    site, router = Site(), Router()
    site.feed(router.update(NOW, both_lines()), NOW)
    agent = site.agent
    before = (dict(agent.cache.records), dict(agent.cache.pending), dict(agent.cache.installed), agent.next_deadline())
    with monkeypatch.context() as planted:
        planted.setattr(agent.cache, "begin", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            agent.handle(router.update(NOW, (BindingIdentifier(2, care_of=CARE_OF_3),)), NOW)
    after = (dict(agent.cache.records), dict(agent.cache.pending), dict(agent.cache.installed), agent.next_deadline())
    assert after == before
    [ack] = site.acks(router.update(NOW, (BindingIdentifier(2, care_of=CARE_OF_3),)), NOW)
    assert ack.ack.status == Status.ACCEPTED


def test_a_newer_update_overtakes_one_still_under_way() -> None:
    site, router = Site(hold_reports=True), Router()
    site.feed(router.update(NOW, both_lines()), NOW)
    site.feed(router.update(NOW, (BindingIdentifier(2, care_of=CARE_OF_3),)), NOW)
    first, second = site.held
    site.hold_reports = False
    assert [e for e in site.report([first], NOW) if isinstance(e, SendBindingAck)] == []
    assert [e for e in site.report([second], NOW) if isinstance(e, SendBindingAck)]
    assert paths(site) == {1: CARE_OF_1, 2: CARE_OF_3}


def test_a_suspended_customer_is_taken_out_and_refused() -> None:
    site, router = Site(), Router()
    site.feed(router.update(NOW, both_lines()), NOW)
    site.load(customer(active=False), now=NOW)
    assert paths(site) == {}
    [ack] = site.acks(router.update(NOW + 1, both_lines()), NOW + 1)
    assert ack.ack.status == Status.ADMINISTRATIVELY_PROHIBITED
    site.load(customer(), now=NOW + 1)
    [ack] = site.acks(router.update(NOW + 2, both_lines()), NOW + 2)
    assert ack.ack.status == Status.ACCEPTED
    assert paths(site) == {1: CARE_OF_1, 2: CARE_OF_2}


def test_a_wrong_key_is_answered_146_within_a_budget_and_changes_nothing() -> None:
    site = Site()
    stranger = Router(key=auth.SecurityAssociation(256, "hmac-sha256-128", b"x" * 32))
    answers = [ack for _ in range(300) for ack in site.acks(stranger.update(NOW, both_lines()), NOW)]
    assert {ack.ack.status for ack in answers} == {Status.AUTHENTICATION_FAILED}
    assert len(answers) <= 101
    assert site.counters.get("answers_suppressed", "strangers") >= 199
    assert site.agent.cache.records == {}


def test_a_clock_error_is_answered_with_this_sites_clock() -> None:
    site, router = Site(), Router()
    late = router.update(NOW, both_lines(), stamp=((site.agent.state.clock(NOW) >> 32) - 60) << 32 | 77)
    [ack] = site.acks(late, NOW)
    assert ack.ack.status == Status.ID_MISMATCH
    message_id = ack.ack.first(MessageIdentification)
    assert message_id is not None
    assert message_id.timestamp & 0xFFFFFFFF == 77
    assert message_id.timestamp >> 32 == site.agent.state.clock(NOW) >> 32


def test_the_lease_asks_for_an_announcement_and_draining_for_depreference() -> None:
    site = Site()
    assert "RenewLease" not in repr(site.feed(TimeReached(), 1.0))  # it has not looked yet
    site.feed(DataPlaneChecked(egress_present=False), 1.02)
    assert "RenewLease(wanted='withdraw'" in repr(site.feed(TimeReached(), 1.1))
    site.feed(DataPlaneChecked(egress_present=True), 1.15)
    site.feed(SelfTested(None), 1.15)
    assert "RenewLease(wanted='announce'" in repr(site.feed(TimeReached(), 1.21))
    site.feed(OperatorAsked(Mode.DRAIN), 1.25)
    assert "RenewLease(wanted='depreference'" in repr(site.feed(TimeReached(), 1.32))


@pytest.mark.parametrize("seed", range(30))
def test_random_updates_and_late_or_refused_reports_end_with_kernel_equal_to_cache(seed: int) -> None:
    """A status 0 is true when it leaves, and in the end the kernel holds what the cache says."""
    random_ = random.Random(seed)
    site, router, now = Site(hold_reports=True), Router(), NOW
    for _ in range(120):
        now += random_.choice((0.0, 0.01, 0.5, 20.0))
        if random_.random() < 0.6:
            bids = [
                BindingIdentifier(bid, care_of=random_.choice((CARE_OF_1, CARE_OF_1[:-1] + bytes([bid]))))
                for bid in random_.sample((1, 2), random_.randint(0, 2))
            ]
            lifetime_s = random_.choice((0, 20, 60))
            flags = OVERWRITE if random_.random() < 0.5 else router.update(now).update.flags
            event: Event = router.update(now, bids, lifetime_s=lifetime_s, flags=flags)
        else:
            event = TimeReached()
        site.plane.refuse(HOME) if random_.random() < 0.2 else site.plane.refuse(None)
        site.feed(event, now)
        if random_.random() < 0.7 and site.held:
            _report_one(site, random_.randrange(len(site.held)), now)
    site.plane.refuse(None)
    while site.held or site.agent.cache.unsettled:
        now += 1.0
        site.feed(TimeReached(), now)
        if site.held:
            _report_one(site, len(site.held) - 1, now)
    agent: HomeAgent = site.agent
    assert site.plane.read() == agent.cache.installed
    record = agent.cache.records.get(HOME)
    live = record.live(now) if record else {}
    assert paths(site) == {bid: cell.care_of for bid, cell in live.items()}


def _report_one(site: Site, place: int, now: float) -> None:
    """Report one held order as the real adapter does: the newest for a home address replaces those before it."""
    order: SetForwarding = site.held[place]
    newest = max((held for held in site.held if held.home_address == order.home_address), key=lambda o: o.generation)
    site.held = [held for held in site.held if held.home_address != order.home_address]
    for effect in site.report([newest], now):
        if isinstance(effect, SendBindingAck) and effect.ack.status == Status.ACCEPTED and effect.ack.lifetime_s:
            assert site.plane.read()[HOME] == site.agent.cache.installed[HOME]


def test_what_the_kernel_holds_without_a_record_stays_until_the_peers_were_asked() -> None:
    """A daemon killed before its snapshot must not cut off the customers it had just accepted."""
    old = Site()
    old.feed(Router().update(NOW, both_lines()), NOW)
    present = old.plane.read()
    new = Site(sites=["site2"], plane=old.plane)
    wanted = new.agent.recover([], present, 0.0)
    assert wanted == present
    new.agent.reconciled(wanted, new.plane.reconcile(wanted))
    new.feed(TimeReached(), 1.0)
    assert new.plane.read() == present
    new.feed(TimeReached(), 6.5)  # nobody vouched for it within the grace
    assert new.plane.read() == {}


def test_a_snapshot_in_which_nothing_lives_is_no_knowledge() -> None:
    """What is left of a router that said goodbye is kept for a while, and tells of nobody to forward to."""
    old, router = Site(), Router()
    old.feed(router.update(NOW, both_lines()), NOW)
    alive = old.agent.snapshot(NOW)
    old.feed(router.update(NOW + 1, lifetime_s=0), NOW + 1)
    gone = old.agent.snapshot(NOW + 1)
    for records, is_cold in ((alive, False), (gone, True)):
        assert records
        new = Site(sites=["site2"])
        new.agent.recover(records, {}, NOW)
        for event in (DataPlaneChecked(egress_present=True), SelfTested(None), TimeReached()):
            new.feed(event, NOW)
        for second in range(1, 8):
            new.feed(TimeReached(), NOW + second)
        assert any("cold" in why for why in new.agent.serving.decision.reasons) == is_cold


def test_a_peer_that_lives_is_waited_for_beyond_the_grace_and_one_that_is_silent_is_not() -> None:
    """Who announces before it knows what it missed has no tunnels for those that registered elsewhere meanwhile."""
    site = Site(sites=["site2"])
    site.feed(DataPlaneChecked(egress_present=True), 1.0)
    site.feed(SelfTested(None), 1.0)
    site.feed(TimeReached(), 1.05)
    hello = Hello(site.agent.state.clock(1.1), "ANNOUNCED", "announced", True, 100_000)
    for tenth in range(11, 100):
        site.feed(HelloReceived("site2", hello), tenth / 10)
        site.feed(TimeReached(), tenth / 10 + 0.05)
    assert site.agent.serving.state == "SYNCING"
    site.feed(TimeReached(), 13.5)
    assert site.agent.serving.state != "SYNCING"


def test_what_the_kernel_refused_at_the_start_is_not_taken_for_nothing() -> None:
    """A restarted site said that a binding was gone, while its kernel still forwarded to it."""
    old, router = Site(), Router()
    old.feed(router.update(NOW, both_lines()), NOW)
    new = Site(plane=old.plane)
    new.plane.refuse(HOME)
    wanted = new.agent.recover(old.agent.snapshot(NOW), new.plane.read(), NOW)
    new.agent.reconciled(wanted, dict.fromkeys(wanted, "refused"))
    [ack] = new.acks(router.update(NOW + 1, lifetime_s=0), NOW + 1)
    assert ack.ack.status == Status.INSUFFICIENT_RESOURCES
    new.plane.refuse(None)
    [ack] = new.acks(router.update(NOW + 2, lifetime_s=0), NOW + 2)
    assert (ack.ack.status, new.plane.read()) == (Status.ACCEPTED, {})
