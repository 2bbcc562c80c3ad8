"""What the office knows, as values: aggregates, sites, customers, uplinks. NetBox's words for addresses."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv6Address | IPv4Address


@dataclass(frozen=True, slots=True)
class Office:
    """The xSP itself: its AS number and the anycast address of its home agents."""

    local_as: int
    home_agent_address: IPv6Address | None


class Kind(StrEnum):
    """Whose router a BGP neighbour is: an ISP's (EBGP), or one of our own (IBGP if it has our AS number).

    A route reflector (RFC 4456) is one of our own that passes on to the others what the site announces, its client, and
    may be any number of hops away.
    """

    ISP = "isp"
    OWN_ROUTER = "own-router"
    ROUTE_REFLECTOR = "route-reflector"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A BGP neighbour of a site, and what the aggregates are announced to it with, beyond what is common to all.

    `md5`: whether a password is kept for it (RFC 2385). `gtsm`: packets must come over one hop (RFC 5082). `mrai_s`:
    how long it may hold back a change towards its own neighbours, seconds. `local_address`: ours on this session, None:
    the locator. `next_hop`: ours, for prefixes of the other family than the session's, which it is not told otherwise.
    """

    address: Address
    autonomous_system: int
    kind: Kind = Kind.ISP
    communities: tuple[str, ...] = ()
    prepend: int = 0
    med: int | None = None
    md5: bool = False
    gtsm: bool = False
    bfd: bool = True
    mrai_s: int = 0
    local_address: Address | None = None
    next_hop: Address | None = None

    @property
    def reflects(self) -> bool:
        """Whether it is a route reflector."""
        return self.kind is Kind.ROUTE_REFLECTOR

    def carries(self, version: int) -> bool:
        """Whether it is told prefixes of this version of IP."""
        return self.address.version == version or self.next_hop is not None


class Role(StrEnum):
    """What a site is in its set; `BOTH` is a home agent that also reflects."""

    HOME_AGENT = "home-agent"
    BOTH = "both"
    REFLECTOR = "reflector"


@dataclass(frozen=True, slots=True)
class Site:
    """A site, its neighbours in order of address; a reflector alone has neither neighbours nor a gateway."""

    name: str
    home_agent_set: str
    locator: IPv6Address
    interface: str
    gateway: IPv6Address | None
    router_id: str
    neighbours: tuple[Neighbour, ...] = ()
    role: Role = Role.HOME_AGENT

    def announces(self, version: int) -> bool:
        """Whether any neighbour is told prefixes of this version of IP."""
        return any(neighbour.carries(version) for neighbour in self.neighbours)

    def ours(self, neighbour: Neighbour) -> Address:
        """This site's end of the session with a neighbour."""
        return neighbour.local_address or self.locator

    @property
    def mrai_s(self) -> int:
        """The longest that a neighbour may hold back a change, seconds."""
        return max((neighbour.mrai_s for neighbour in self.neighbours), default=0)


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
    prefixes: tuple[IPv6Network | IPv4Network, ...]
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
class SiteCertificates:
    """What a site is given, PEM: the authority, its own certificate and key, and the revocation list."""

    authority: str
    certificate: str
    key: str = field(repr=False)
    revoked: str


@dataclass(frozen=True, slots=True)
class File:
    """A file's content; a secret one is readable by its owner alone."""

    text: str
    secret: bool = False
