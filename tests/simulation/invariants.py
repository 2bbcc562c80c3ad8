"""What must hold at every instant, and in the end. Looks on by the cores' public state, and never touches it.

The rules, and where their numbers come from:

* Status 0 is true: what an acknowledgement confirms stands in this site's kernel, or was replaced by something newer.
* `any` and `all`, not counted as degraded: another site has it too, in its kernel; and when any one site dies, a site
  that lives has it. (Unless a site died between Binding Update and acknowledgement: that was the one death.)
* Versions never go back at a site in one life of its process, but for a Binding Update that its kernel refused.
* What a router wiped (O flag, a plain update, delete all) is in no record that knows of it.
* A site forwards to a care-of address that its router has given up no longer than `stale_s` (below).
* The last announcement never ends for a soft reason, and if all have ended, a site that could serve does so within
  `DARK_S`: 3 s until a silent peer counts as lost (`PEER_LOST_S`), the linger of 1 s, and the way there.
* A site whose process does not work is not preferred once the lease of `speaker.LEASE_S` has run out.
* Sites that have all worked, been connected and known the right time for `CALM_S` hold the same of every router of
  whom nobody spoke: 1 s until a stream is dialed again, a full set, and three times the `DIGEST_EVERY_S` in which a
  difference is found, once for each site that it has to pass.
  But what a site heard while its own clock was ahead no other can believe, until the clocks have caught up with it.
* Memory: see `finished`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bgp.route import GRACEFUL_SHUTDOWN
from bgp.speaker import LEASE_S
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
from ha.record import Record, Version
from ha.repair import DIGEST_EVERY_S
from mip6 import ntp
from mip6.numbers import Status
from mip6.options import BindingIdentifier, MessageIdentification
from mr.events import SendBindingUpdate
from tests.simulation import trace
from tests.simulation.records import apart, gone_back, reachable

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.router import Router
    from tests.simulation.world import World

LOOK_EVERY_S = 0.5
TICK_S = 0.1
DARK_S = 6.0
CALM_S = 8.0
ALONE_S = 0.8  # between a change and its acknowledgement: three round trips of the longest wires
BELIEF_S = 1.5  # what another site said of its announcement is believed so long at most (`speaker.OTHERS_FRESH_S`), ...
REPLAY_WINDOW_S = 7.0  # RFC 4285 6
BELIEVED_AHEAD_S = REPLAY_WINDOW_S + 2.0  # the skew bound on top
ASKED_AGAIN_S = 3 * DIGEST_EVERY_S
HELD_S = 6.0  # a frame waits in TCP for 3 s at most before the connection is given up; twice, by way of a third site
TICKS_S = 2.0  # expiry is looked for every 100 ms, and the kernel may refuse once
MEMORY_FIXED, MEMORY_PER_ROUTER = 4000, 1000  # objects reachable from a quiet home agent, measured, times two


# Events that may change records; time only ends what is in them.
CHANGING = {
    BindingUpdateReceived,
    ForwardingReported,
    HeartbeatReceived,
    RecordsReceived,
    RevokeAsked,
    TableLoaded,
}


class Violation(AssertionError):
    """An invariant does not hold: which, and how."""

    def __init__(self, rule: str, how: str) -> None:
        super().__init__(f"{rule}: {how}")
        self.rule = rule


@dataclass(slots=True)
class Said:
    """A Binding Update as it left the router."""

    sent_at: float
    timestamp: int
    bindings: dict[int, bytes | None]
    lifetime_s: int


@dataclass(slots=True)
class Promise:
    """A binding acknowledged and known at two sites. `until`: world's seconds."""

    router: "Router"
    version: Version
    until: float
    deaths: int = 0


class Watch:
    """Looks on. Raises `Violation` out of the event that broke a rule."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._schedule = world.schedule
        self._said: dict[tuple[bytes, int], Said] = {}
        self._promises: dict[tuple[bytes, int], Promise] = {}
        self._settled: dict[str, dict[bytes, Record]] = {}
        self._degraded: dict[str, int] = {}
        self._given_up: dict[bytes, tuple[Router, float, float]] = {}
        self._last_death = -1.0
        self._last_change: dict[bytes, float] = {}
        self._calm_since = 0.0
        self._hard_at = -BELIEF_S
        self._dark_since: float | None = 0.0
        self._serving_since: dict[str, float] = {}
        self._alone_at: dict[str, float] = {}  # when a site last heard, or reached, no other home agent
        self.excused_s = 0.0  # how long in all kernels refused or were slow and clocks were wrong
        self.acknowledged = self.promised = 0
        self._schedule.after(LOOK_EVERY_S, self._look)

    # -- lives of processes

    def born(self, machine: "Machine") -> None:
        """A home agent starts."""
        self._world.tell(f"{machine.name} starts")
        self._settled[machine.name] = {}
        self._degraded[machine.name] = 0

    def died(self, machine: "Machine") -> None:
        """A home agent's process is gone."""
        self._last_death = self._schedule.now
        for key, promise in list(self._promises.items()):
            promise.deaths += 1
            if promise.deaths > 1 or promise.until <= self._schedule.now:
                del self._promises[key]
            elif not any(self._knows(other, key, promise.version) for other in self._world.machines):
                raise Violation(
                    "lost", f"{promise.router.name} BID {key[1]} was acknowledged, {machine.name} died, it is lost"
                )

    # -- events at home agents

    def handled(self, machine: "Machine", event: Event, done: Sequence[Effect]) -> None:
        """A home agent handled an event; its effects are not carried out yet."""
        if self._world.is_told:
            for line in trace.handled(machine.name, event, done, self._name):
                self._world.tell(line)
        assert machine.agent is not None
        acks = [effect for effect in done if isinstance(effect, SendBindingAck)]
        gone = {site for site, peer in machine.agent.replication.peers.items() if not peer.reachable}
        if not machine.agent.serving.forwarding - gone:
            self._alone_at[machine.name] = self._schedule.now
        if isinstance(event, RevokeAsked | TableLoaded):  # operator and office change records as routers do
            for router in self._world.routers:
                self._last_change[router.home] = self._schedule.now
        if acks or type(event) in CHANGING:
            self._check_versions(machine)
        if acks:
            counts = machine.counters.as_dict().items()
            degraded = sum(count for name, count in counts if name.startswith("acknowledged_degraded"))
            is_degraded = degraded > self._degraded[machine.name]
            self._degraded[machine.name] = degraded
            for ack in acks:
                if ack.ack.status < Status.REASON_UNSPECIFIED:
                    self._check_ack(machine, ack, is_degraded)

    def _check_versions(self, machine: "Machine") -> None:
        assert machine.agent is not None
        cache, settled = machine.agent.cache, self._settled[machine.name]
        for home in settled.keys() - cache.records.keys():
            if (left := settled.pop(home).without_expired(machine.now())) is not None:
                who = f"{machine.name} forgot {self._name(home)}"
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
                raise Violation("floor", f"{machine.name} keeps a binding of {self._name(home)} that was wiped")
            if before is None or before.without_expired(machine.now()) is None:
                continue  # new, or forgotten meanwhile
            if _is_of_tomorrow(machine, before):
                continue  # what a wrong clock wrote is replaced when it is right again
            if why := gone_back(before, record, machine.now()):
                raise Violation("back", f"{machine.name}: {why} of {self._name(home)} went back")

    def _check_ack(self, machine: "Machine", effect: SendBindingAck, is_degraded: bool) -> None:
        home, identification = effect.home_address, effect.ack.first(MessageIdentification)
        assert home is not None and identification is not None and machine.agent is not None
        said = self._said[home, identification.timestamp]
        record = machine.agent.cache.records.get(home)
        entry = machine.plane.read().get(home)
        customer = machine.agent.table.customers[home]
        self._forget_tomorrow(home, said)
        self.acknowledged += 1
        for option in effect.ack.all(BindingIdentifier):
            cell = record.cells.get(option.bid) if record else None
            if option.status or cell is None or cell.version.time != said.timestamp:
                continue
            installed = {path.care_of for path in entry.paths if path.bid == option.bid} if entry else set()
            who = f"{machine.name}: {self._name(home)} BID {option.bid}"
            if cell.care_of is None:
                if installed:
                    raise Violation("untrue", f"{who} is acknowledged as gone and still forwarded")
            elif cell.expires_at > machine.now() and customer.active:
                if installed != {cell.care_of}:
                    raise Violation("untrue", f"{who} is acknowledged with status 0 and not in the kernel")
                if machine.policy.acknowledge != "local" and not is_degraded:
                    self._promise(machine, home, option.bid, cell.version, said)

    def _forget_tomorrow(self, home: bytes, said: Said) -> None:
        """The router was told a wrong time by all sites, and began anew; no right clock takes what is so old."""
        for key, promise in list(self._promises.items()):
            if key[0] == home and ntp.difference_s(promise.version.time, said.timestamp) > REPLAY_WINDOW_S:
                del self._promises[key]

    def _promise(self, machine: "Machine", home: bytes, bid: int, version: Version, said: Said) -> None:
        self.promised += 1
        others = [one for one in self._world.machines if one is not machine]
        alone = self._schedule.now - self._alone_at.get(machine.name, -1.0) < ALONE_S
        if self._last_death < said.sent_at and not any(self._has(one, home, bid, version, alone) for one in others):
            who = f"{machine.name}: {self._name(home)} BID {bid}"
            raise Violation(
                "alone", f"{who} is acknowledged and no other site has it, and it is not counted as degraded"
            )
        if self._last_death < said.sent_at:
            router = self._router(home)
            self._promises[home, bid] = Promise(router, version, said.sent_at + said.lifetime_s)

    def _knows(self, machine: "Machine", key: tuple[bytes, int], version: Version) -> bool:
        """Has a living process there this version of a cell, or something newer?"""
        record = machine.agent.cache.records.get(key[0]) if machine.agent is not None else None
        if record is None:
            return False
        cell = record.cells.get(key[1])
        return record.floor >= version or (cell is not None and cell.version >= version)

    def _has(self, machine: "Machine", home: bytes, bid: int, version: Version, alone: bool) -> bool:
        """The same, and it is in the kernel there, unless it was replaced or the customer is not served.

        A mere reflector counts if the site that asks hears no home agent and is `alone`.
        """
        if not self._knows(machine, (home, bid), version):
            return False
        assert machine.agent is not None
        if not machine.serves:
            return alone
        cell = machine.agent.cache.records[home].cells.get(bid)
        if cell is None or cell.version != version or not machine.agent.table.customers[home].active:
            return True
        entry = machine.plane.read().get(home)
        return entry is not None and any(path.care_of == cell.care_of for path in entry.paths)

    # -- routers

    def updated(self, router: "Router", update: SendBindingUpdate) -> None:
        """A router sends a Binding Update."""
        if self._world.is_told:
            self._world.tell(trace.update(router.name, update))
        message = update.message
        identification = message.first(MessageIdentification)
        assert identification is not None
        bindings = {option.bid: option.care_of for option in message.all(BindingIdentifier)}
        self._last_change[router.home] = self._schedule.now
        said = Said(self._schedule.now, identification.timestamp, bindings, message.lifetime_s)
        self._said[router.home, identification.timestamp] = said

    def taken(self, router: "Router", care_of: bytes) -> None:
        """A router hears at this address from now on."""
        self._given_up.pop(care_of, None)

    def withdrawn(self, router: "Router", care_of: bytes) -> None:
        """... and does not any more."""
        self._given_up[care_of] = (router, self._schedule.now, self._trouble_s())

    def stale_s(self) -> float:
        """How long a site may forward to an address that the router gave up.

        Nobody may tell the site, or be able to: then the binding's lifetime ends it. It runs from when the last Binding
        Update that names the address was heard, which may have been under way for as long as the replay window lets it,
        and travels between sites as remaining time, so what a frame waits in TCP comes on top. While a process is not
        at work, its kernel refuses or its clock is wrong, nothing can be asked of a site: such time does not count.
        """
        return self._world.scenario.lifetime_s + REPLAY_WINDOW_S + HELD_S + TICKS_S

    def _trouble_s(self) -> float:
        return self.excused_s + sum(machine.idle_s() for machine in self._world.machines)

    # -- announcements

    def announcement_changed(self, machine: "Machine") -> None:
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

    # -- now and then

    def _look(self) -> None:
        now = self._schedule.now
        self._schedule.after(LOOK_EVERY_S, self._look)
        trouble_s, stale_s = self._trouble_s(), self.stale_s()
        self._check_equality()
        for machine in self._world.machines:
            able = machine.runs() and machine.egress and machine.serves
            if not able:
                self._serving_since.pop(machine.name, None)
                since = now
            else:
                since = self._serving_since.setdefault(machine.name, now)
            if self._dark_since is not None and now - max(since, self._dark_since) > DARK_S + 5.0:
                why = machine.bridge.speaker.reason
                raise Violation("dark", f"nobody announces, and {machine.name} could: {why}")
            if not machine.powered:
                continue
            routes = machine.bridge.rib.values()
            asleep_s = now - machine.idle_since if machine.idle_since is not None else 0.0
            if asleep_s > LEASE_S + TICK_S and any(GRACEFUL_SHUTDOWN not in one.communities for one in routes):
                raise Violation(
                    "lease", f"{machine.name} is preferred, and nobody renewed its lease for {asleep_s:.1f} s"
                )
            for entry in machine.plane.read().values():
                for path in entry.paths:
                    given_up = self._given_up.get(path.care_of)
                    if given_up is None:
                        continue
                    router, since, trouble_before_s = given_up
                    late_s = now - since - (trouble_s - trouble_before_s)
                    if late_s > stale_s:
                        raise Violation(
                            "stale",
                            f"{machine.name} forwards to an address that {router.name} gave up {now - since:.1f} s ago",
                        )

    def _check_equality(self) -> None:
        now, machines = self._schedule.now, self._world.machines
        if not all(machine.is_calm() for machine in machines):
            self._calm_since = now
        elif now - self._calm_since >= CALM_S:
            for router in self._world.routers:
                last = self._last_change.get(router.home, now)
                if last >= now - CALM_S:
                    continue
                records = [(one, one.agent.cache.records.get(router.home)) for one in machines if one.agent]
                if any(record is not None and _is_of_tomorrow(one, record, ASKED_AGAIN_S) for one, record in records):
                    continue
                for machine in machines[1:]:
                    if what := apart(machines[0], machine, router.home):
                        who = f"{machines[0].name} and {machine.name}"
                        raise Violation("apart", f"{who} differ in {what} of {router.name}, after {CALM_S:g} s of calm")

    def finished(self) -> None:
        """In the end, when all is quiet: nothing was kept that nobody needs."""
        routers = len(self._world.routers)
        for machine in self._world.machines:
            assert machine.agent is not None
            cache = machine.agent.cache
            if len(cache.records) > routers or any(len(record.cells) > 40 for record in cache.records.values()):
                raise Violation("memory", f"{machine.name} keeps more records or cells than there can be")
            size = reachable(machine.agent)
            if size > MEMORY_FIXED + MEMORY_PER_ROUTER * routers:
                raise Violation("memory", f"{machine.name} holds {size} objects for {routers} routers")

    def _router(self, home: bytes) -> "Router":
        return next(router for router in self._world.routers if router.home == home)

    def _name(self, home: bytes) -> str:
        return self._router(home).name


def _is_of_tomorrow(machine: "Machine", record: Record, lately_s: float = 0.0) -> bool:
    """Is it of the future by the clock that the process here knows, or was it until `lately_s` ago?"""
    assert machine.agent is not None
    ahead_s = ntp.to_unix(record.newest().time) - machine.agent.state.unix(machine.now())
    return ahead_s > BELIEVED_AHEAD_S - lately_s
