"""The mobile router's reaction to each vector that is meant for one, from the octets on.

Most of them carry no authentication: those that could take bindings away are therefore not believed, which is the
reaction asked for. What each kind does when it is authentic is tested with octets of our own, in the files beside.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mip6 import header
from mip6.auth import SecurityAssociation, encode_signed, verify
from mip6.messages import BindingAck, BindingError, BindingRefreshRequest, BindingRevocation, Heartbeat
from mip6.ntp import to_unix
from mip6.numbers import BindingAckFlag, BindingUpdateFlag, Status
from mip6.options import BindingIdentifier, MessageIdentification
from mr.events import (
    BindingAckReceived,
    BindingErrorReceived,
    Count,
    Effect,
    Event,
    HeartbeatReceived,
    Note,
    RefreshRequested,
    RevocationReceived,
    SendBindingUpdate,
    Started,
    UplinkChanged,
)
from mr.mobile_router import MobileRouter
from mr.settings import LineSettings, Settings
from tests.mip6 import describe
from tests.mr.cast import octets

VECTORS = {
    one["id"]: bytes.fromhex(one["hex"])
    for one in json.loads((Path(__file__).parents[1] / "mip6" / "vectors" / "valid.json").read_text())
}
HOME_AGENT, HOME = octets("2001:db8:100::1"), octets("2001:db8:100::51")
CARE_OF = {1: octets("2001:db8:a::10"), 2: octets("2001:db8:b::20")}
KEY = SecurityAssociation(256, "hmac-sha1-96", bytes(range(16)))
STAMP = 0xE91B2C3D80000000
NOW = 1000.0
SETTINGS = Settings(
    home_address=HOME,
    home_agent=HOME_AGENT,
    prefixes=(),
    explicit=False,
    lifetime_s=600,
    mn_identifier=b"mr1@xsp.example",
    lines=tuple(LineSettings(bid, f"line{bid}", f"line{bid}", 1, 0, None) for bid in (1, 2)),
)


def event(name: str) -> Event:
    """What the daemon makes of a vector's packet."""
    cut = describe.cut(VECTORS[name])
    # Some come from a correspondent's or an outdated address; to us they come from the home agent to a line of ours.
    message = header.decode(cut.mobility_header, *cut.pseudo_header)
    mobility, source, destination = cut.mobility_header, cut.source, cut.destination
    match message:
        case BindingAck():
            return BindingAckReceived(message, mobility, source, destination, cut.home_address, 1)
        case Heartbeat():
            return HeartbeatReceived(message, mobility, source, destination)
        case BindingRevocation():
            return RevocationReceived(message, mobility, source, destination, cut.home_address)
        case BindingError():
            return BindingErrorReceived(message, source)
        case BindingRefreshRequest():
            return RefreshRequested(source)
    raise AssertionError(f"{name} is nothing for a mobile router")


def started(sequence: int) -> tuple[MobileRouter, SendBindingUpdate]:
    """A router whose first update has this sequence number and the vectors' Mesg-ID."""
    router = MobileRouter(SETTINGS, KEY, lambda: (sequence - 1) / 65536)
    for bid in (1, 2):
        router.handle(UplinkChanged(bid, True, CARE_OF[bid], HOME_AGENT), NOW)
    effects = router.handle(Started(to_unix(STAMP) - NOW, 0), NOW)
    [update] = [effect for effect in effects if isinstance(effect, SendBindingUpdate)]
    return router, update


def said(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Note)]


def counted(effects: list[Effect]) -> list[str]:
    return [effect.name for effect in effects if isinstance(effect, Count)]


def sequence(name: str) -> int:
    received = event(name)
    assert isinstance(received, BindingAckReceived)
    return received.message.sequence


def test_v14_is_believed_because_its_authenticator_its_sequence_and_its_timestamp_are_right() -> None:
    router, update = started(sequence("V14"))
    assert update.message.sequence == sequence("V14")
    effects = router.handle(event("V14"), NOW)
    assert Count("binding_acks_received", "0") in effects
    # It names no BID: this home agent knows no several care-of addresses.
    assert Count("fallbacks", "plain") in effects


def test_v14_is_not_believed_for_another_timestamp() -> None:
    router = MobileRouter(SETTINGS, KEY, lambda: (sequence("V14") - 1) / 65536)
    for bid in (1, 2):
        router.handle(UplinkChanged(bid, True, CARE_OF[bid], HOME_AGENT), NOW)
    router.handle(Started(to_unix(STAMP) - NOW + 1, 0), NOW)
    assert said(router.handle(event("V14"), NOW)) == [Count("binding_acks_dropped", "timestamp_unknown")]


@pytest.mark.parametrize("name", ["V04", "V05", "V08"])
def test_acknowledgements_without_authentication_are_ignored(name: str) -> None:
    router, _ = started(sequence(name))
    [dropped] = said(router.handle(event(name), NOW))
    assert isinstance(dropped, Count) and dropped.name == "binding_acks_dropped"
    assert router.view(NOW).state == "registering"


def test_v05_says_of_each_line_what_became_of_it() -> None:
    received = event("V05")
    assert isinstance(received, BindingAckReceived)
    assert received.message.status == Status.MCOA_NOTCOMPLETE
    assert [(option.bid, option.status) for option in received.message.all(BindingIdentifier)] == [(1, 0), (2, 167)]


def registered() -> MobileRouter:
    """A router that has both lines registered, by an answer of our own making."""
    router, update = started(77)
    options = (BindingIdentifier(1), BindingIdentifier(2), MessageIdentification(STAMP))
    ack = BindingAck(0, BindingAckFlag.MOBILE_ROUTER, update.message.sequence, 600, options)
    mobility = encode_signed(ack, KEY, update.care_of, HOME, HOME_AGENT, HOME)
    assert verify(mobility, KEY, update.care_of, HOME)
    router.handle(BindingAckReceived(ack, mobility, HOME_AGENT, update.care_of, HOME, 1), NOW)
    assert router.view(NOW).state == "registered"
    return router


def updates(effects: list[Effect]) -> list[SendBindingUpdate]:
    return [effect for effect in effects if isinstance(effect, SendBindingUpdate)]


def test_v10_makes_it_register_again_with_overwrite_if_it_is_about_us() -> None:
    received = event("V10")
    assert isinstance(received, BindingErrorReceived) and received.message.status == 1
    about_us = replace(received, message=replace(received.message, home_address=HOME), source=HOME_AGENT)
    [update] = updates(registered().handle(about_us, NOW + 5))
    assert update.message.flags & BindingUpdateFlag.OVERWRITE


def test_v09_stops_nothing_that_works() -> None:
    router = registered()
    assert updates(router.handle(event("V09"), NOW + 5)) == [] and router.view(NOW + 5).state == "registered"


def test_v18_is_no_answer_to_anything_we_asked() -> None:
    router = registered()
    assert Count("heartbeats_dropped", "not_an_answer") in router.handle(event("V18"), NOW + 5)


def test_v20_is_not_believed_without_authentication() -> None:
    router = registered()
    assert "revocations_dropped" in counted(router.handle(event("V20"), NOW + 5))
    assert router.view(NOW + 5).state == "registered"


def test_v21_makes_it_refresh() -> None:
    received = event("V21")
    assert isinstance(received, RefreshRequested)
    [update] = updates(registered().handle(replace(received, source=HOME_AGENT), NOW + 5))
    assert [option.bid for option in update.message.all(BindingIdentifier)] == [1, 2]
    assert not update.message.flags & BindingUpdateFlag.OVERWRITE
