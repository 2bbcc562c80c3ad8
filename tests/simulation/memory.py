"""Memory is bounded: rule `memory`.

* All along: no container of a home agent, whatever it is for (records, orders to the kernel, acknowledgements awaited,
  frames owed, peers that catch up, limits), has more in it than there can be reasons for: routers and sites, and what
  was said to this home agent in the last `SHORT_S`, in which everything that waits is answered or given up. The same
  goes for frames on their way to a slow or silent peer.
* A record has no cell, tombstone or not, whose time is over (`EXPIRED_S`), nor one of a BID that its router has not
  named for as long as anything in a record may matter. Roaming routers name ever other ones.
* A record goes when nothing in it can matter any more, and there is none of anybody but the routers.
* In the end, when all is quiet, all objects together are no more than a quiet home agent has for so many routers.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ha.awaiting import AWAITED_MAX_S
from ha.limits import STRETCH_S
from ha.serving import REMEMBERED
from tests.simulation.records import reachable
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

EVERY_S = 2.0  # containers are counted so often
SHORT_S = max(AWAITED_MAX_S, STRETCH_S) + EVERY_S
EXPIRED_S = 1.0  # expiry is looked for every 100 ms by a process that is at work
LATE_S = 22.0  # a BU may be 7 s old, its frame waits in TCP for 6 s, and in a process that stands still for 7 s
A_ROUTER = 3  # a container may have a place for each router and kind of cost
FIXED, PER_ROUTER = 4000, 1000  # objects reachable from a quiet home agent, measured, times two


class Memory:
    """Counts what each home agent keeps, and what it was told."""

    def __init__(self, world: "World") -> None:
        self._world, self._schedule = world, world.schedule
        self._named: dict[tuple[bytes, int], float] = {}
        self._told: dict[str, deque[float]] = {machine: deque() for machine in world.names()}
        self._over: dict[str, dict[tuple[bytes, int | None], float]] = {machine: {} for machine in world.names()}
        self._counted_at = 0.0

    def told(self, machine: "Machine") -> None:
        """A home agent was told something that may make it remember."""
        self._told[machine.name].append(self._schedule.now)

    def named(self, home: bytes, bids: Iterable[int]) -> None:
        """A router, or somebody in its place, names these BIDs."""
        for bid in bids:
            self._named[home, bid] = self._schedule.now

    def look(self, machines: "Iterable[Machine]") -> None:
        """Now and then, at all that work."""
        counts = self._schedule.now - self._counted_at >= EVERY_S
        for machine in machines:
            if machine.runs():
                self._check_cells(machine)
                if self._schedule.now - machine.idle.stopped_at > EXPIRED_S:
                    self._check_times(machine)
                if counts:
                    self._count(machine)
        if counts:
            self._counted_at = self._schedule.now

    def _check_cells(self, machine: "Machine") -> None:
        assert machine.agent is not None
        lately = self._schedule.now - machine.agent.state.longest_s() - LATE_S
        for home, record in machine.agent.cache.records.items():
            if not self._world.is_known(home):
                raise Violation("memory", f"{machine.name} keeps a record of nobody")
            for bid in record.cells:
                if self._named.get((home, bid), -1.0) < lately:
                    who = f"{machine.name} keeps BID {bid} of {self._world.name(home)}"
                    raise Violation("memory", f"{who}, which nobody has named for long")

    def _check_times(self, machine: "Machine") -> None:
        """What is over goes when it is next looked for; it may have come a moment ago, from one who stood still."""
        assert machine.agent is not None
        now, known, over = machine.now(), self._over[machine.name], dict[tuple[bytes, int | None], float]()
        for home, record in machine.agent.cache.records.items():
            times: dict[int | None, float] = {bid: cell.expires_at for bid, cell in record.cells.items()}
            for bid, until in (times or {None: record.kept_until}).items():
                if until < now:
                    over[home, bid] = since = known.get((home, bid), self._schedule.now)
                    if self._schedule.now - since > EXPIRED_S:
                        what = "a record" if bid is None else f"BID {bid}"
                        who = f"{machine.name} keeps {what} of {self._world.name(home)}"
                        raise Violation("memory", f"{who}, whose time is over")
        self._over[machine.name] = over

    def _count(self, machine: "Machine") -> None:
        told = self._told[machine.name]
        while told and told[0] < self._schedule.now - SHORT_S:
            told.popleft()
        routers, sites = len(self._world.routers), len(self._world.machines)
        most = REMEMBERED + sites + A_ROUTER * routers + len(told)
        for name, size in containers(machine.agent):
            if size > most:
                raise Violation("memory", f"{machine.name} has {size} things in {name}, and reason for {most}")
        for stream in machine.streams:
            if stream.waiting() > most:
                raise Violation("memory", f"{stream.waiting()} frames wait for {stream.listener.name}")

    def finished(self, machine: "Machine") -> None:
        """In the end, when all is quiet."""
        assert machine.agent is not None
        routers = len(self._world.routers)
        size = reachable(machine.agent)
        if size > FIXED + PER_ROUTER * routers:
            raise Violation("memory", f"{machine.name} holds {size} objects for {routers} routers")


def containers(root: object) -> Iterator[tuple[str, int]]:
    """Every mapping, list and set that an object of `ha` has, by way of others of `ha`: its name, and how many are in.

    What is in them is not looked into.
    """
    seen: set[int] = set()
    waiting = [("", root)]
    while waiting:
        path, one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for name in _attributes(one):
            value = getattr(one, name, None)
            if isinstance(value, dict | list | set | deque):
                yield f"{path}.{name}", len(value)
            elif type(value).__module__.startswith("ha."):
                waiting.append((f"{path}.{name}", value))


def _attributes(one: object) -> Iterable[str]:
    if hasattr(one, "__dict__"):
        return tuple(vars(one))
    return [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ()) if not name.startswith("__")]
