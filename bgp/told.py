"""What ExaBGP was told for each neighbour and prefix, as far as it has confirmed it, and whom it knows. Pure.

Owns the difference between that and what is wanted. What is not known for certain is told again. A neighbour that
ExaBGP does not know (bgp.toml and exabgp.conf differ) has nothing of ours, and is left out; one that only ExaBGP knows
may have our route from before, and is told a withdraw. So neighbours come and go while the others' routes stay.
"""

from collections.abc import Iterable, Mapping

from bgp.events import Note
from bgp.route import UNKNOWN, Advertised, Place, Prefix, Route, Step, Terms, difference, for_neighbours


class Told:
    """`aggregates` to `neighbours`; nothing is known at first."""

    def __init__(self, aggregates: Iterable[Prefix], neighbours: tuple[Terms, ...]) -> None:
        self._aggregates = tuple(aggregates)
        self._neighbours: tuple[Terms, ...] = ()
        self._absent: frozenset[str] = frozenset()  # those that ExaBGP does not know
        self._advertised: dict[Place, Advertised] = {}
        self.take_neighbours(neighbours)

    def take_neighbours(self, neighbours: tuple[Terms, ...]) -> None:
        """Those we lose are told a withdraw, as nothing is wanted there; of those we get nothing is known."""
        before = {terms.neighbour for terms in self._neighbours}
        self._neighbours = neighbours
        self._absent &= {terms.neighbour for terms in neighbours}
        for terms in neighbours:
            if terms.neighbour not in before:
                self._suspect(terms.neighbour)  # for prefixes that it does not carry, too: it may have been otherwise

    @property
    def mrai_s(self) -> int:
        """The longest advertisement interval of our neighbours."""
        return max((terms.mrai_s for terms in self._neighbours), default=0)

    def described(self, listed: frozenset[str]) -> list[Note]:
        """ExaBGP lists these neighbours. Returns: what is odd about that."""
        ours = frozenset(terms.neighbour for terms in self._neighbours)
        notes = [
            Note("error", "ExaBGP has no such neighbour", {"neighbour": neighbour})
            for neighbour in sorted(ours - listed - self._absent)
        ]
        for neighbour in sorted(listed - {place[0] for place in self._advertised}):
            notes.append(Note("warning", "ExaBGP has a neighbour of its own", {"neighbour": neighbour}))
            self._suspect(neighbour)
        for neighbour in listed & self._absent:
            self._suspect(neighbour)
        for place in list(self._advertised):
            if place[0] not in listed:
                self._advertised[place] = None
                if place[0] not in ours:
                    del self._advertised[place]
        self._absent = ours - listed
        return notes

    def confirmed(self, place: Place, route: Route | None) -> None:
        """ExaBGP has this now; None: nothing."""
        self._advertised[place] = route

    def refused(self, place: Place) -> None:
        """A command failed: nobody knows what is there."""
        self._advertised[place] = UNKNOWN

    def shown(self, rib: Mapping[str, tuple[str, ...]]) -> frozenset[Place]:
        """Where ExaBGP's own RIB has a route of ours."""
        return frozenset(place for place in self._advertised if str(place[1]) in rib.get(place[0], ()))

    def steps(self, routes: Iterable[Route]) -> tuple[Step, ...]:
        """What to tell so that every neighbour hears exactly these routes, on its own terms; withdrawals first."""
        present = (terms for terms in self._neighbours if terms.neighbour not in self._absent)
        return difference(for_neighbours(routes, present), self._advertised)

    def prefixes(self) -> tuple[Prefix, ...]:
        """The prefixes ExaBGP confirmed to hold for some neighbour, and is not known to have dropped."""
        return tuple(dict.fromkeys(place[1] for place, route in self._advertised.items() if isinstance(route, Route)))

    def _suspect(self, neighbour: str) -> None:
        """It may have something of ours."""
        for prefix in self._aggregates:
            self._advertised[neighbour, prefix] = UNKNOWN
