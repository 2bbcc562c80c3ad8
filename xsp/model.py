"""What the office knows, as values: aggregates, sites, customers, uplinks. NetBox's words for addresses."""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network


@dataclass(frozen=True, slots=True)
class Office:
    """The xSP itself: its AS number and the anycast address of its home agents."""

    local_as: int
    home_agent_address: IPv6Address | None


@dataclass(frozen=True, slots=True)
class Site:
    """A home agent's site. `mrai_s`: the neighbour's advertisement interval, seconds."""

    name: str
    home_agent_set: str
    locator: IPv6Address
    interface: str
    gateway: IPv6Address
    neighbour: IPv6Address
    neighbour_as: int
    router_id: str
    mrai_s: int


@dataclass(frozen=True, slots=True)
class Uplink:
    """A customer's line: its BID, its share, and where its care-of address may lie (empty: anywhere)."""

    bid: int
    name: str
    weight: int = 1
    priority: int = 0
    allowed_care_of: tuple[IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer without its secret."""

    name: str
    state: str
    home_address: IPv6Address
    prefixes: tuple[IPv6Network, ...]
    uplinks: tuple[Uplink, ...]
    spi: int
    algorithm: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change: when (ISO 8601, UTC), who asked, what, and why."""

    at: str
    actor: str
    action: str
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class File:
    """A file's content; a secret one is readable by its owner alone."""

    text: str
    secret: bool = False
