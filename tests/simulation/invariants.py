"""What must hold at every instant, and in the end. Looks on by the cores' public state, and never touches it.

The rules, each where its numbers come from:

* `promises`: status 0 is true, accepted means that the record changed, and no death of a site loses what was promised.
* Here: versions never go back at a site in one life of its process, but for a Binding Update that its kernel refused;
  and what a router wiped (O flag, a plain update, delete all) is in no record that knows of it.
* `given_up`: no site forwards to an address that its router has given up for longer than the bound.
* `lockout`: no router is locked out by a bad clock for longer than the bound.
* `announced`: somebody announces, and nobody who does not work is preferred.
* `spread`: what one site holds those who are connected to it hold too.
* `memory`: nothing is kept that nobody needs.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha.effects import Effect, SendBindingAck
from ha.events import (
    BindingUpdateReceived,
    Event,
    ForwardingReported,
    HeartbeatReceived,
    RecordsReceived,
    RevokeAsked,
    TableLoaded,
)
from ha.record import PLAIN_BID, Record
from mip6.numbers import Status
from mip6.options import BindingIdentifier
from mr.events import SendBindingUpdate
from tests.simulation import trace
from tests.simulation.announced import Announced
from tests.simulation.given_up import GivenUp
from tests.simulation.lockout import Lockout
from tests.simulation.memory import Memory
from tests.simulation.promises import Promises
from tests.simulation.records import gone_back, is_of_tomorrow
from tests.simulation.spread import Spread
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.router import Router
    from tests.simulation.world import World

LOOK_EVERY_S = 0.5

# Events that may change records; time only ends what is in them.
CHANGING = {
    BindingUpdateReceived,
    ForwardingReported,
    HeartbeatReceived,
    RecordsReceived,
    RevokeAsked,
    TableLoaded,
}


class Watch:
    """Looks on. Raises `Violation` out of the event that broke a rule."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._schedule = world.schedule
        self._settled: dict[str, dict[bytes, Record]] = {}
        self._accepted: dict[str, int] = {}
        self.promises, self.announced = Promises(world), Announced(world)
        self.given_up, self.lockout = GivenUp(world), Lockout(world)
        self.spread, self.memory = Spread(world), Memory(world)
        self._schedule.after(LOOK_EVERY_S, self._look)

    # -- lives of processes

    def born(self, machine: "Machine") -> None:
        """A home agent starts."""
        self._world.tell(f"{machine.name} starts")
        self._settled[machine.name] = {}
        self._accepted[machine.name] = 0
        self.promises.born(machine)
        self.spread.born(machine)

    def died(self, machine: "Machine") -> None:
        """A home agent's process is gone."""
        self.promises.died(machine)

    # -- events at home agents

    def handled(self, machine: "Machine", event: Event, done: Sequence[Effect]) -> None:
        """A home agent handled an event; its effects are not carried out yet."""
        if self._world.is_told:
            for line in trace.handled(machine.name, event, done, self._world.name):
                self._world.tell(line)
        assert machine.agent is not None
        self.promises.heard(machine)
        if isinstance(event, RevokeAsked | TableLoaded):
            for home, record in machine.agent.cache.records.items():
                self.memory.named(home, record.cells)  # revoked, they are tombstones for a while
        if isinstance(event, BindingUpdateReceived):
            self._update_heard(machine, event, done)
        acks = [effect for effect in done if isinstance(effect, SendBindingAck)]
        if type(event) in CHANGING:
            self.memory.told(machine)
        if acks or type(event) in CHANGING:
            self._check_versions(machine)
        good = [ack for ack in acks if ack.ack.status < Status.REASON_UNSPECIFIED]
        if good:
            self.promises.acknowledged(machine, good)

    def _update_heard(self, machine: "Machine", event: BindingUpdateReceived, done: Sequence[Effect]) -> None:
        router = self._world.router(event.home_address or event.source)
        accepted = machine.counters.get("binding_updates_accepted")
        if accepted > self._accepted[machine.name]:
            self.lockout.taken(router)
            before = self._settled[machine.name].get(router.home)
            self.promises.taken(machine, router, event.update, before)
            if before is not None and is_of_tomorrow(machine, before):
                # It gave way, and does though the clock be right again when the kernel has what takes its place.
                del self._settled[machine.name][router.home]
        else:
            sent_at = self.promises.sent_at(router, event.update)
            self.lockout.not_taken(machine, router, event.source, sent_at, done)
        self._accepted[machine.name] = accepted

    def _check_versions(self, machine: "Machine") -> None:
        assert machine.agent is not None
        cache, settled = machine.agent.cache, self._settled[machine.name]
        for home in settled.keys() - cache.records.keys():
            if (left := settled.pop(home).without_expired(machine.now())) is not None:
                who = f"{machine.name} forgot {self._world.name(home)}"
                raise Violation("back", f"{who}, which could matter for {left.kept_until - machine.now():.1f} s")
        for home, record in cache.records.items():
            before = settled.get(home)
            if before is record:
                continue
            pending = cache.pending.get(home)
            if pending is not None and pending.local is not None:
                continue  # the kernel may refuse it yet, then it never was
            settled[home] = record
            if any(cell.version <= record.floor for cell in record.cells.values()):
                raise Violation("floor", f"{machine.name} keeps a binding of {self._world.name(home)} that was wiped")
            if before is None or before.without_expired(machine.now()) is None:
                continue  # new, or forgotten meanwhile
            if is_of_tomorrow(machine, before):
                continue  # what a wrong clock wrote is replaced when it is right again
            if why := gone_back(before, record, machine.now()):
                raise Violation("back", f"{machine.name}: {why} of {self._world.name(home)} went back")

    # -- routers

    def updated(self, router: "Router", update: SendBindingUpdate) -> None:
        """A router sends a Binding Update."""
        if self._world.is_told:
            self._world.tell(trace.update(router.name, update))
        self.promises.updated(router, update.message)
        self.memory.named(router.home, [PLAIN_BID, *(one.bid for one in update.message.all(BindingIdentifier))])

    # -- now and then

    def _look(self) -> None:
        self._schedule.after(LOOK_EVERY_S, self._look)
        self.lockout.look()
        self.spread.look()
        for machine in self._world.machines:
            self.announced.look(machine)
            if machine.powered:
                self.given_up.look(machine)
        self.memory.look(self._world.machines)

    def finished(self) -> None:
        """In the end, when all is quiet: nothing was kept that nobody needs."""
        for machine in self._world.machines:
            self.memory.finished(machine)
