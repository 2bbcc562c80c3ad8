"""Each rule of judging a Binding Update: its status, its reason, and that a refusal changes nothing."""

# ruff: noqa: E501  (a table of cases is read by column)

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from ha import registration
from ha.effects import SendBindingAck
from ha.events import BindingUpdateReceived, TimeReached
from ha.limits import Cost
from ha.undo import Undo
from mip6 import auth, ntp
from mip6.messages import BindingUpdate
from mip6.numbers import BindingAckFlag, BindingUpdateFlag, Status
from mip6.options import (
    AlternateCareOf,
    BindingIdentifier,
    MalformedBindingIdentifier,
    MessageIdentification,
    MobileNodeIdentifier,
    Option,
)
from tests.ha.cast import (
    CARE_OF_1,
    CARE_OF_2,
    CARE_OF_3,
    EPOCH,
    HOME,
    HOME_AGENT,
    LOCATOR,
    MNP,
    OTHER_MNP,
    OVERWRITE,
    REGISTRATION,
    Router,
    Site,
    address,
    both_lines,
    customer,
)

NOW = 100.0
Build = Callable[[Router], BindingUpdateReceived]


@dataclass
class Row:
    """One refusal: how the update is made, and what must come of it (status None: silence)."""

    name: str
    build: Build
    status: Status | None
    reason: str
    bids: Sequence[tuple[int, int]] = ()
    prepare: Callable[[Site, Router], object] = field(default=lambda site, router: None)


def update(*bids: BindingIdentifier, **how: object) -> Build:
    return lambda router: router.update(NOW, bids, **how)  # type: ignore[arg-type]


def registered(site: Site, router: Router) -> None:
    site.feed(router.update(NOW, both_lines()), NOW)


def registered_plain(site: Site, router: Router) -> None:
    site.feed(router.update(NOW), NOW)


def without_prefixes(site: Site, router: Router) -> None:
    site.load(customer(prefixes=()))


def suspended(site: Site, router: Router) -> None:
    site.load(customer(active=False))


def foreign_key(router: Router) -> BindingUpdateReceived:
    return Router(key=auth.SecurityAssociation(256, "hmac-sha256-128", b"x" * 32)).update(NOW, both_lines())


def unknown_spi(router: Router) -> BindingUpdateReceived:
    return Router(key=auth.SecurityAssociation(999, "hmac-sha256-128", b"k" * 32)).update(NOW, both_lines())


def unsigned(router: Router) -> BindingUpdateReceived:
    event = router.update(NOW, both_lines())
    options = tuple(option for option in event.update.options if not hasattr(option, "authenticator"))
    return replace(event, update=replace(event.update, options=options))


def replayed(router: Router) -> BindingUpdateReceived:
    return router.update(NOW, both_lines(), stamp=router.last_stamp)


def stale_sequence(router: Router) -> BindingUpdateReceived:
    router.sequence = (router.sequence - 100) % 65536
    return router.update(NOW, both_lines())


def one_address_only(site: Site, router: Router) -> None:
    site.load(customer(bids_max=0))


def one_bid_only(site: Site, router: Router) -> None:
    site.load(customer(bids_max=1))


def one_bid_held(site: Site, router: Router) -> None:
    one_bid_only(site, router)
    site.feed(router.update(NOW, (line(1, CARE_OF_1),)), NOW)


def key_over(site: Site, router: Router) -> None:
    site.load(customer(key_ends={256: EPOCH + NOW}))


def elsewhere(site: Site, router: Router) -> None:
    router.home = address("2001:db8:1:b::51")
    site.load(customer(home_address=router.home))


def hasty(site: Site, router: Router) -> None:
    undo = Undo()
    while site.agent.state.limits.spend(Cost.UPDATE, HOME, NOW, undo):
        pass


def line(bid: int, care_of: str | bytes | None = None, **more: object) -> BindingIdentifier:
    where = address(care_of) if isinstance(care_of, str) else care_of
    return BindingIdentifier(bid, care_of=where, **more)  # type: ignore[arg-type]


NESTED = "2001:db8:f000:7::1"
ROWS = [
    Row("unknown home address", lambda r: Router(home=address("2001:db8:f000::99")).update(NOW), None, "home_address_unknown"),
    Row("home address not unicast", lambda r: replace(r.update(NOW), home_address=address("ff0e::51")), None, "address_not_unicast"),
    Row("source not unicast", update(source=address("fe80::1")), None, "address_not_unicast"),
    Row("alternate care-of not unicast", update(more=[AlternateCareOf(address("ff0e::1"))]), None, "alternate_care_of_not_unicast"),
    Row("no authentication option", unsigned, None, "authentication_missing"),
    Row("unknown SPI", unknown_spi, None, "spi_unknown"),
    Row("key whose time is over", update(), None, "spi_unknown", (), key_over),
    Row("wrong key", foreign_key, Status.AUTHENTICATION_FAILED, "authentication_failed", ((1, 0), (2, 0))),
    Row("no Mesg-ID", update(message_id=False), Status.MESSAGE_ID_REQUIRED, "message_id_missing"),
    Row("clock behind", update(stamp=ntp.to_timestamp(EPOCH + NOW - 8)), Status.ID_MISMATCH, "message_id_outside_window"),
    Row("clock ahead", update(stamp=ntp.to_timestamp(EPOCH + NOW + 8)), Status.ID_MISMATCH, "message_id_outside_window"),
    Row("replay", replayed, Status.ID_MISMATCH, "message_id_replayed", ((1, 0), (2, 0)), registered),
    Row("no H, no R", update(flags=BindingUpdateFlag.ACKNOWLEDGE), None, "no_home_registration"),
    Row("H taken back while a binding lives", update(flags=BindingUpdateFlag.ACKNOWLEDGE), Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, "home_registration_changed", (), registered),
    Row("R without H", update(flags=BindingUpdateFlag.MOBILE_ROUTER), Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED, "router_without_home_registration"),
    Row("forced UDP", update(flags=REGISTRATION | BindingUpdateFlag.FORCE_UDP), Status.ADMINISTRATIVELY_PROHIBITED, "flag_not_offered"),
    Row("lifetime too short", update(lifetime_s=8), Status.ADMINISTRATIVELY_PROHIBITED, "lifetime_too_short"),
    Row("old sequence", stale_sequence, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, "sequence_out_of_window", ((1, 0), (2, 0)), registered),
    Row("R flag changed", update(flags=REGISTRATION & ~BindingUpdateFlag.MOBILE_ROUTER), Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, "registration_type_changed", (), registered_plain),
    Row("implicit without a prefix", update(), Status.FORWARDING_SETUP_FAILED, "no_prefix_known", (), without_prefixes),
    Row("suspended", update(), Status.ADMINISTRATIVELY_PROHIBITED, "customer_suspended", (), suspended),
    Row("prefix of another", update(prefixes=[OTHER_MNP]), Status.NOT_AUTHORIZED_FOR_PREFIX, "prefix_not_authorized"),
    Row("own and another's prefix", update(prefixes=[MNP, OTHER_MNP]), Status.NOT_AUTHORIZED_FOR_PREFIX, "prefix_not_authorized"),
    Row("prefix with host bits", update(prefixes=[(address("2001:db8:f100::1"), 56)]), Status.INVALID_PREFIX, "prefix_invalid"),
    Row("multicast prefix", update(prefixes=[(address("ff0e::"), 56)]), Status.INVALID_PREFIX, "prefix_invalid"),
    Row("prefix length 129", update(prefixes=[(address("2001:db8:f200::"), 129)]), Status.INVALID_PREFIX, "prefix_invalid"),
    Row("part of the own prefix", update(prefixes=[(address("2001:db8:f100::"), 64)]), Status.INVALID_PREFIX, "prefix_invalid"),
    Row("BID 0", update(line(0, CARE_OF_1)), Status.MCOA_MALFORMED, "bid_malformed", ((0, 0),)),
    Row("BID twice", update(line(1, CARE_OF_1), line(1, CARE_OF_2)), Status.MCOA_MALFORMED, "bid_malformed", ((1, 0), (1, 0))),
    Row("too many BIDs", update(*(line(bid, CARE_OF_1) for bid in range(1, 10))), Status.INSUFFICIENT_RESOURCES, "too_many_bids", tuple((bid, 0) for bid in range(1, 10))),
    Row("several care-of addresses where one is allowed", update(line(1, CARE_OF_1)), Status.MCOA_PROHIBITED, "multiple_care_of_prohibited", ((1, 0),), one_address_only),
    Row("more BIDs than this customer may have", update(*both_lines()), Status.INSUFFICIENT_RESOURCES, "too_many_bids", ((1, 0), (2, 0)), one_bid_only),
    Row("a BID more than this customer may have", update(line(2, CARE_OF_2)), Status.INSUFFICIENT_RESOURCES, "too_many_bids", ((2, 0),), one_bid_held),
    Row("BID over a plain binding", update(line(1, CARE_OF_1)), Status.MCOA_NON_MCOA_BINDING_EXISTS, "plain_binding_exists", ((1, 0),), registered_plain),
    Row("unknown BID refreshed", update(line(9)), Status.MCOA_UNKNOWN_COA, "bid_refused", ((9, 0),)),
    Row("unknown BID deleted", update(line(9), lifetime_s=0), Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, "bid_refused", ((9, 0),)),
    Row("nothing to delete", update(lifetime_s=0), Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, "nothing_to_delete"),
    Row("multicast care-of", update(line(1, "ff02::1")), Status.MCOA_MALFORMED, "bid_refused", ((1, 0),)),
    Row("IPv4 care-of", update(line(3, bytes((198, 51, 100, 20)))), Status.MCOA_BULK_REGISTRATION_PROHIBITED, "bid_refused", ((3, 0),)),
    Row("at home as well", update(line(4, CARE_OF_1, home=True)), Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED, "bid_refused", ((4, 0),)),
    Row("care-of in the own prefix", update(line(1, "2001:db8:f100::9")), Status.INVALID_CARE_OF_ADDRESS, "bid_refused", ((1, 0),)),
    Row("care-of in the aggregate", update(line(2, NESTED)), Status.INVALID_CARE_OF_ADDRESS, "bid_refused", ((2, 0),)),
    Row("care-of is the home agent", update(line(2, HOME_AGENT)), Status.INVALID_CARE_OF_ADDRESS, "bid_refused", ((2, 0),)),
    Row("care-of is a locator", update(line(2, LOCATOR)), Status.INVALID_CARE_OF_ADDRESS, "bid_refused", ((2, 0),)),
    Row("home address outside the home prefixes", update(), Status.NOT_HOME_SUBNET, "not_home_subnet", (), elsewhere),
    Row("more updates than its share", update(), Status.INSUFFICIENT_RESOURCES, "too_many_updates", (), hasty),
    Row("care-of outside its line's net", update(line(1, CARE_OF_3)), Status.INVALID_CARE_OF_ADDRESS, "bid_refused", ((1, 0),)),
    Row("plain care-of in the aggregate", update(more=[AlternateCareOf(address(NESTED))]), Status.INVALID_CARE_OF_ADDRESS, "care_of_inside_aggregate"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_refusal_has_its_status_and_reason_and_leaves_the_state_as_it_was(row: Row) -> None:
    site, router = Site(), Router(sequence=500)
    row.prepare(site, router)
    before, kernel = dict(site.agent.cache.records), site.plane.read()
    acks = site.acks(row.build(router), NOW)
    counted = site.counters.as_dict()
    if row.status is None:
        assert acks == []
        assert counted[f"binding_updates_discarded{{{row.reason}}}"] == 1
    else:
        [ack] = acks
        assert (ack.ack.status, [(o.bid, o.status) for o in ack.ack.all(BindingIdentifier)]) == (
            row.status,
            [*row.bids],
        )
        assert counted[f"binding_updates_refused{{{int(row.status)} {row.reason}}}"] == 1
        assert ack.association is not None and ack.ack.lifetime_s == 0
    assert site.agent.cache.records == before
    assert site.plane.read() == kernel


@pytest.mark.parametrize("rule", registration.RULES, ids=lambda rule: rule.__name__)
def test_no_rule_can_be_taken_out_unnoticed(rule: registration.Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "RULES", tuple(one for one in registration.RULES if one is not rule))
    assert any(_outcome_differs(row) for row in ROWS)


def _outcome_differs(row: Row) -> bool:
    try:
        test_a_refusal_has_its_status_and_reason_and_leaves_the_state_as_it_was(row)
    except Exception:
        return True
    return False


def test_a_malformed_bid_option_is_answered_164() -> None:
    site, router = Site(), Router()
    event = router.update(NOW)
    message = BindingUpdate(7, REGISTRATION, 120, (MalformedBindingIdentifier(bytes(6)), *_unsigned(event)))
    [ack] = site.acks(router.received(message), NOW)
    assert ack.ack.status == Status.MCOA_MALFORMED
    assert site.agent.cache.records == {}


def _unsigned(event: BindingUpdateReceived) -> tuple[Option, ...]:
    return tuple(option for option in event.update.options if not hasattr(option, "authenticator"))


def test_implicit_mode_without_a_known_prefix_is_143_and_never_for_a_named_one() -> None:
    site, router = Site(), Router()
    site.load(customer(prefixes=()))
    [ack] = site.acks(router.update(NOW), NOW)
    assert ack.ack.status == Status.FORWARDING_SETUP_FAILED
    [ack] = site.acks(router.update(NOW, prefixes=[OTHER_MNP]), NOW)
    assert ack.ack.status == Status.NOT_AUTHORIZED_FOR_PREFIX


def ack_of(site: Site, event: BindingUpdateReceived, now: float = NOW) -> SendBindingAck:
    [ack] = site.acks(event, now)
    return ack


def test_one_bad_bid_in_a_bulk_does_not_hold_back_the_others() -> None:
    site = Site()
    ack = ack_of(site, Router().update(NOW, (line(1, CARE_OF_1), line(2, NESTED))))
    assert ack.ack.status == Status.MCOA_NOTCOMPLETE
    assert [(o.bid, o.status) for o in ack.ack.all(BindingIdentifier)] == [(1, 0), (2, 174)]
    assert site.agent.cache.records[HOME].live(NOW).keys() == {1}


def test_bids_that_come_and_go_do_not_grow_a_record_without_end() -> None:
    site, router = Site(), Router()
    statuses = []
    for step in range(80):
        now = NOW + step
        bid = 10 + step
        statuses.append(ack_of(site, router.update(now, (line(bid, CARE_OF_3),)), now).ack.status)
        site.feed(router.update(now, (line(bid),), lifetime_s=0), now)
    assert statuses[:40] == [Status.ACCEPTED] * 40 and statuses[-1] == Status.INSUFFICIENT_RESOURCES
    assert len(site.agent.cache.records[HOME].cells) <= 48
    assert site.counters.get("binding_updates_refused", "130 too_many_tombstones") > 20
    later = NOW + 80 + 400
    site.feed(TimeReached(), later)
    assert ack_of(site, router.update(later, (line(1, CARE_OF_1),)), later).ack.status == Status.ACCEPTED


def test_overwrite_replaces_every_binding() -> None:
    site, router = Site(), Router()
    registered(site, router)
    ack = ack_of(site, router.update(NOW, (line(3, CARE_OF_3),), flags=OVERWRITE))
    assert ack.ack.status == Status.ACCEPTED
    assert site.agent.cache.records[HOME].live(NOW).keys() == {3}


def test_a_plain_registration_replaces_all_bids_and_takes_the_alternate_care_of() -> None:
    site, router = Site(), Router()
    registered(site, router)
    ack = ack_of(site, router.update(NOW, more=[AlternateCareOf(CARE_OF_3)]))
    assert (ack.ack.status, ack.care_of) == (Status.ACCEPTED, CARE_OF_1)
    live = site.agent.cache.records[HOME].live(NOW)
    assert {bid: cell.care_of for bid, cell in live.items()} == {0: CARE_OF_3}


def test_an_individual_refresh_prolongs_only_its_own_bid() -> None:
    site, router = Site(), Router()
    site.feed(router.update(NOW, both_lines(), lifetime_s=60), NOW)
    site.feed(router.update(NOW + 30, (line(1),), lifetime_s=60), NOW + 30)
    assert site.agent.cache.records[HOME].live(NOW + 70).keys() == {1}


def test_the_lifetime_granted_is_never_more_than_asked_for_nor_than_allowed() -> None:
    site, router = Site(), Router()
    assert ack_of(site, router.update(NOW, lifetime_s=62)).ack.lifetime_s == 60
    assert ack_of(site, router.update(NOW, lifetime_s=4000)).ack.lifetime_s == 300


def test_the_answer_copies_sequence_flags_identifier_and_message_id() -> None:
    router = Router()
    ack = ack_of(Site(), router.update(NOW, both_lines()))
    message_id, identifier = ack.ack.first(MessageIdentification), ack.ack.first(MobileNodeIdentifier)
    assert message_id is not None and message_id.timestamp == router.last_stamp
    assert identifier is not None and identifier.identifier == b"office1@xsp.example"
    assert (ack.ack.sequence, ack.ack.flags) == (router.sequence, BindingAckFlag.MOBILE_ROUTER)


def test_an_answer_to_135_carries_the_last_accepted_number() -> None:
    site, router = Site(), Router(sequence=1000)
    registered(site, router)
    router.sequence = 10
    assert ack_of(site, router.update(NOW, both_lines())).ack.sequence == 1001


def test_after_deletion_an_old_sequence_is_refused_for_ten_seconds_only() -> None:
    site, router = Site(), Router(sequence=1000)
    registered(site, router)
    site.feed(router.update(NOW, lifetime_s=0), NOW)
    router.sequence = 10
    assert ack_of(site, router.update(NOW + 9, both_lines()), NOW + 9).ack.status == 135
    assert ack_of(site, router.update(NOW + 11, both_lines()), NOW + 11).ack.status == 0


def test_without_the_r_flag_only_the_home_address_is_served() -> None:
    site = Site()
    flags = REGISTRATION & ~BindingUpdateFlag.MOBILE_ROUTER
    ack = ack_of(site, Router().update(NOW, flags=flags, prefixes=[OTHER_MNP]))
    assert (ack.ack.status, ack.ack.flags) == (Status.ACCEPTED, BindingAckFlag(0))
    assert site.plane.read()[HOME].prefixes == ()


def test_explicit_mode_serves_exactly_the_prefixes_named() -> None:
    site, router = Site(), Router()
    site.load(customer(prefixes=(MNP, OTHER_MNP)))
    site.feed(router.update(NOW, both_lines(), prefixes=[OTHER_MNP]), NOW)
    assert site.plane.read()[HOME].prefixes == (OTHER_MNP,)
    site.feed(router.update(NOW, both_lines()), NOW)
    assert site.plane.read()[HOME].prefixes == (MNP, OTHER_MNP)


def test_what_a_deletion_says_of_networks_is_ignored() -> None:
    """RFC 3963 6.2. Else the line that stays would carry networks that the router did not name."""
    site, router = Site(), Router()
    site.load(customer(prefixes=(MNP, OTHER_MNP)))
    site.feed(router.update(NOW, both_lines(), prefixes=[OTHER_MNP]), NOW)
    for bid, prefixes in ((1, []), (2, [MNP])):
        site.feed(router.update(NOW, both_lines(), prefixes=[OTHER_MNP]), NOW)
        assert ack_of(site, router.update(NOW, (line(bid),), lifetime_s=0, prefixes=prefixes)).ack.status == 0
        assert site.plane.read()[HOME].prefixes == (OTHER_MNP,)


def test_a_customer_without_authentication_is_served_without_options() -> None:
    site, router = Site(), Router()
    site.load(customer(require_authentication=False))
    event = unsigned(router)
    options = tuple(option for option in event.update.options if not isinstance(option, MessageIdentification))
    ack = ack_of(site, replace(event, update=replace(event.update, options=options)))
    assert (ack.ack.status, ack.association) == (Status.ACCEPTED, None)
