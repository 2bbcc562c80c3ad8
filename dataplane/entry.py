"""What should be forwarded, as values: a `ForwardingEntry` per customer, an `UplinkPath` per line of a router.

Addresses are 16 octets. Nothing here says how; that is the drivers' matter.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Prefix(NamedTuple):
    """A prefix: network octets, 16 of IPv6 or 4 of IPv4, and length in bits."""

    network: bytes
    length: int


def contains(prefix: Prefix, address: bytes) -> bool:
    """True if `address` lies inside `prefix`."""
    if len(prefix.network) != len(address):
        return False
    rest = 8 * len(address) - prefix.length
    return int.from_bytes(prefix.network, "big") >> rest == int.from_bytes(address, "big") >> rest


class Path(NamedTuple):
    """One way to a customer: the care-of address of a BID. Lower `priority` is preferred.

    Equal ones share by `weight`.
    """

    bid: int
    care_of: bytes
    weight: int = 1
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ForwardingEntry:
    """All that is forwarded for one customer.

    Home address and networks, of IPv6 or IPv4, over `paths`, which are sorted by BID and not empty.
    """

    home_address: bytes
    prefixes: tuple[Prefix, ...]
    paths: tuple[Path, ...]


class SelfTestLine(NamedTuple):
    """The line of the self-test's customer: the interface that it leads to, its care-of address, and the host beyond.

    The addresses are known to nobody else: who knew them could speak as the self-test, or to it.
    """

    interface: str
    care_of: bytes
    host: bytes


class Egress(NamedTuple):
    """A default route of a site."""

    gateway: bytes
    interface: str


@dataclass(frozen=True, slots=True)
class SitePlan:
    """What a home agent's data plane is built around. IPv4 is forwarded if one of the aggregates is of IPv4.

    `answers_at`: more addresses that are ours, but end no tunnel. `signalling`: mobility headers a second that may
    reach the daemon from one /48 and in all; the rest is dropped. `self_test`: None without one. `closed`: whither
    nothing goes that comes out of a tunnel, such as locators and the operator's own networks. `clamp_mtu`: lines carry
    so many octets at least, and TCP is told to make its segments fit a tunnel over them; 0: it is not.
    `memory_reserve`: newcomers are refused when fewer octets of the machine's memory than this are left.
    """

    home_agent_address: bytes
    aggregates: tuple[Prefix, ...]
    egresses: tuple[Egress, ...]
    answers_at: tuple[bytes, ...] = ()
    signalling: tuple[int, int] = (1000, 20000)
    self_test: SelfTestLine | None = None
    closed: tuple[Prefix, ...] = ()
    clamp_mtu: int = 0
    memory_reserve: int = 0

    @property
    def serves_ipv4(self) -> bool:
        """True if customers may have IPv4 networks here."""
        return any(len(aggregate.network) == 4 for aggregate in self.aggregates)


class UplinkPath(NamedTuple):
    """A line of a mobile router that may carry traffic."""

    bid: int
    interface: str
    care_of: bytes
    gateway: bytes
    weight: int = 1


class Volume(NamedTuple):
    """Packets and octets from a customer (`sent`) and to it (`received`)."""

    sent_packets: int = 0
    sent_octets: int = 0
    received_packets: int = 0
    received_octets: int = 0

    def plus(self, other: "Volume") -> "Volume":
        """Both together."""
        return Volume(*map(sum, zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """What a mobile router's data plane is built around. `clamp_mtu`: see `SitePlan`."""

    home_address: bytes
    prefixes: tuple[Prefix, ...]
    home_agent: bytes
    lan_interface: str | None
    clamp_mtu: int = 0
