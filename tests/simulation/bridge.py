"""What `bgp.bridge` and `bgp.supervisor` do at a site: the speaker, ExaBGP, and the word to the other sites' speakers.

ExaBGP obeys at once; a heartbeat it answers when something else happens.
"""

import random
from ipaddress import ip_network
from typing import TYPE_CHECKING

from bgp.events import (
    AskNeighbours,
    AskRoutes,
    AskVersion,
    CommandAnswered,
    Effect,
    Event,
    LeaseRenewed,
    Note,
    OthersHeard,
    Session,
    TimeReached,
)
from bgp.fellows import SAY_S, Fellows, Said
from bgp.hold_down import HoldDown
from bgp.route import Announce, Prefix, Route, Terms, Withdraw
from bgp.speaker import Speaker
from bgp.states import State
from tests.simulation.schedule import NEVER, ROUNDING_S

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

AGGREGATE = ip_network("2001:db8:f000::/36")
ISP = "2001:db8:1:a::1"
ORPHAN_HOLD_S = 300.0
HOLD_DOWN_MAX_S = 8.0


class Bridge:
    """ExaBGP and its child. `rib`: what the neighbours are told; `has_announced`: since its last start."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._schedule = machine.world.schedule
        self._random = random.Random(f"{machine.world.seed} {machine.name} bridge")
        self.rib: dict[Prefix, Route] = {}
        self.has_announced = False
        self._lives = self._said = 0

    def start(self) -> None:
        """A new one; what was announced went with the sessions of the last."""
        self.stop()
        now = self._machine.now()
        self.speaker = Speaker((AGGREGATE,), (Terms(ISP, 64501),), now, ORPHAN_HOLD_S, HoldDown(HOLD_DOWN_MAX_S))
        self._fellows = Fellows(self._machine.topology.sites)
        self._timer_at, self._beat_owed = NEVER, False
        self._renewal: LeaseRenewed | None = None
        self.feed(TimeReached())
        self._schedule.after(self._random.random() * SAY_S, self._say, self._lives)

    def stop(self) -> None:
        """Killed, or without power."""
        self._lives += 1
        self.has_announced = False
        if self.rib:
            self.rib = {}
            self._machine.world.announcement_changed(self._machine)

    def renew(self, renewal: LeaseRenewed) -> None:
        """The holder of the lease says what it wants."""
        is_new, self._renewal = renewal != self._renewal, renewal
        self._take(renewal, answers_beat=is_new)

    def feed(self, event: Event) -> None:
        """Anything else that happens to the speaker."""
        if self._machine.powered:
            self._take(event, answers_beat=True)

    def _take(self, event: Event, *, answers_beat: bool) -> None:
        """What waited for the heartbeat's answer is announced before the event, and told like what it brings about."""
        before = dict(self.rib)
        if answers_beat:
            self._answer_beat()
        self._obey(self.speaker.handle(event, self._machine.now()))
        if self.rib != before:
            self._machine.world.announcement_changed(self._machine)
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self._schedule.now + self.speaker.next_deadline() - self._machine.now() + ROUNDING_S
        if deadline < self._timer_at:
            self._timer_at = deadline
            self._schedule.at(deadline, self._fire, self._lives, deadline)

    def _fire(self, life: int, at: float) -> None:
        if life != self._lives or at != self._timer_at:
            return
        self._timer_at = NEVER
        if self.speaker.next_deadline() <= self._machine.now():
            self.feed(TimeReached())
        else:
            self._set_timer()  # it was put off since

    # -- ExaBGP

    def _answer_beat(self) -> None:
        if self._beat_owed:
            self._beat_owed = False
            self._obey(self.speaker.handle(CommandAnswered(True), self._machine.now()))

    def _obey(self, done: list[Effect]) -> None:
        while commands := [one for one in done if not isinstance(one, Note)]:
            if isinstance(commands[0], AskVersion):
                self._beat_owed = True
                return
            done = self.speaker.handle(self._answer(commands[0]), self._machine.now())

    def _answer(self, command: object) -> CommandAnswered:
        match command:
            case Announce(route=route):
                self.rib[route.prefix] = route
                self.has_announced = True
            case Withdraw(prefix=prefix):
                self.rib.pop(prefix, None)
            case AskNeighbours():
                return CommandAnswered(True, sessions=(Session(ISP, "established", 7.0, 64500),))
            case AskRoutes():
                return CommandAnswered(True, rib={ISP: tuple(map(str, self.rib))})
        return CommandAnswered(True)

    # -- the other sites' speakers

    def _say(self, life: int) -> None:
        """Five times a second: do we announce?"""
        if life != self._lives:
            return
        machine = self._machine
        self._schedule.after(SAY_S, self._say, life)
        self._said = max(self._said + 1, int(self._schedule.now * 1000))
        said = Said(machine.name, self._said, machine.unix(), self.speaker.state is State.ANNOUNCED and bool(self.rib))
        for wire in machine.world.wires.values():
            if machine in wire.ends and wire.carries():
                [other] = [end for end in wire.ends if end is not machine]
                for late_s in machine.world.internet.fates():  # datagrams, like those of routers
                    self._schedule.after(wire.delay_s + late_s, other.bridge.hear, said)
        if not self.speaker.lease_lives(machine.now()):  # of no use before
            self.feed(OthersHeard(self._fellows.said_s_ago(machine.now())))

    def hear(self, said: Said) -> None:
        """Another site's speaker says something."""
        if self._machine.powered and self._machine.serves:
            self._fellows.take(said, self._machine.unix(), self._machine.now())
