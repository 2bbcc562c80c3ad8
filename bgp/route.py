"""A route to advertise, what each neighbour gets of it, and the difference between what is wanted and advertised.

Owns the values `Route` and `Terms`, their limits, and the order of steps: what must go away goes first. Refuses
communities and numbers that a BGP UPDATE cannot carry. RFC 4271 5.1.4 (MULTI_EXIT_DISC), RFC 1997 and RFC 8092
(communities), RFC 8326 (GRACEFUL_SHUTDOWN).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address

from bgp.errors import BgpError

Prefix = IPv4Network | IPv6Network

GRACEFUL_SHUTDOWN = "65535:0"  # RFC 8326 3; ExaBGP has no keyword for it
MAX_PREPEND = 16  # more than any path seen to need it; keeps a command in one pipe write
MAX_COMMUNITIES = 32  # the same


@dataclass(frozen=True, slots=True)
class Route:
    """One aggregate with the attributes it is announced with.

    `prepend` is how often our own AS stands in the path beyond the one that every EBGP announcement carries.
    """

    prefix: Prefix
    communities: tuple[str, ...] = ()
    med: int | None = None
    prepend: int = 0

    def __post_init__(self) -> None:
        for community in self.communities:
            if not is_community(community):
                raise BgpError(f"{community!r} is no BGP community", "write it as 64500:1 or, large, as 64500:1:2")
        if len(self.communities) > MAX_COMMUNITIES:
            raise BgpError(f"{len(self.communities)} communities on one route", f"use at most {MAX_COMMUNITIES}")
        if self.med is not None and not 0 <= self.med < 2**32:
            raise BgpError(f"MED {self.med} does not fit 32 bits", "use a number from 0 to 4294967295")
        if not 0 <= self.prepend <= MAX_PREPEND:
            raise BgpError(f"prepend {self.prepend} is out of range", f"use a number from 0 to {MAX_PREPEND}")

    def in_words(self) -> str:
        """For the history."""
        parts = [str(self.prefix)]
        parts += [f"prepend {self.prepend}"] if self.prepend else []
        parts += [f"med {self.med}"] if self.med is not None else []
        parts += [f"communities {' '.join(self.communities)}"] if self.communities else []
        return " ".join(parts)

    def depreferenced(self) -> "Route":
        """The same route with GRACEFUL_SHUTDOWN first: neighbours prefer any other path (RFC 8326 4)."""
        if GRACEFUL_SHUTDOWN in self.communities:
            return self
        return replace(self, communities=(GRACEFUL_SHUTDOWN, *self.communities))


@dataclass(frozen=True, slots=True)
class Terms:
    """A neighbour, and what it is told beyond what is common to all.

    `med` wins over the route's. `next_hop`: ours, for prefixes of the other family than the session's; without it the
    neighbour is told none of these. `mrai_s`: how long it may hold back a change towards its own neighbours.
    """

    neighbour: str
    autonomous_system: int = 0  # 0: not known, and then not ours
    communities: tuple[str, ...] = ()
    prepend: int = 0
    med: int | None = None
    next_hop: str | None = None
    mrai_s: int = 0

    def carries(self, prefix: Prefix) -> bool:
        """Whether the session is for prefixes of this family, too."""
        return self.next_hop is not None or ip_address(self.neighbour).version == prefix.version

    def applied(self, route: Route) -> Route:
        """What this neighbour gets; what would be too much for an UPDATE is left out from the end."""
        joined = tuple(dict.fromkeys((*route.communities, *self.communities)))
        return replace(
            route,
            communities=joined[:MAX_COMMUNITIES],
            prepend=min(route.prepend + self.prepend, MAX_PREPEND),
            med=route.med if self.med is None else self.med,
        )


def is_community(text: str) -> bool:
    """Whether `text` is a standard (RFC 1997, two times 16 bits) or large (RFC 8092, three times 32 bits) community."""
    parts = text.split(":")
    if not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        return False
    limit = {2: 2**16, 3: 2**32}.get(len(parts), 0)
    return all(int(part) < limit for part in parts)


@dataclass(frozen=True, slots=True)
class Unknown:
    """We cannot tell what is advertised for a prefix: at start, or after a refused command."""


UNKNOWN = Unknown()
Advertised = Route | Unknown | None


@dataclass(frozen=True, slots=True)
class Announce:
    """Advertise this route to one neighbour, replacing what is there for its prefix."""

    neighbour: str
    route: Route

    @property
    def prefix(self) -> Prefix:
        """The prefix it is about."""
        return self.route.prefix


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Advertise nothing for this prefix to one neighbour."""

    neighbour: str
    prefix: Prefix


Step = Announce | Withdraw
Place = tuple[str, Prefix]  # a neighbour's address and a prefix: where one route may stand


def for_neighbours(routes: Iterable[Route], neighbours: Iterable[Terms]) -> dict[Place, Route]:
    """What each of these neighbours is to be told, in their order."""
    routes = tuple(routes)
    return {
        (terms.neighbour, route.prefix): terms.applied(route)
        for terms in neighbours
        for route in routes
        if terms.carries(route.prefix)
    }


def difference(wanted: Mapping[Place, Route], advertised: Mapping[Place, Advertised]) -> tuple[Step, ...]:
    """The steps from `advertised` to `wanted`: withdrawals first, then announcements, each in order of prefix."""
    withdrawals = [Withdraw(*place) for place, route in advertised.items() if route is not None and place not in wanted]
    announcements = [Announce(place[0], route) for place, route in wanted.items() if advertised.get(place) != route]
    return (*sorted(withdrawals, key=_order), *sorted(announcements, key=_order))


def _order(step: Step) -> tuple[int, int, int]:
    """Neighbours stay in the order they came in: sorting is stable."""
    return (step.prefix.version, int(step.prefix.network_address), step.prefix.prefixlen)
