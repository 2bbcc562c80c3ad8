"""What one site holds the other holds too, soon: rule `apart`, and its time `SPREAD_S`.

Of every two home agents that have streams with each other: what one has held for `SPREAD_S`, while both worked, knew
the time and were connected, the other holds, or something newer. It is judged version by version, so that a router who
speaks again meanwhile hides nothing.

`SPREAD_S`: a difference is found by sums that are shown every `DIGEST_EVERY_S`, and the first may come while an older
question is open; one second for opening streams, full sets and the way. What was sent before both were well may have
been refused, for a clock was wrong, and counts as under way for `AWAITED_MAX_S` more, though the record may have
changed in other parts since. What a site heard while its own clock was ahead no other can believe until the clocks have
caught up with it, and then `SPREAD_S` again. A reflector that starts is not asked until it has told all (`HOLD_BACK_S`
and more), so it is judged from then on.
"""

from collections import deque
from typing import TYPE_CHECKING

from ha.awaiting import AWAITED_MAX_S
from ha.record import Record
from ha.repair import DIGEST_EVERY_S
from mip6 import ntp
from tests.simulation.records import BELIEVED_AHEAD_S, lacks
from tests.simulation.schedule import UNIX
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

LOOK_S = 0.5  # what is noted may have happened so much earlier
SPREAD_S = 2 * DIGEST_EVERY_S + 1.0
Held = tuple[float, Record]


class Spread:
    """What each site has held, and for how long."""

    def __init__(self, world: "World") -> None:
        self._world, self._schedule = world, world.schedule
        self._held: dict[tuple[str, bytes], deque[Held]] = {}
        self._well_since: dict[str, float] = {}
        self._told_since: dict[tuple[str, str], float] = {}
        self._had: dict[tuple[str, str, bytes], Record] = {}  # what the one had when both became calm
        self._found: dict[tuple[str, str, bytes], Record] = {}  # what the other is known to hold, or newer
        self.judged = 0

    def born(self, machine: "Machine") -> None:
        """A new process holds what it finds."""
        for router in self._world.routers:
            self._held.pop((machine.name, router.home), None)
        self._found = {key: record for key, record in self._found.items() if key[1] != machine.name}

    def look(self) -> None:
        """Now and then."""
        for machine in self._world.machines:
            if machine.is_well():
                self._well_since.setdefault(machine.name, self._schedule.now)
                self._note(machine)
            else:
                self._well_since.pop(machine.name, None)
        for one in self._world.machines:
            for other in self._world.machines:
                if one is other:
                    continue
                calm_s = self._calm_s(one, other)
                if calm_s < LOOK_S:
                    self._note_had(one, other)
                elif calm_s >= SPREAD_S:
                    self._compare(one, other, calm_s)

    def _note(self, machine: "Machine") -> None:
        assert machine.agent is not None
        now = self._schedule.now
        for router in self._world.routers:
            record = machine.agent.cache.committed(router.home)
            held = self._held.setdefault((machine.name, router.home), deque())
            if record is not None and not (held and held[-1][1] is record):
                held.append((now, record))
            while len(held) > 1 and held[1][0] <= now - SPREAD_S:
                held.popleft()

    def _note_had(self, one: "Machine", other: "Machine") -> None:
        for router in self._world.routers:
            record = one.agent.cache.committed(router.home) if one.agent is not None else None
            if record is None:
                self._had.pop((one.name, other.name, router.home), None)
            else:
                self._had[one.name, other.name, router.home] = record

    def _calm_s(self, one: "Machine", other: "Machine") -> float:
        """For how long both have been well, and all streams between them open; 0: they are not, or have none."""
        streams = [stream for stream in (*one.streams, *one.heard) if other in (stream.dialer, stream.listener)]
        pair = (one.name, other.name)
        if not streams or not all(stream.is_open and stream.wire.carries() for stream in streams):
            self._told_since.pop(pair, None)
            return 0.0
        since = [self._well_since.get(machine.name, self._schedule.now) for machine in (one, other)]
        since += [stream.opened_at for stream in streams]
        if one.topology.reflects or other.topology.reflects:
            if _has_told(one, other) and _has_told(other, one):
                since.append(self._told_since.setdefault(pair, self._schedule.now))
            else:
                self._told_since.pop(pair, None)
                return 0.0
        return self._schedule.now - max(since)

    def _compare(self, one: "Machine", other: "Machine", calm_s: float) -> None:
        assert one.agent is not None and other.agent is not None
        now = self._schedule.now
        for router in self._world.routers:
            held = self._held.get((one.name, router.home))
            if not held or held[0][0] > now - SPREAD_S:
                continue
            record, key = held[0][1], (one.name, other.name, router.home)
            if self._found.get(key) is record or _was_of_tomorrow(record, now):
                continue
            what, had = lacks(other, record, one.now()), self._had.get(key)
            if what and calm_s < SPREAD_S + AWAITED_MAX_S and had is not None and lacks(other, had, one.now()) == what:
                continue
            self.judged += 1
            if what:
                who = f"{other.name} lacks {what} of {router.name}"
                raise Violation("apart", f"{who}, which {one.name} has held for {now - held[0][0]:.1f} s")
            self._found[key] = record


def _has_told(one: "Machine", to: "Machine") -> bool:
    """Has `to` been told all by `one`?"""
    if to.agent is None:
        return False
    peer = to.agent.replication.peers[one.name]
    return peer.complete and not peer.asked


def _was_of_tomorrow(record: Record, now: float) -> bool:
    """Had a right clock to doubt it until lately?"""
    return ntp.to_unix(record.newest().time) - UNIX - now > BELIEVED_AHEAD_S - SPREAD_S
