"""Carries out the deeds of a scenario: what each kind does to the world, and how it ends.

Several may hold the same thing at once (a wire cut twice); it comes back when the last of them ends.
"""

from collections import Counter
from typing import TYPE_CHECKING

from ha.events import OperatorAsked, RevokeAsked
from ha.readiness import Mode
from tests.simulation.scenario import Deed

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.wires import Stream, Wire
    from tests.simulation.world import World

SLOW_MAX_S = 0.6
LOSS_MAX = 0.6


class Faults:
    """Does deeds to `world`."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._schedule = world.schedule
        self._held: Counter[tuple[str, int]] = Counter()

    def do(self, deed: Deed) -> None:
        """Do it, and see to its end."""
        self._world.tell(f"== {deed.kind} {deed.who} {deed.other} {deed.amount:g} for {deed.for_s:.3f} s")
        getattr(self, f"_{deed.kind}")(deed)

    def finds(self, deed: Deed) -> bool:
        """Is there anything to do it to? A process that is not there dies no more."""
        machines, routers = self._world.machines, self._world.routers
        match deed.kind:
            case "kill":
                return machines[deed.who].agent is not None
            case "revoke":
                return machines[deed.other].agent is not None
            case "freeze":
                return machines[deed.who].runs()
            case "power" | "wipe" | "bridge":
                return machines[deed.who].powered
            case "crash" | "amnesia" | "stop":
                return routers[deed.who].core is not None
            case "vanish":
                return not routers[deed.who].vanished
        return True

    # -- between the sites

    def _cut(self, deed: Deed) -> None:
        self._cut_wires([self._world.wires[frozenset((deed.who, deed.other))]], deed.for_s)

    def _part(self, deed: Deed) -> None:
        """Some of the sites, by the bits of a number, against the others."""
        sites = len(self._world.machines)
        some = 1 + int(deed.amount * (2**sites - 2))
        apart = [wire for pair, wire in self._world.wires.items() if len({some >> one & 1 for one in pair}) == 2]
        self._cut_wires(apart, deed.for_s)

    def _cut_wires(self, wires: "list[Wire]", for_s: float) -> None:
        for wire in wires:
            wire.cuts += 1
            self._schedule.after(for_s, self._heal, wire)

    def _heal(self, wire: "Wire") -> None:
        wire.cuts -= 1
        if wire.carries():
            for stream in self._streams(wire):
                stream.healed()

    def _reset(self, deed: Deed) -> None:
        """Somebody on the way forgets connections: all of a site's with others, or one pair's."""
        for pair, wire in self._world.wires.items():
            if deed.who in pair and (deed.who == deed.other or deed.other in pair):
                for stream in self._streams(wire):
                    stream.break_()

    def _streams(self, wire: "Wire") -> "list[Stream]":
        return [stream for machine in wire.ends for stream in machine.streams if stream.wire is wire]

    # -- sites

    def _machine(self, deed: Deed) -> "Machine":
        return self._world.machines[deed.who]

    def _kill(self, deed: Deed) -> None:
        machine = self._machine(deed)
        machine.kill()
        self._schedule.after(deed.for_s, machine.start)

    def _power(self, deed: Deed) -> None:
        self._machine(deed).lose_power(disk=True)
        self._schedule.after(deed.for_s, self._machine(deed).regain_power)

    def _wipe(self, deed: Deed) -> None:
        self._machine(deed).lose_power(disk=False)
        self._schedule.after(deed.for_s, self._machine(deed).regain_power)

    def _freeze(self, deed: Deed) -> None:
        machine = self._machine(deed)
        machine.freeze()
        self._schedule.after(deed.for_s, machine.thaw)

    def _bridge(self, deed: Deed) -> None:
        machine = self._machine(deed)
        if machine.powered:
            machine.bridge.start()

    def _egress(self, deed: Deed) -> None:
        machine = self._machine(deed)
        self._hold("egress", machine.number)
        machine.set_egress(False)
        self._schedule.after(deed.for_s, self._egress_back, machine)

    def _egress_back(self, machine: "Machine") -> None:
        if self._free("egress", machine.number):
            machine.set_egress(True)

    def _refuse(self, deed: Deed) -> None:
        """The kernel takes nothing for one customer."""
        machine = self._machine(deed)
        machine.refuse(self._world.routers[deed.other].home)
        self._hold("refuse", machine.number)
        self._schedule.after(deed.for_s, self._take, machine)

    def _take(self, machine: "Machine") -> None:
        if self._free("refuse", machine.number):
            machine.refuse(None)

    def _slow(self, deed: Deed) -> None:
        machine = self._machine(deed)
        machine.slow_down(SLOW_MAX_S * deed.amount)
        self._hold("slow", machine.number)
        self._schedule.after(deed.for_s, self._quick, machine)

    def _quick(self, machine: "Machine") -> None:
        if self._free("slow", machine.number):
            machine.slow_down(0.0)

    def _clock(self, deed: Deed) -> None:
        self._set_clocks([self._machine(deed)], deed)

    def _tide(self, deed: Deed) -> None:
        """What all home agents take the time from is wrong."""
        self._set_clocks(self._world.machines, deed)

    def _set_clocks(self, machines: "list[Machine]", deed: Deed) -> None:
        for machine in machines:
            machine.skew_s = deed.amount
            self._hold("clock", machine.number)
            self._schedule.after(deed.for_s, self._clock_right, machine)
        alike = [one for one in self._world.machines if one.skew_s == deed.amount]
        if 2 * len(alike) > len(self._world.machines):
            self._world.watch.promises.tide(deed.for_s)

    def _clock_right(self, machine: "Machine") -> None:
        if self._free("clock", machine.number):
            machine.skew_s = 0.0

    # -- operators and office

    def _revoke(self, deed: Deed) -> None:
        """One binding of a router, or all, at some site."""
        router = self._world.routers[deed.who]
        bid = int(deed.amount * (len(router.lines) + 1))
        self._world.machines[deed.other].feed(RevokeAsked(router.home, (bid,) if bid else ()))

    def _drain(self, deed: Deed) -> None:
        self._wish(deed, Mode.DRAIN)

    def _prefer(self, deed: Deed) -> None:
        self._wish(deed, Mode.DEPREFERENCE)

    def _wish(self, deed: Deed, mode: Mode) -> None:
        machine = self._machine(deed)
        self._hold("wish", machine.number)
        machine.ask(OperatorAsked(mode))
        self._schedule.after(deed.for_s, self._serve, machine)

    def _serve(self, machine: "Machine") -> None:
        if self._free("wish", machine.number):
            machine.ask(OperatorAsked(Mode.SERVE))

    def _suspend(self, deed: Deed) -> None:
        """The office suspends a customer; every site reads the table when it next looks."""
        self._hold("suspend", deed.who)
        self._world.suspended.add(deed.who)
        self._world.publish(deed.who)
        self._schedule.after(deed.for_s, self._resume, deed.who)

    def _resume(self, number: int) -> None:
        if self._free("suspend", number):
            self._world.suspended.discard(number)
            self._world.publish(number)

    def _limit(self, deed: Deed) -> None:
        """The office takes several lines at once from a customer, or gives them to one who had but one."""
        self._hold("limit", deed.who)
        self._world.limited.add(deed.who)
        self._allow(deed.who)
        self._schedule.after(deed.for_s, self._unlimit, deed.who)

    def _unlimit(self, number: int) -> None:
        if self._free("limit", number):
            self._world.limited.discard(number)
            self._allow(number)

    def _allow(self, number: int) -> None:
        """Who is refused his BIDs notices. Who may have some starts again: a router asks but every ten minutes."""
        self._world.publish(number)
        router = self._world.routers[number]
        if not self._world.is_plain(number) and router.core is not None:
            router.crash(disk=True)
            router.start()

    # -- routers

    def _loss(self, deed: Deed) -> None:
        self._hold("loss", 0)
        self._world.internet.loss = LOSS_MAX * deed.amount
        self._schedule.after(deed.for_s, self._no_loss)

    def _no_loss(self) -> None:
        if self._free("loss", 0):
            self._world.internet.loss = self._world.scenario.loss

    def _hush(self, deed: Deed) -> None:
        """No home agent hears any router: what differs between them must be mended without their help."""
        self._hold("hush", 0)
        self._world.internet.is_hushed = True
        self._schedule.after(deed.for_s, self._no_hush)

    def _no_hush(self) -> None:
        if self._free("hush", 0):
            self._world.internet.is_hushed = False

    def _watch(self, deed: Deed) -> None:
        """A router's clock."""
        self._hold("watch", deed.who)
        self._set_watch(deed.who, deed.amount)
        self._schedule.after(deed.for_s, self._watch_right, deed.who)

    def _watch_right(self, number: int) -> None:
        if self._free("watch", number):
            self._set_watch(number, 0.0)

    def _set_watch(self, number: int, skew_s: float) -> None:
        router = self._world.routers[number]
        router.skew_s = skew_s
        self._world.watch.lockout.is_untold(router)

    def _crash(self, deed: Deed) -> None:
        router = self._world.routers[deed.who]
        router.crash(disk=True)
        self._schedule.after(deed.for_s, router.start)

    def _amnesia(self, deed: Deed) -> None:
        router = self._world.routers[deed.who]
        router.crash(disk=False)
        self._schedule.after(deed.for_s, router.start)

    def _stop(self, deed: Deed) -> None:
        """A router takes leave, and starts again some time later."""
        router = self._world.routers[deed.who]
        router.stop()
        self._schedule.after(deed.for_s, router.start)

    def _vanish(self, deed: Deed) -> None:
        """A router's office burns down: it says no word any more."""
        self._world.routers[deed.who].vanish()

    def _lose(self, deed: Deed) -> None:
        router = self._world.routers[deed.who]
        router.lose_line(deed.other)
        self._schedule.after(deed.for_s, router.regain_line, deed.other)

    def _renumber(self, deed: Deed) -> None:
        self._world.routers[deed.who].renumber_line(deed.other)

    # -- who holds what

    def _hold(self, what: str, who: int) -> None:
        self._held[what, who] += 1

    def _free(self, what: str, who: int) -> bool:
        """One hold less; was it the last?"""
        self._held[what, who] -= 1
        return not self._held[what, who]
