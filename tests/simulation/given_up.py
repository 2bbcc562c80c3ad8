"""No site forwards to an address that its router has given up, nor to one that its own record lacks: rule `stale`.

Nobody may tell the site that the address was given up, or be able to: then the binding's lifetime ends it. It runs from
when the last Binding Update that names the address was heard, which may have been under way for as long as the replay
window lets it, and travels between sites as remaining time, so what a frame waits in TCP comes on top. That is
`stale_s`. Only what hinders this very site does not count: no process at work, or a kernel that is slow or refuses this
very customer. If the site's record does not name the address, its kernel may for `KERNEL_S`; what a start finds in the
kernel of customers without a record stays until the other sites were asked.
"""

from typing import TYPE_CHECKING

from tests.simulation.records import REPLAY_WINDOW_S
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.router import Router
    from tests.simulation.world import World

HELD_S = 6.0  # a frame waits in TCP for 3 s at most before the connection is given up; twice, by way of a third site
TICKS_S = 2.0  # expiry is looked for every 100 ms, and the kernel may refuse once
KERNEL_S = 2.5  # it is asked again a second after a refusal, and looked at twice a second


class GivenUp:
    """The addresses that routers gave up, and when; how long each site was hindered until then."""

    def __init__(self, world: "World") -> None:
        self._world, self._schedule = world, world.schedule
        self._given_up: dict[bytes, tuple[Router, float, dict[str, float]]] = {}
        self._odd: dict[tuple[str, bytes], tuple[float, float]] = {}

    def taken(self, care_of: bytes) -> None:
        """A router hears at this address from now on."""
        self._given_up.pop(care_of, None)

    def withdrawn(self, router: "Router", care_of: bytes) -> None:
        """... and does not any more."""
        before = {machine.name: machine.hindered_s(router.home) for machine in self._world.machines}
        self._given_up[care_of] = (router, self._schedule.now, before)

    def look(self, machine: "Machine") -> None:
        """What does its kernel forward to?"""
        odd = {}
        is_synced = machine.agent is not None and machine.agent.serving.knowledge.synced
        for home, entry in machine.plane.read().items():
            record = machine.agent.cache.records.get(home) if machine.agent is not None else None
            live = record.live(machine.now()).values() if record is not None else ()
            wanted = {cell.care_of for cell in live}
            for path in entry.paths:
                if path.care_of in self._given_up:
                    self._check(machine, path.care_of)
                if machine.agent is not None and path.care_of not in wanted and (record or is_synced):
                    odd[machine.name, path.care_of] = (self._schedule.now, machine.hindered_s(home))
                    since, before_s = self._odd.get((machine.name, path.care_of), odd[machine.name, path.care_of])
                    odd[machine.name, path.care_of] = since, before_s
                    if self._schedule.now - since - (machine.hindered_s(home) - before_s) > KERNEL_S:
                        raise Violation("stale", f"{machine.name} forwards to an address that its record lacks")
        self._odd = {key: value for key, value in self._odd.items() if key[0] != machine.name} | odd

    def _check(self, machine: "Machine", care_of: bytes) -> None:
        router, since, before = self._given_up[care_of]
        gone_s = self._schedule.now - since
        late_s = gone_s - (machine.hindered_s(router.home) - before[machine.name])
        if late_s > stale_s(router):
            raise Violation(
                "stale", f"{machine.name} forwards to an address that {router.name} gave up {gone_s:.1f} s ago"
            )


def stale_s(router: "Router") -> float:
    """How long a site may forward to an address that the router gave up."""
    return router.settings.lifetime_s + REPLAY_WINDOW_S + HELD_S + TICKS_S
