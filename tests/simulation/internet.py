"""The Internet between mobile routers and sites: anycast routes as each ISP sees them, and datagrams that get lost.

An ISP takes the nearest site among those that are announced to it, a depreferenced one only if there is no other (RFC
8326). It hears of a change after a delay of its own. Datagrams are lost, doubled, delayed and so overtake each other.
"""

import random
from typing import TYPE_CHECKING

from bgp.route import GRACEFUL_SHUTDOWN
from tests.simulation.schedule import Schedule

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.router import Line, Router

HOME_AGENT = bytes.fromhex("20010db8f00000000000000000000001")
LATE_MAX_S = 3.0  # a doubled datagram comes so much later at most


class Internet:
    """Routes and datagrams. `loss`: share of datagrams lost now; `is_hushed`: no home agent hears a router."""

    def __init__(self, seed: int, schedule: Schedule, isps: int, convergence_s: float, loss: float) -> None:
        self.loss = loss
        self.is_hushed = False
        self.machines: list[Machine] = []
        self.lines: dict[bytes, tuple[Router, Line]] = {}  # care-of address in use -> whose, and which line
        self._schedule = schedule
        self._convergence_s = convergence_s
        self._random = random.Random(f"{seed} internet")
        self._distance = [[self._random.random() for _ in range(8)] for _ in range(isps)]
        self._seen: list[dict[str, bool]] = [{} for _ in range(isps)]  # site -> preferred
        self._nearest: list[Machine | None] = [None] * isps

    # -- routes

    def announcement_changed(self, machine: "Machine") -> None:
        """What a site announces has changed; each ISP hears of it in its time."""
        for isp in range(len(self._seen)):
            self._schedule.after(self._random.random() * self._convergence_s, self._hear, isp, machine)

    def _hear(self, isp: int, machine: "Machine") -> None:
        seen = self._seen[isp]
        seen.pop(machine.name, None)
        routes = list(machine.bridge.rib.values()) if machine.powered else []
        if routes:
            seen[machine.name] = GRACEFUL_SHUTDOWN not in routes[0].communities
        known = [
            (not seen[one.name], self._distance[isp][one.number], one) for one in self.machines if one.name in seen
        ]
        self._nearest[isp] = min(known, key=lambda each: each[:2])[2] if known else None

    def nearest(self, isp: int) -> "Machine | None":
        """Where a packet to the anycast address goes from there."""
        return self._nearest[isp]

    # -- datagrams

    def to_home_agent(self, isp: int, packet: bytes) -> None:
        """A router sends a whole packet to the anycast address."""
        if self.is_hushed:
            return
        for late_s in self.fates():
            self._schedule.after(late_s, self._reach_site, isp, packet)

    def _reach_site(self, isp: int, packet: bytes) -> None:
        machine = self._nearest[isp]
        if machine is not None and machine.powered:
            machine.receive_packet(packet)

    def to_router(self, packet: bytes) -> None:
        """A site sends a whole packet to a care-of address."""
        for late_s in self.fates():
            self._schedule.after(late_s, self._reach_router, packet)

    def _reach_router(self, packet: bytes) -> None:
        found = self.lines.get(packet[24:40])
        if found is not None:
            found[0].receive_packet(packet)

    def fates(self) -> list[float]:
        """When the copies of a datagram arrive: usually one, soon."""
        draw = self._random.random
        if draw() < self.loss:
            return []
        soon_s = 0.002 + 0.04 * draw()
        if draw() < 0.02:
            return [soon_s, soon_s + LATE_MAX_S * draw()]
        return [soon_s + (0.3 * draw() if draw() < 0.03 else 0.0)]
