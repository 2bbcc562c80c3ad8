"""What tells the mobile router that the home agent has nothing of its: revocation, Binding Errors, refresh requests."""

from dataclasses import replace

import pytest

from mip6 import header
from mip6.auth import SecurityAssociation, encode_signed, verify
from mip6.messages import BindingError, BindingRevocation
from mip6.numbers import BindingRevocationType, RevocationStatus, Status
from mip6.options import BindingIdentifier, MessageIdentification, Option
from mip6.packet import destination_options
from mr.binding_update import signed_packet
from mr.events import (
    BindingErrorReceived,
    Count,
    Effect,
    RefreshRequested,
    RevocationReceived,
    SendRevocationAck,
)
from tests.mr.cast import (
    ASSOCIATION,
    CARE_OF,
    GOOD,
    HOME_ADDRESS,
    HOME_AGENT,
    OVERWRITE,
    STRANGER,
    Answer,
    Bench,
    bids,
    received_update,
    sent,
    timestamp_of,
    uplinks,
)


def indication(
    bench: Bench, *named: int, stamp: int | None = None, association: SecurityAssociation = ASSOCIATION
) -> RevocationReceived:
    said = MessageIdentification(bench.ntp() if stamp is None else stamp)
    options: tuple[Option, ...] = (*map(BindingIdentifier, named), said)
    message = BindingRevocation(BindingRevocationType.INDICATION, 1, 0x55, options=options)
    octets = encode_signed(message, association, CARE_OF[2], HOME_ADDRESS, HOME_AGENT, HOME_ADDRESS)
    decoded = header.decode(octets, HOME_AGENT, HOME_ADDRESS)
    assert isinstance(decoded, BindingRevocation)
    return RevocationReceived(decoded, octets, HOME_AGENT, CARE_OF[2], HOME_ADDRESS)


def answered(effects: list[Effect]) -> BindingRevocation:
    """The one acknowledgement, as the home agent reads it from the packet."""
    [sent_ack] = [effect for effect in effects if isinstance(effect, SendRevocationAck)]
    packet = signed_packet(sent_ack, ASSOCIATION)
    home_address, _, offset = destination_options(packet[40:])
    assert home_address == HOME_ADDRESS and sent_ack.interface == "line2"
    mobility = packet[40 + offset :]
    assert verify(mobility, ASSOCIATION, sent_ack.care_of, HOME_ADDRESS)
    message = header.decode(mobility, HOME_ADDRESS, HOME_AGENT)
    assert isinstance(message, BindingRevocation)
    assert (message.revocation_type, message.sequence) == (BindingRevocationType.ACKNOWLEDGEMENT, 0x55)
    return message


def test_all_bindings_revoked_are_gone_acknowledged_and_not_asked_for_again_for_a_while() -> None:
    bench = Bench().registered()
    effects = bench.feed(indication(bench))
    assert answered(effects).code == RevocationStatus.SUCCESS
    assert uplinks(effects)[-1] == () and sent(effects) == []
    view = bench.router.view(bench.now)
    assert view.state == "refused" and not view.healthy and any("129" in reason for reason in view.reasons)
    assert sent(bench.advance(59)) == []
    assert sent(bench.advance(2)) != []


def test_a_revocation_by_a_site_with_another_time_is_judged_by_the_line_that_it_told_that_time() -> None:
    """It was outside the window of the clock of the other lines, and dropped."""
    bench = Bench().registered()
    refresh = sent(bench.advance(166))[-1]
    stamp, other = timestamp_of(received_update(refresh)), 20 << 32
    again = bench.feed(
        Answer(Status.ID_MISMATCH, timestamp=(bench.ntp() - other) >> 32 << 32 | stamp & 0xFFFFFFFF).to(refresh)
    )
    assert [one.care_of for one in sent(again)] == [CARE_OF[2]]
    told = bench.ntp() - other >> 32 << 32 | timestamp_of(received_update(sent(again)[0])) & 0xFFFFFFFF
    bench.feed(Answer(Status.ID_MISMATCH, timestamp=told).to(sent(again)[0]))
    assert answered(bench.feed(indication(bench, stamp=bench.ntp() - other))).code == RevocationStatus.SUCCESS


def test_one_binding_revoked_leaves_the_other_carrying() -> None:
    bench = Bench().registered()
    effects = bench.feed(indication(bench, 2))
    assert answered(effects).code == RevocationStatus.SUCCESS
    assert [path.bid for path in uplinks(effects)[-1]] == [1]
    assert sent(bench.advance(30)) == []


def test_a_repeated_indication_is_answered_again_and_one_about_nothing_says_so() -> None:
    bench = Bench().registered()
    event = indication(bench)
    bench.feed(event)
    assert answered(bench.feed(event)).code == RevocationStatus.SUCCESS
    bench.advance(1)
    assert answered(bench.feed(indication(bench))).code == RevocationStatus.BINDING_DOES_NOT_EXIST


def test_indications_that_are_not_believed_change_nothing() -> None:
    bench = Bench().registered()
    good = indication(bench)
    cases = [
        (indication(bench, association=STRANGER), "not_authentic"),
        (indication(bench, stamp=bench.ntp() - (8 << 32)), "outside_window"),
        (replace(good, source=CARE_OF[1]), "not_from_home_agent"),
        (replace(good, home_address=None), "not_from_home_agent"),
        (replace(good, message=replace(good.message, revocation_type=2)), "not_an_indication"),
        (replace(good, message=replace(good.message, options=())), "replayed"),
    ]
    for event, why in cases:
        assert bench.feed(event) == [Count("revocations_dropped", why)], why
    assert bench.router.view(bench.now).state == "registered"
    bench.advance(3)
    answered(bench.feed(indication(bench, 2)))
    assert bench.feed(good) == [Count("revocations_dropped", "replayed")]
    assert bench.router.view(bench.now).lines[0].registered


def binding_error(status: int = 1, home_address: bytes = HOME_ADDRESS) -> BindingError:
    return BindingError(status, home_address)


def test_a_binding_error_makes_it_register_with_overwrite_once_in_ten_seconds() -> None:
    bench = Bench().registered()
    [update] = sent(bench.feed(BindingErrorReceived(binding_error(), HOME_AGENT)))
    message = received_update(update)
    assert message.flags & OVERWRITE and bids(message) == [1, 2]
    bench.feed(GOOD.to(update))
    assert bench.feed(BindingErrorReceived(binding_error(), HOME_AGENT)) == [Count("requests_ignored", "binding_error")]
    bench.advance(10.1)
    assert len(sent(bench.feed(BindingErrorReceived(binding_error(), HOME_AGENT)))) == 1


@pytest.mark.parametrize(
    ("error", "source"),
    [
        (binding_error(status=2), HOME_AGENT),
        (binding_error(home_address=bytes(16)), HOME_AGENT),
        (binding_error(), CARE_OF[1]),
    ],
)
def test_other_binding_errors_are_counted(error: BindingError, source: bytes) -> None:
    bench = Bench().registered()
    assert bench.feed(BindingErrorReceived(error, source)) == [Count("requests_ignored", "binding_error")]


def test_a_refresh_request_is_followed_without_overwrite() -> None:
    bench = Bench().registered()
    [update] = sent(bench.feed(RefreshRequested(HOME_AGENT)))
    message = received_update(update)
    assert not message.flags & OVERWRITE and bids(message) == [1, 2]
    assert bench.feed(RefreshRequested(CARE_OF[1])) == [Count("requests_ignored", "refresh_request")]
