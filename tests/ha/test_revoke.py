"""Revocation: what an operator takes away is gone at every site, and the router is told until it answers."""

from dataclasses import replace

import pytest

from ha.effects import SendToRouter
from ha.events import (
    Event,
    RecordsReceived,
    RevocationReceived,
    RevokeAsked,
    TimeReached,
)
from ha.frames import StateSyncReply
from mip6 import auth, header
from mip6.messages import BindingRevocation
from mip6.numbers import BindingRevocationType, RevocationTrigger, Status
from mip6.options import BindingIdentifier, MessageIdentification
from tests.ha.cast import CARE_OF_1, CARE_OF_2, HOME, HOME_AGENT, KEY, POLICY, Router, Site, both_lines, customer

NOW = 100.0


def registered() -> tuple[Site, Router]:
    site, router = Site(), Router()
    site.feed(router.update(NOW, both_lines()), NOW)
    return site, router


def told(site: Site, event: Event, now: float = NOW) -> list[SendToRouter]:
    return [effect for effect in site.feed(event, now) if isinstance(effect, SendToRouter)]


def bids(site: Site) -> set[int]:
    entry = site.plane.read().get(HOME)
    return {path.bid for path in entry.paths} if entry else set()


def acknowledgement(
    asked: SendToRouter, key: auth.SecurityAssociation = KEY, sequence: int | None = None
) -> RevocationReceived:
    message_id = asked.message.first(MessageIdentification)
    assert message_id is not None
    number = asked.message.sequence if sequence is None else sequence
    message = BindingRevocation(BindingRevocationType.ACKNOWLEDGEMENT, 0, number, options=(message_id,))
    octets = auth.encode_signed(message, key, CARE_OF_2, HOME, HOME, HOME_AGENT)
    decoded = header.decode(octets, HOME, HOME_AGENT)
    assert isinstance(decoded, BindingRevocation)
    return RevocationReceived(decoded, octets, CARE_OF_2, HOME)


def test_all_bindings_go_at_once_and_the_router_is_told_by_its_home_address() -> None:
    site, _ = registered()
    [sent] = told(site, RevokeAsked(HOME, ()))
    assert bids(site) == set()
    assert (sent.care_of, sent.home_address, sent.routed, sent.association) == (CARE_OF_1, HOME, True, KEY)
    assert isinstance(sent.message, BindingRevocation)
    assert sent.message.revocation_type == BindingRevocationType.INDICATION
    assert sent.message.code == RevocationTrigger.ADMINISTRATIVE
    assert sent.message.all(BindingIdentifier) == []


def test_one_binding_goes_and_the_other_stays() -> None:
    site, _ = registered()
    [sent] = told(site, RevokeAsked(HOME, (1,)))
    assert bids(site) == {2} and sent.care_of == CARE_OF_1
    assert [option.bid for option in sent.message.all(BindingIdentifier)] == [1]


@pytest.mark.parametrize("asked", [RevokeAsked(HOME, (7,)), RevokeAsked(CARE_OF_1, ())])
def test_what_is_not_there_cannot_be_revoked(asked: RevokeAsked) -> None:
    site, _ = registered()
    before = dict(site.agent.cache.records)
    assert told(site, asked) == [] and site.agent.cache.records == before


def test_it_is_told_again_on_the_other_line_then_given_up() -> None:
    site, _ = registered()
    told(site, RevokeAsked(HOME, ()))
    assert told(site, TimeReached(), NOW + 0.9) == []
    [again] = told(site, TimeReached(), NOW + 1.1)
    assert again.care_of == CARE_OF_2
    assert told(site, TimeReached(), NOW + 3.2) == []
    assert site.counters.get("revocations_unanswered") == 1
    assert told(site, TimeReached(), NOW + 60) == []


def test_an_answer_ends_the_telling_if_it_is_the_routers() -> None:
    site, _ = registered()
    [sent] = told(site, RevokeAsked(HOME, ()))
    stranger = auth.SecurityAssociation(256, "hmac-sha256-128", b"x" * 32)
    site.feed(acknowledgement(sent, stranger), NOW)
    site.feed(acknowledgement(sent, sequence=sent.message.sequence + 1 & 0xFFFF), NOW)
    assert len(told(site, TimeReached(), NOW + 1.1)) == 1
    site.feed(acknowledgement(sent), NOW + 1.2)
    assert told(site, TimeReached(), NOW + 9) == []
    counters = site.counters
    assert counters.get("revocations_acknowledged") == 1
    assert counters.get("revocation_messages_discarded", "authentication_failed") == 1
    assert counters.get("revocation_messages_discarded", "sequence_unknown") == 1


def test_the_router_may_come_back_later_but_not_with_what_was_under_way() -> None:
    site, router = registered()
    under_way = router.update(NOW + 0.5, both_lines())
    told(site, RevokeAsked(HOME, ()), NOW + 1)
    [ack] = site.acks(under_way, NOW + 1)
    assert ack.ack.status == Status.ID_MISMATCH
    [ack] = site.acks(router.update(NOW + 2, both_lines()), NOW + 2)
    assert (ack.ack.status, bids(site)) == (Status.ACCEPTED, {1, 2})
    assert told(site, TimeReached(), NOW + 9) == []


def test_a_revocation_wins_at_the_other_sites() -> None:
    site, _ = registered()
    other = Site(policy=replace(POLICY, site="site2"), sites=("site1",))
    other.feed(RecordsReceived("site1", 1, StateSyncReply(1, tuple(site.agent.snapshot(NOW)), True)), NOW)
    assert bids(other) == {1, 2}
    told(site, RevokeAsked(HOME, (2,)))
    other.feed(RecordsReceived("site1", 1, StateSyncReply(2, tuple(site.agent.snapshot(NOW)), False)), NOW)
    assert bids(other) == {1}


def test_a_suspended_and_a_deleted_customer_are_told() -> None:
    for load in ((customer(active=False),), (customer(home_address=CARE_OF_1),)):
        site, _ = registered()
        effects = site.load(*load, now=NOW)
        assert [effect.care_of for effect in effects if isinstance(effect, SendToRouter)] == [CARE_OF_1]
        assert bids(site) == set()


def test_a_new_table_takes_bindings_only_from_who_was_active_and_is_no_more() -> None:
    """All others would be told of it again with each table, or the log be full of those who have nothing."""
    site, _ = registered()
    site.load(customer(name="renamed"), now=NOW)
    assert bids(site) == {1, 2}
    words = StateSyncReply(1, tuple(site.agent.snapshot(NOW)), True)
    other = Site(policy=replace(POLICY, site="site2"), sites=("site1",))
    other.load(customer(active=False), now=NOW)  # it has nothing here
    other.feed(RecordsReceived("site1", 1, words), NOW)
    record = other.agent.cache.records[HOME]
    stranger = customer(home_address=CARE_OF_1)
    for load in (customer(active=False, name="renamed"), stranger, customer(active=False), stranger):
        other.load(load, now=NOW)
    assert other.agent.cache.records[HOME] is record
    for one in (site, other):
        assert not [name for name in one.counters.as_dict() if name.startswith("revocations")]


def test_an_indication_is_nothing_to_a_home_agent() -> None:
    site, _ = registered()
    [sent] = told(site, RevokeAsked(HOME, (1,)))
    event = acknowledgement(sent)
    indication = replace(event.message, revocation_type=BindingRevocationType.INDICATION)
    site.feed(replace(event, message=indication), NOW)
    assert bids(site) == {2} and site.counters.get("revocation_messages_discarded", "indication") == 1
