"""The cast of the home agent's tests: one customer, its keys, signed Binding Updates, a home agent to hear them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from dataplane.entry import Prefix
from dataplane.memory import MemoryDataPlane
from ha.customer_table import EMPTY, Customer, CustomerTable, UplinkRight
from ha.effects import Effect, SendBindingAck, SetForwarding
from ha.events import (
    BindingUpdateReceived,
    Event,
    ForwardingReported,
    TableLoaded,
)
from ha.home_agent import HomeAgent
from ha.site import Policy, Topology
from mip6 import auth, header, ntp
from mip6.messages import BindingUpdate
from mip6.numbers import BindingUpdateFlag
from mip6.options import BindingIdentifier, MessageIdentification, MobileNetworkPrefix, MobileNodeIdentifier, Option
from mip6.options import Prefix as WirePrefix
from runtime.counters import Counters


def address(text: str) -> bytes:
    return IPv6Address(text).packed


HOME_AGENT = address("2001:db8:f000::1")
AGGREGATE = (address("2001:db8:f000::"), 36)
HOME = address("2001:db8:f000::51")
MNP = Prefix(address("2001:db8:f100::"), 56)
OTHER_MNP = Prefix(address("2001:db8:f200::"), 56)
CARE_OF_1, CARE_OF_2, CARE_OF_3 = (address(f"2001:db8:{n}:c::20") for n in (1, 2, 3))
LOCATOR = address("2001:db8:1:a::10")
KEY = auth.SecurityAssociation(256, "hmac-sha256-128", b"k" * 32)
EPOCH = 1_750_000_000.0  # Unix seconds at monotonic 0 in these tests
REGISTRATION = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION | BindingUpdateFlag.MOBILE_ROUTER
OVERWRITE = REGISTRATION | BindingUpdateFlag.OVERWRITE

POLICY = Policy(
    site="site1",
    home_agent_address=HOME_AGENT,
    aggregates=(AGGREGATE,),
    locators=frozenset({LOCATOR}),
    acknowledge="local",
)


def customer(**changes: object) -> Customer:
    values: dict[str, object] = {
        "name": "office1",
        "home_address": HOME,
        "prefixes": (MNP,),
        "associations": {KEY.spi: KEY},
        "uplinks": {
            1: UplinkRight(1, "line1", 1, 0, (Prefix(address("2001:db8:1:c::"), 64),)),
            2: UplinkRight(2, "line2", 1, 0, ()),
        },
        "active": True,
        "require_authentication": True,
        "allow_nested": False,
    }
    return Customer(**{**values, **changes})  # type: ignore[arg-type]


def table(*customers: Customer) -> CustomerTable:
    return CustomerTable(1, {one.home_address: one for one in customers or (customer(),)})


@dataclass
class Router:
    """A mobile router by hand: it counts its sequence numbers and timestamps and signs what it says."""

    sequence: int = 0
    key: auth.SecurityAssociation = KEY
    home: bytes = HOME
    last_stamp: int = 0

    def update(
        self,
        now: float,
        bids: Iterable[BindingIdentifier] = (),
        *,
        lifetime_s: int = 120,
        flags: BindingUpdateFlag = REGISTRATION,
        source: bytes = CARE_OF_1,
        prefixes: Sequence[tuple[bytes, int]] = (),
        stamp: int | None = None,
        more: Sequence[Option] = (),
        message_id: bool = True,
    ) -> BindingUpdateReceived:
        self.sequence = (self.sequence + 1) % 65536
        self.last_stamp = stamp if stamp is not None else max(self.last_stamp + 1, ntp.to_timestamp(EPOCH + now))
        options: list[Option] = [*bids, *(MobileNetworkPrefix(WirePrefix(*prefix)) for prefix in prefixes), *more]
        options.append(MobileNodeIdentifier(1, b"office1@xsp.example"))
        if message_id:
            options.append(MessageIdentification(self.last_stamp))
        message = BindingUpdate(self.sequence, flags, lifetime_s, tuple(options))
        return self.received(message, source)

    def received(self, message: BindingUpdate, source: bytes = CARE_OF_1) -> BindingUpdateReceived:
        octets = auth.encode_signed(message, self.key, source, self.home, self.home, HOME_AGENT)
        decoded = header.decode(octets, self.home, HOME_AGENT)
        assert isinstance(decoded, BindingUpdate)
        return BindingUpdateReceived(decoded, octets, source, self.home)


def both_lines() -> tuple[BindingIdentifier, ...]:
    return (BindingIdentifier(1, care_of=CARE_OF_1), BindingIdentifier(2, care_of=CARE_OF_2))


@dataclass
class Site:
    """A home agent joined to the in-memory data plane, driven by hand; `effects` keeps what nobody carried out yet."""

    policy: Policy = POLICY
    sites: Sequence[str] = ()
    topology: Topology | None = None
    counters: Counters = field(default_factory=Counters)
    plane: MemoryDataPlane = field(default_factory=MemoryDataPlane)
    hold_reports: bool = False
    serves: bool = True

    def __post_init__(self) -> None:
        self.agent = HomeAgent(
            policy=self.policy,
            topology=self.topology or Topology(tuple(self.sites)),
            table=table() if self.serves else EMPTY,
            incarnation=1,
            now=0.0,
            clock_offset_s=EPOCH,
            mrai_s=0,
            orphan_hold_s=300,
            counters=self.counters,
        )
        if self.serves:
            self.agent.reconciled({}, {})
        self.held: list[SetForwarding] = []

    def feed(self, event: Event, now: float) -> list[Effect]:
        """Handle `event`; orders to the data plane are carried out and reported unless `hold_reports`."""
        effects = list(self.agent.handle(event, now))
        orders = [effect for effect in effects if isinstance(effect, SetForwarding)]
        rest: list[Effect] = [effect for effect in effects if not isinstance(effect, SetForwarding)]
        if self.hold_reports:
            self.held += orders
        elif orders:
            rest += self.report(orders, now)
        return rest

    def report(self, orders: Sequence[SetForwarding], now: float) -> list[Effect]:
        """Carry out orders in the data plane and feed what it says."""
        latest = {order.home_address: order for order in orders}
        results = self.plane.apply({home: order.entry for home, order in latest.items()})
        reported = {home: (order.generation, results.get(home)) for home, order in latest.items()}
        return self.feed(ForwardingReported(reported), now)

    def acks(self, event: Event, now: float) -> list[SendBindingAck]:
        """The acknowledgements that `event` leads to."""
        return [effect for effect in self.feed(event, now) if isinstance(effect, SendBindingAck)]

    def load(self, *customers: Customer, now: float = 0.0) -> list[Effect]:
        version = self.agent.table.version + 1
        return self.feed(TableLoaded(CustomerTable(version, table(*customers).customers)), now)
