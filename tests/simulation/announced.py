"""Announcements: rules `dark` and `lease`.

The last announcement never ends for a soft reason, and if all have ended, a site that could serve does so within
`DARK_S`: 3 s until a silent peer counts as lost (`PEER_LOST_S`), the linger of 1 s, and the way there. A site whose
process does not work is not preferred once the lease of `speaker.LEASE_S` has run out.
"""

from typing import TYPE_CHECKING

from bgp.route import GRACEFUL_SHUTDOWN
from bgp.speaker import LEASE_S
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

DARK_S = 6.0
SERVES_AFTER_S = 5.0  # a start: first synchronisation and self-test
BELIEF_S = 1.5  # what another site said of its announcement is believed so long at most (`speaker.OTHERS_FRESH_S`)
TICK_S = 0.1


class Announced:
    """Who announces, and since when nobody does."""

    def __init__(self, world: "World") -> None:
        self._world, self._schedule = world, world.schedule
        self._hard_at = -BELIEF_S
        self._dark_since: float | None = 0.0
        self._serving_since: dict[str, float] = {}

    def changed(self, machine: "Machine") -> None:
        """What a site announces has changed."""
        if any(one.bridge.rib for one in self._world.machines):
            self._dark_since = None
            if not machine.bridge.rib and self._is_hard(machine):
                self._hard_at = self._schedule.now
            return
        if self._dark_since is not None:
            return
        self._dark_since = self._schedule.now
        if self._is_hard(machine):
            self._hard_at = self._schedule.now
        elif self._schedule.now - self._hard_at > BELIEF_S:
            raise Violation(
                "dark", f"{machine.name} was the last to announce and withdrew: {machine.bridge.speaker.reason}"
            )

    def _is_hard(self, machine: "Machine") -> bool:
        """Can it not forward, or was its bridge killed?"""
        return not machine.powered or not machine.egress or not machine.bridge.has_announced

    def look(self, machine: "Machine") -> None:
        """Now and then."""
        now = self._schedule.now
        if machine.runs() and machine.egress and machine.serves:
            since = self._serving_since.setdefault(machine.name, now)
        else:
            self._serving_since.pop(machine.name, None)
            since = now
        if self._dark_since is not None and now - max(since, self._dark_since) > DARK_S + SERVES_AFTER_S:
            why = machine.bridge.speaker.reason
            raise Violation("dark", f"nobody announces, and {machine.name} could: {why}")
        routes = machine.bridge.rib.values() if machine.powered else ()
        asleep_s = now - machine.idle.since if machine.idle.since is not None else 0.0
        if asleep_s > LEASE_S + TICK_S and any(GRACEFUL_SHUTDOWN not in one.communities for one in routes):
            raise Violation("lease", f"{machine.name} is preferred, and nobody renewed its lease for {asleep_s:.1f} s")
