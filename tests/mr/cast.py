"""The cast of the mobile router tests: addresses, settings, a scripted home agent, and a bench.

The home agent takes the very packet the daemon would send, checks its signature, and answers in signed octets;
nothing of our own code is replaced.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from dataplane.entry import Prefix, UplinkPath
from mip6 import header
from mip6.auth import SecurityAssociation, encode_signed, verify
from mip6.messages import BindingAck, BindingUpdate
from mip6.ntp import to_timestamp
from mip6.numbers import BindingAckFlag, BindingUpdateFlag
from mip6.options import BindingIdentifier, MessageIdentification, Option
from mip6.packet import destination_options
from mr.binding_update import signed_packet
from mr.events import (
    BindingAckReceived,
    Effect,
    Event,
    LinesReported,
    Note,
    RouterPlaneReported,
    SendBindingUpdate,
    SetLines,
    SetUplinks,
    Started,
    TimeReached,
    UplinkChanged,
)
from mr.mobile_router import MobileRouter
from mr.settings import LineSettings, Settings


def octets(address: str) -> bytes:
    """The 16 octets of an address."""
    return IPv6Address(address).packed


HOME_AGENT = octets("2001:db8:f000::1")
HOME_ADDRESS = octets("2001:db8:f000::51")
CARE_OF = {1: octets("2001:db8:1:c::20"), 2: octets("2001:db8:2:c::20")}
GATEWAY = {1: octets("2001:db8:1:c::1"), 2: octets("2001:db8:2:c::1")}
OTHER_CARE_OF = octets("2001:db8:1:c::77")
PREFIX = Prefix(octets("2001:db8:f100::"), 56)
ASSOCIATION = SecurityAssociation(256, "hmac-sha256-128", bytes(range(32)))
STRANGER = SecurityAssociation(256, "hmac-sha256-128", bytes(32))
SETTINGS = Settings(
    home_address=HOME_ADDRESS,
    home_agent=HOME_AGENT,
    prefixes=(PREFIX,),
    explicit=False,
    lifetime_s=300,
    mn_identifier=b"office1@xsp.example",
    lines=(
        LineSettings(1, "line1", "line1", 1, 0, None),
        LineSettings(2, "line2", "line2", 1, 0, None),
    ),
)
CLOCK_OFFSET_S = 1_700_000_000.0
PATH = {bid: UplinkPath(bid, f"line{bid}", CARE_OF[bid], GATEWAY[bid], 1) for bid in (1, 2)}
OVERWRITE = BindingUpdateFlag.OVERWRITE


def up(bid: int, care_of: bytes | None = None) -> UplinkChanged:
    """A line with carrier, address and gateway."""
    return UplinkChanged(bid, True, care_of or CARE_OF[bid], GATEWAY[bid])


def down(bid: int) -> UplinkChanged:
    """The same line after its cable was pulled; the kernel keeps the address."""
    return UplinkChanged(bid, False, CARE_OF[bid], GATEWAY[bid])


def received_update(sent: SendBindingUpdate) -> BindingUpdate:
    """What the home agent reads from the packet, whose signature it has checked."""
    packet = signed_packet(sent, ASSOCIATION)
    assert (packet[6], packet[8:24], packet[24:40]) == (60, sent.care_of, HOME_AGENT)
    home_address, next_header, offset = destination_options(packet[40:])
    assert (home_address, next_header) == (HOME_ADDRESS, 135)
    mobility = packet[40 + offset :]
    message = header.decode(mobility, HOME_ADDRESS, HOME_AGENT)
    assert verify(mobility, ASSOCIATION, sent.care_of, HOME_ADDRESS)
    assert isinstance(message, BindingUpdate)
    return message


def bids(message: BindingUpdate) -> list[int]:
    """The BIDs a BU names."""
    return [option.bid for option in message.all(BindingIdentifier)]


def timestamp_of(message: BindingUpdate | BindingAck) -> int:
    """The Mesg-ID timestamp."""
    option = message.first(MessageIdentification)
    assert option is not None
    return int(option.timestamp)


@dataclass(frozen=True)
class Answer:
    """How the scripted home agent answers; the defaults are a good answer."""

    status: int = 0
    line_statuses: Mapping[int, int] | None = None
    lifetime_s: int | None = None
    sequence: int | None = None
    timestamp: int | None = None
    association: SecurityAssociation = ASSOCIATION
    flags: BindingAckFlag = BindingAckFlag.MOBILE_ROUTER
    with_bids: bool = True
    options: tuple[Option, ...] = ()

    def to(self, sent: SendBindingUpdate) -> BindingAckReceived:
        """The acknowledgement of `sent` as the mobile router's socket delivers it."""
        update = received_update(sent)
        statuses = self.line_statuses or {}
        identifiers = [BindingIdentifier(bid, status=statuses.get(bid, 0)) for bid in bids(update)]
        ack = BindingAck(
            self.status,
            self.flags,
            update.sequence if self.sequence is None else self.sequence,
            update.lifetime_s if self.lifetime_s is None else self.lifetime_s,
            (
                *(identifiers if self.with_bids else ()),
                *self.options,
                MessageIdentification(timestamp_of(update) if self.timestamp is None else self.timestamp),
            ),
        )
        mobility = encode_signed(ack, self.association, sent.care_of, HOME_ADDRESS, HOME_AGENT, HOME_ADDRESS)
        message = header.decode(mobility, HOME_AGENT, HOME_ADDRESS)
        assert isinstance(message, BindingAck)
        return BindingAckReceived(message, mobility, HOME_AGENT, sent.care_of, HOME_ADDRESS, 7)


GOOD = Answer()


class Bench:
    """A mobile router on a fake clock; kernel reports are fed back at once unless `kernel_reason` says otherwise."""

    def __init__(self, settings: Settings = SETTINGS, draw: Callable[[], float] = lambda: 0.5) -> None:
        self.router = MobileRouter(settings, ASSOCIATION, draw)
        self.now = 1000.0
        self.kernel_reason: str | None = None
        self.times: list[float] = []

    def feed(self, event: Event) -> list[Effect]:
        """Handle one event, and the kernel's report on what it asked for; returns all effects but log lines."""
        effects: list[Effect] = [
            effect for effect in self.router.handle(event, self.now) if not isinstance(effect, Note)
        ]
        for effect in list(effects):
            if isinstance(effect, SetUplinks):
                effects += self.feed(RouterPlaneReported(effect.uplinks, self.kernel_reason))
            elif isinstance(effect, SetLines):
                effects += self.feed(LinesReported(effect.lines, self.kernel_reason))
            elif isinstance(effect, SendBindingUpdate):
                self.times.append(self.now)
        return effects

    def start(self, *events: Event) -> list[Effect]:
        """Feed the first view of the lines and start."""
        for event in events or (up(1), up(2)):
            self.feed(event)
        return self.feed(Started(CLOCK_OFFSET_S, 0))

    def registered(self) -> "Bench":
        """Both lines registered."""
        self.feed(GOOD.to(sent(self.start())[0]))
        return self

    def advance(self, seconds: float) -> list[Effect]:
        """Let time pass, waking the router whenever it asked for it; returns the effects."""
        end = self.now + seconds
        effects: list[Effect] = []
        while (deadline := self.router.next_deadline()) is not None and deadline <= end:
            assert deadline > self.now or not effects, "the router asks for the same moment again"
            self.now = max(self.now, deadline)
            effects += self.feed(TimeReached())
        self.now = end
        return effects

    def ntp(self) -> int:
        """The right time as a timestamp."""
        return int(to_timestamp(self.now + CLOCK_OFFSET_S))


def sent(effects: list[Effect]) -> list[SendBindingUpdate]:
    """The Binding Updates among `effects`."""
    return [effect for effect in effects if isinstance(effect, SendBindingUpdate)]


def uplinks(effects: list[Effect]) -> list[tuple[UplinkPath, ...]]:
    """The SetUplinks among `effects`."""
    return [effect.uplinks for effect in effects if isinstance(effect, SetUplinks)]


def explicit() -> Settings:
    """The settings of a router that names its prefixes."""
    return replace(SETTINGS, explicit=True)
