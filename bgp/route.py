"""A route to advertise, and the difference between what is wanted and what is advertised.

Owns the value `Route`, its limits, and the order of steps: what must go away goes first. Refuses communities and
numbers that a BGP UPDATE cannot carry. RFC 4271 5.1.4 (MULTI_EXIT_DISC), RFC 1997 and RFC 8092 (communities), RFC
8326 (GRACEFUL_SHUTDOWN).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network

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

    def depreferenced(self) -> "Route":
        """The same route with GRACEFUL_SHUTDOWN first: neighbours prefer any other path (RFC 8326 4)."""
        if GRACEFUL_SHUTDOWN in self.communities:
            return self
        return replace(self, communities=(GRACEFUL_SHUTDOWN, *self.communities))


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
    """Advertise this route to every neighbour, replacing what is there for its prefix."""

    route: Route

    @property
    def prefix(self) -> Prefix:
        """The prefix it is about."""
        return self.route.prefix


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Advertise nothing for this prefix to any neighbour."""

    prefix: Prefix


Step = Announce | Withdraw


def difference(wanted: Mapping[Prefix, Route], advertised: Mapping[Prefix, Advertised]) -> tuple[Step, ...]:
    """The steps from `advertised` to `wanted`: withdrawals first, then announcements, each in order of prefix."""
    withdrawals = [
        Withdraw(prefix) for prefix, route in advertised.items() if route is not None and prefix not in wanted
    ]
    announcements = [Announce(route) for prefix, route in wanted.items() if advertised.get(prefix) != route]
    return (*sorted(withdrawals, key=_order), *sorted(announcements, key=_order))


def _order(step: Step) -> tuple[int, int, int]:
    return (step.prefix.version, int(step.prefix.network_address), step.prefix.prefixlen)
