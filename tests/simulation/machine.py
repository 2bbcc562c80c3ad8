"""A site: machine, kernel, disk, clocks, and what `ha.daemon`, `ha.kernel`, `bgp.bridge` and `bgp.supervisor` do there.

The home agent's process can be killed, frozen and started; the machine can lose its power; the bridge can be killed.
The kernel carries out orders after a while and may refuse. ExaBGP obeys at once.
"""

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bgp.events import HolderLost, LeaseRenewed, Wanted
from bgp.route import Route
from dataplane.entry import ForwardingEntry
from dataplane.memory import MemoryDataPlane
from ha import effects, frames, reception, snapshot, transmission
from ha.events import (
    ClockRead,
    DataPlaneChecked,
    Event,
    ForwardingReported,
    LeaseAnswered,
    OperatorAsked,
    SelfTested,
    TableLoaded,
    TimeReached,
)
from ha.home_agent import HomeAgent
from ha.readiness import PEER_LOST_S
from ha.record import Record
from ha.site import Policy, Topology
from mip6 import packet
from mip6.mhsocket import Datagram
from mip6.numbers import DESTINATION_OPTIONS, MOBILITY_HEADER
from runtime.counters import Counters
from tests.simulation.bridge import AGGREGATE, ORPHAN_HOLD_S, Bridge
from tests.simulation.internet import HOME_AGENT
from tests.simulation.schedule import NEVER, ROUNDING_S, UNIX
from tests.simulation.stopwatch import Stopwatch
from tests.simulation.wires import Stream

if TYPE_CHECKING:
    from tests.simulation.world import World

ROUTES = (Route(AGGREGATE),)
LOOK_EVERY_S = 1.0  # clock, table, snapshot
SELF_TEST_S = 0.3  # after a start


@dataclass
class Disk:
    """What outlives the process: the records of the last snapshot, the operator's wish, how often all was lost."""

    saved_at: float = 0.0
    saved_unix: float = 0.0
    records: dict[bytes, Record] = field(default_factory=dict)
    wish: OperatorAsked | None = None
    losses: int = 0


class Machine:
    """One site. `powered`: the machine runs; `agent`: the home agent's process, None while there is none.

    `serves`: False for a reflector that is no home agent: no customers, no kernel, no bridge.
    """

    def __init__(self, world: "World", number: int, policy: Policy, topology: Topology, serves: bool) -> None:
        self.world, self.number, self.name = world, number, policy.site
        self.policy, self.topology, self.serves = policy, topology, serves
        self._schedule = world.schedule
        self._random = random.Random(f"{world.seed} {self.name}")
        self.powered = True
        self.agent: HomeAgent | None = None
        self.frozen = False
        self.skew_s = 0.0  # of the wall clock
        self.egress = True
        self.slow_s = 0.0  # how long the kernel takes more
        self._refused: bytes | None = None
        self.disk = Disk()
        self.bridge = Bridge(self)
        self.streams: list[Stream] = []  # those dialed here
        self.heard: list[Stream] = []  # those that others dial
        self.counters = Counters()
        self.idle = Stopwatch(self._schedule)  # no process is at work here
        self.idle.set(True)
        self._sluggish = Stopwatch(self._schedule)  # the kernel takes its time
        self._refusals: dict[bytes, Stopwatch] = {}  # ... or takes nothing for this customer
        self._lives = 0
        self._said = 0
        self._boot()

    # -- clocks

    def now(self) -> float:
        """This machine's monotonic clock."""
        return self._schedule.now + self._base

    def unix(self) -> float:
        """This machine's wall clock."""
        return UNIX + self._schedule.now + self.skew_s

    def runs(self) -> bool:
        """Is the home agent's process there and at work?"""
        return self.agent is not None and not self.frozen

    def knows_the_time(self) -> bool:
        """Does the process go by the right time?"""
        return self.agent is not None and abs(self.agent.state.clock_offset_s - (UNIX - self._base)) <= ROUNDING_S

    def is_well(self) -> bool:
        """Does everything here work, and does it know the time?"""
        return self.runs() and not self.slow_s and self._refused is None and self.knows_the_time()

    def hears_somebody(self) -> bool:
        """Does another home agent greet this one?"""
        return bool(self._greeting())

    def is_told_the_time(self) -> bool:
        """Do most of the home agents that are heard here, and this one, know the time? Also with those told of."""
        heard = self.heard_now()
        told_of = {other for one in heard if one.topology.reflects for other in one.heard_now()} - {self}
        return all(
            2 * sum(one.knows_the_time() for one in (self, *some)) > 1 + len(some) for some in (heard, heard | told_of)
        )

    def fresh(self) -> set[str]:
        """The home agents of which a greeting is not too old here."""
        seen = self.agent.serving.seen.items() if self.agent is not None else ()
        return {name for name, one in seen if one and self.now() - one.heard_at <= PEER_LOST_S}

    def heard_now(self) -> "set[Machine]":
        """The home agents that greet this one now."""
        return {stream.dialer for stream in self._greeting()}

    def _greeting(self) -> "list[Stream]":
        """The streams in which others greet this one now."""
        greetings = [stream for stream in self.heard if stream.carries == "hello" and stream.is_open]
        return [stream for stream in greetings if stream.wire.carries() and stream.dialer.runs()]

    def hindered_s(self, home_address: bytes) -> float:
        """How long in all, until now, nothing could be changed here for a customer: no process, or no kernel."""
        refusal = self._refusals.get(home_address)
        return self.idle.seconds() + self._sluggish.seconds() + (refusal.seconds() if refusal else 0.0)

    # -- the machine

    def _boot(self) -> None:
        """Power is there: a new monotonic clock, an empty kernel, a new bridge."""
        self.powered = True
        self._base = self._random.uniform(1.0, 100_000.0)
        self.plane = MemoryDataPlane()
        self.plane.refuse(self._refused)
        if self.serves:
            self.bridge.start()

    def lose_power(self, disk: bool) -> None:
        """Everything stops; neighbours notice by their own clocks. Without `disk` nothing is found afterwards."""
        self.kill(quiet=True)
        self.powered = False
        self.bridge.stop()
        if not disk:
            self.disk = Disk(losses=self.disk.losses, wish=self.disk.wish)

    def regain_power(self) -> None:
        """The machine boots, and with it the home agent."""
        if not self.powered:
            self._boot()
            for stream in (*self.streams, *self.heard):
                stream.break_()
            self.start()

    # -- the process

    def start(self) -> None:
        """Start the home agent as `ha.daemon` does."""
        if self.agent is not None or not self.powered:
            return
        self._lives += 1
        self.counters = Counters()
        now, life = self.now(), self._lives
        agent = self.agent = HomeAgent(
            policy=self.policy,
            topology=self.topology,
            table=self.world.table_before,  # which is empty
            incarnation=int(self._schedule.now * 1e6) + 1,
            now=now,
            clock_offset_s=self.unix() - now,
            mrai_s=0.0,
            orphan_hold_s=ORPHAN_HOLD_S,
            counters=self.counters,
        )
        self._offset_s = self.unix() - now
        self._waiting: dict[bytes, tuple[int, ForwardingEntry | None]] = {}
        self._inbox: list[tuple[object, ...]] = []
        self._timer_at = NEVER
        self.frozen = False
        self.idle.set(False)
        self.world.watch.born(self)
        if self.serves:
            self.feed(TableLoaded(self.world.table))
        if self.disk.wish is not None:
            self.feed(self.disk.wish)
        records = self._load_snapshot()
        self.disk.losses += not records
        agent.state.restarts = self.disk.losses
        wanted = agent.recover(records, self.plane.read(), now)
        if self.serves:
            agent.reconciled(wanted, self.plane.reconcile(wanted))
            self.feed(DataPlaneChecked(self.egress))
            self._schedule.after(SELF_TEST_S, self._self_tested, life)
        else:
            self.feed(TimeReached())  # though it hears nobody, it has its deadlines
        self._schedule.after(self._random.random() * LOOK_EVERY_S, self._look, life)
        for stream in (*self.streams, *self.heard):
            stream.dial()

    def kill(self, quiet: bool = False) -> None:
        """The process is gone, kernel and bridge stay. `quiet`: nobody is told."""
        if self.agent is None:
            return
        if self._waiting and self._random.random() < 0.5:  # the kernel had them, nobody hears of it
            self.plane.apply({home: entry for home, (_, entry) in self._waiting.items()})
        self.agent = None
        self.frozen = False
        self.idle.set(True)
        if not quiet:
            for stream in (*self.streams, *self.heard):
                stream.break_()
            if self.serves:
                self.bridge.feed(HolderLost())
        self.world.watch.died(self)

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.runs():
            self.frozen = True
            self._frozen_at = self._schedule.now
            self.idle.set(True)

    def thaw(self) -> None:
        """SIGCONT: what came meanwhile is read now."""
        if self.agent is None or not self.frozen:
            return
        self.world.tell(f"{self.name} thaws")
        self.frozen = False
        self.idle.set(False)
        waited, self._inbox = self._inbox, []
        for call, *arguments in waited:
            assert callable(call)
            call(*arguments)
        self._timer_at = NEVER
        self.feed(TimeReached())
        for stream in self.streams:
            if not stream.is_open:
                stream.dial()

    def _self_tested(self, life: int) -> None:
        if life == self._lives:
            self.feed(SelfTested(None))

    def _look(self, life: int) -> None:
        """Once a second: clock, table, snapshot."""
        if life != self._lives or self.agent is None:
            return
        self._schedule.after(LOOK_EVERY_S, self._look, life)
        if self.frozen:
            return
        offset_s = self.unix() - self.now()
        if offset_s != self._offset_s:
            self._offset_s = offset_s
            self.feed(ClockRead(offset_s))
        if self.serves and self.agent.table.version != self.world.table.version:
            self.feed(TableLoaded(self.world.table))
        self.disk.saved_at, self.disk.saved_unix = self.now(), self.unix()
        self.disk.records = dict(self.agent.cache.records)

    def _load_snapshot(self) -> list[frames.WireRecord]:
        """What `ha.snapshot` makes of the last one, by way of a file."""
        if not self.disk.records:
            return []
        saved = [frames.to_wire(record, self.disk.saved_at) for record in self.disk.records.values()]
        with tempfile.TemporaryDirectory() as directory:
            snapshot.save(Path(directory), self.disk.saved_unix, [snapshot.piece(saved)])
            return snapshot.load(Path(directory), self.unix())

    # -- events

    def receive(self, stream: Stream, way: int, octets: bytes) -> None:
        """Octets of a stream wait for this process."""
        if self.frozen:
            self._inbox.append((stream.read, way, octets))
        elif self.agent is not None:
            stream.read(way, octets)

    def receive_packet(self, octets: bytes) -> None:
        """A packet to the anycast address has come; the kernel gives mobility headers to the process."""
        if self.agent is None:
            return
        source, home, body = octets[8:24], None, octets[packet.IPV6_OCTETS :]
        extension, next_header = b"", octets[6]
        if next_header == DESTINATION_OPTIONS:
            home, next_header, offset = packet.destination_options(body)
            extension, body = body[:offset], body[offset:]
        assert next_header == MOBILITY_HEADER
        self.feed(reception.event(Datagram(body, source, octets[24:40], home, 1, None, next_header, extension)))

    def feed(self, event: Event) -> None:
        """One event into the home agent, and its effects carried out."""
        if self.agent is None:
            return
        if self.frozen:
            self._inbox.append((self.feed, event))
            return
        done = self.agent.handle(event, self.now())
        self.world.watch.handled(self, event, done)
        for effect in done:
            self._perform(effect)
        deadline = self.agent.next_deadline() - self._base + ROUNDING_S if self.agent is not None else NEVER
        if deadline < self._timer_at:
            self._timer_at = deadline
            self._schedule.at(deadline, self._fire, self._lives, deadline)

    def _fire(self, life: int, at: float) -> None:
        if life != self._lives or at != self._timer_at or self.agent is None or self.frozen:
            return  # an earlier deadline took its place
        self._timer_at = NEVER
        self.feed(TimeReached())

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Note():
                pass
            case effects.SendHello(hello):
                octets = frames.encode(hello)
                for stream in self.streams:
                    if stream.carries == "hello":
                        stream.send(0, octets)
            case effects.RenewLease(wanted, reason, linger_ms):
                self.bridge.renew(LeaseRenewed(Wanted(wanted), reason, linger_ms, ROUTES))
                self._lease_answered()
            case effects.SetForwarding(home_address, entry, generation):
                if not self._waiting:
                    late_s = self._random.random() * 0.004 + self.slow_s * self._random.random()
                    self._schedule.after(late_s, self._apply, self._lives)
                self._waiting[home_address] = (generation, entry)
            case effects.SendRecords(site, frame) | effects.SendDigest(site, frame):
                self._to(site).send(0, frames.encode(frame))
            case effects.AskForRecords(site, incarnation, since):
                self._from(site).send(1, frames.encode(frames.StateSyncRequest(incarnation, since)))
            case effects.AcknowledgeRecords(site, frame) | effects.AskForRepair(site, frame):
                self._from(site).send(1, frames.encode(frame))
            case _:
                self.world.internet.to_router(transmission.octets(effect, HOME_AGENT))

    def _to(self, site: str) -> Stream:
        return next(one for one in self.streams if one.listener.name == site and one.carries == "changes")

    def _from(self, site: str) -> Stream:
        return next(one for one in self.heard if one.dialer.name == site and one.carries == "changes")

    def _lease_answered(self) -> None:
        self.feed(LeaseAnswered(str(self.bridge.speaker.state), 1))

    # -- the kernel

    def _apply(self, life: int) -> None:
        """Carry out everything that waits, in one batch, and report."""
        if life != self._lives or self.agent is None:
            return
        if self.frozen:
            self._inbox.append((self._apply, life))
            return
        waiting, self._waiting = self._waiting, {}
        results = self.plane.apply({home: entry for home, (_, entry) in waiting.items()})
        self.feed(ForwardingReported({home: (number, results.get(home)) for home, (number, _) in waiting.items()}))

    def refuse(self, home_address: bytes | None) -> None:
        """From now on the kernel takes nothing for this customer; None: it takes everything."""
        self._refused = home_address
        self.plane.refuse(home_address)
        if home_address is not None:
            self._refusals.setdefault(home_address, Stopwatch(self._schedule))
        for refused, stopwatch in self._refusals.items():
            stopwatch.set(refused == home_address)

    def slow_down(self, most_s: float) -> None:
        """From now on the kernel takes up to so much longer; 0: it is as quick as ever."""
        self.slow_s = most_s
        self._sluggish.set(most_s > 0)

    def set_egress(self, is_there: bool) -> None:
        """The default route goes or comes."""
        self.egress = is_there
        self.feed(DataPlaneChecked(is_there))

    def ask(self, wish: OperatorAsked) -> None:
        """The operator wants something of this site; it is kept on disk."""
        self.disk.wish = OperatorAsked(wish.mode, wish.by, wish.why, restored=True)
        self.feed(wish)
