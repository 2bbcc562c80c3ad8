"""What acknowledgements say is true: rules `untrue`, `unchanged`, `wiped`, `alone` and `lost`.

* Accepted means that the record changed: it holds what the update said, under a version above all that it held, and
  nothing of what a plain update, the O flag or a deregistration of all wipes. When the acknowledgement leaves it still
  does, or something newer.
* Status 0 is true: what it confirms stands in this site's kernel.
* `any` and `all`, not counted as degraded: another site has it too, in its kernel; and when any one site dies, a site
  that lives has it. (Unless a site died between Binding Update and acknowledgement: that was the one death.) Or
  something newer: of a higher version, and said later. By a wrong clock a word may stand above a later one. (Unless the
  clocks of most sites are wrong alike, or were when one of the two was said; or the site that acknowledges goes by a
  wrong one and does not hear that most are right: any word of the right time stands above what it accepts, an older
  one too.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ha.effects import SendBindingAck
from ha.record import PLAIN_BID, Binding, Record, Version
from mip6 import ntp
from mip6.messages import BindingAck, BindingUpdate
from mip6.numbers import BindingUpdateFlag
from mip6.options import BindingIdentifier, MessageIdentification
from tests.simulation.records import BELIEVED_AHEAD_S, CLOCK_READ_S, REPLAY_WINDOW_S, is_of_tomorrow
from tests.simulation.schedule import UNIX
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.router import Router
    from tests.simulation.world import World

ALONE_S = 0.8  # between a change and its acknowledgement: three round trips of the longest wires
ANSWER_S = 12.0  # ... or, in a process that stands still, two such stops; less than any lifetime
NEAR_S = 1.0  # two words that are so near in time are a retransmission, or of two lines
OVERWRITE = int(BindingUpdateFlag.OVERWRITE)


@dataclass(frozen=True, slots=True)
class Taken:
    """A Binding Update that a home agent accepted, and as which version. `sent_at`: when it left the router.

    `of_tomorrow`: the version is above one of the future by the clock of that moment, and goes when the record does.
    """

    sent_at: float
    lifetime_s: int
    bids: tuple[int, ...]
    wipes: bool
    version: Version
    of_tomorrow: bool


@dataclass(slots=True)
class Promise:
    """A binding acknowledged and known at two sites. `until`: world's seconds."""

    router: "Router"
    version: Version
    care_of: bytes
    until: float
    deaths: int = 0


class Promises:
    """All that was said and promised."""

    def __init__(self, world: "World") -> None:
        self._world, self._schedule = world, world.schedule
        self._sent: dict[tuple[bytes, int], float] = {}  # a number may come twice (status 135): the first time counts
        self._taken: dict[tuple[str, bytes, int], Taken] = {}
        self._said_at: dict[tuple[bytes, int], float] = {}  # home, time of a version -> when that was said
        self._promises: dict[tuple[bytes, int], Promise] = {}
        self._degraded: dict[str, int] = {}
        self._last_death = self._tide_until = -1.0
        self._alone_at: dict[str, float] = {}  # when a site last heard, or reached, no other home agent
        self.acknowledged_in_all = self.promised = 0

    # -- what happens

    def born(self, machine: "Machine") -> None:
        """A home agent starts."""
        self._degraded[machine.name] = 0

    def died(self, machine: "Machine") -> None:
        """A home agent's process is gone."""
        self._last_death = self._schedule.now
        for key, promise in list(self._promises.items()):
            promise.deaths += 1
            if promise.deaths > 1 or promise.until <= self._schedule.now or self._is_of_tomorrow(promise):
                del self._promises[key]
            elif not any(self._knows(one, key, promise) for one in self._world.machines):
                raise Violation(
                    "lost", f"{promise.router.name} BID {key[1]} was acknowledged, {machine.name} died, it is lost"
                )

    def _is_of_tomorrow(self, promise: Promise) -> bool:
        """Was it made when most sites had a wrong time? Once they are right, any word of the right time takes its
        place, an older one too, for nobody can tell (`ha.state.State.believed`).
        """
        return ntp.to_unix(promise.version.time) - UNIX - self._schedule.now > BELIEVED_AHEAD_S

    def tide(self, for_s: float) -> None:
        """The clocks of all sites, or of most, are wrong alike for so long.

        Then nobody can tell which of two words is the newer: what was said in the right time is of the future, or what
        was said in the wrong one comes back and stands above it. The router's next word in the right time ends that.
        """
        self._promises.clear()
        self._tide_until = max(self._tide_until, self._schedule.now + for_s + CLOCK_READ_S)

    def heard(self, machine: "Machine") -> None:
        """A home agent handled an event: does it reach another that forwards?"""
        assert machine.agent is not None
        gone = {site for site, peer in machine.agent.replication.peers.items() if not peer.reachable}
        if not machine.agent.serving.forwarding - gone:
            self._alone_at[machine.name] = self._schedule.now

    def updated(self, router: "Router", update: BindingUpdate) -> None:
        """A router sends a Binding Update."""
        self._sent.setdefault((router.home, _key(update)), self._schedule.now)

    def sent_at(self, router: "Router", update: BindingUpdate) -> float:
        """When an update that was heard had left its router."""
        return self._sent[router.home, _key(update)]

    def taken(self, machine: "Machine", router: "Router", update: BindingUpdate, before: Record | None) -> None:
        """A home agent accepted an update; `before`: what it held and its kernel had."""
        assert machine.agent is not None
        record = machine.agent.cache.records[router.home]
        version = record.sequence.version
        bids = tuple(option.bid for option in update.all(BindingIdentifier))
        wipes = not bids or bool(int(update.flags) & OVERWRITE)
        of_tomorrow = is_of_tomorrow(machine, version)
        taken = Taken(self.sent_at(router, update), update.lifetime_s, bids, wipes, version, of_tomorrow)
        self._taken[machine.name, router.home, _key(update)] = taken
        # Who signs nothing tells no time: what is heard later counts as later, though it may have waited on the way.
        said_at = self._schedule.now if router.is_foreign else taken.sent_at
        self._said_at.setdefault((router.home, version.time), said_at)
        self._forget_tomorrow(router.home, version)
        self._take_back(router.home, taken)
        who = f"{machine.name} accepted an update of {router.name}"
        if record.sequence.value != update.sequence or version.site != machine.name:
            raise Violation("unchanged", f"{who} and kept the number of another")
        is_known = before is not None and not is_of_tomorrow(machine, before)
        if before is not None and is_known and max(before.newest().time, before.message_id) >= version.time:
            raise Violation("unchanged", f"{who} that would not win against what it held")
        if wipes and any(cell.version != version for cell in record.cells.values()):
            raise Violation("wiped", f"{who} that replaces all, and kept a binding")
        if not bids and taken.lifetime_s and PLAIN_BID not in record.cells:
            raise Violation("unchanged", f"{who} without a BID, and holds no such binding")

    def _take_back(self, home: bytes, taken: Taken) -> None:
        """What its router gave up nobody need hold: in a time that was wrong, not even that it was given up."""
        for key in [key for key in self._promises if key[0] == home]:
            named = key[1] in taken.bids
            if (named and not taken.lifetime_s) or (taken.wipes and not named):
                del self._promises[key]

    # -- acknowledgements

    def acknowledged(self, machine: "Machine", acks: Sequence[SendBindingAck]) -> None:
        """A home agent says that it accepted these updates. If it counts a degraded one we do not know which."""
        is_degraded = self._is_degraded(machine)
        for effect in acks:
            home, ack = effect.signed_home_address, effect.ack
            taken = self._taken[machine.name, home, _key(ack)]
            self.acknowledged_in_all += 1
            if not taken.bids and not taken.lifetime_s:
                self._check_all_gone(machine, home, taken.version)
            served = [option.bid for option in ack.all(BindingIdentifier) if not option.status]
            for bid in served if taken.bids else [PLAIN_BID] if taken.lifetime_s else []:
                self._check(machine, home, bid, taken, is_degraded)

    def _is_degraded(self, machine: "Machine") -> bool:
        counts = machine.counters.as_dict().items()
        degraded = sum(count for name, count in counts if name.startswith("acknowledged_degraded"))
        before, self._degraded[machine.name] = self._degraded[machine.name], degraded
        return degraded > before

    def _check(self, machine: "Machine", home: bytes, bid: int, taken: Taken, is_degraded: bool) -> None:
        assert machine.agent is not None
        version, who = taken.version, f"{machine.name}: {self._world.name(home)} BID {bid}"
        record, entry = machine.agent.cache.records.get(home), machine.plane.read().get(home)
        cell = record.cells.get(bid) if record is not None else None
        if cell is None or cell.version != version:
            newer = record is not None and (record.floor >= version or (cell is not None and cell.version > version))
            is_old = self._schedule.now - taken.sent_at > ANSWER_S
            of_tomorrow = taken.of_tomorrow or is_of_tomorrow(machine, version)
            if not newer and not is_old and not of_tomorrow:
                raise Violation("unchanged", f"{who} is acknowledged with status 0 and not in the record")
            return
        installed = {path.care_of for path in entry.paths if path.bid == bid} if entry else set()
        if cell.care_of is None:
            if installed:
                raise Violation("untrue", f"{who} is acknowledged as gone and still forwarded")
        elif cell.expires_at > machine.now() and machine.agent.table.customers[home].active:
            if record is not None and bid not in record.live(machine.now()):
                return  # something newer of the other kind, plain or with a BID, is in force
            if installed != {cell.care_of}:
                raise Violation("untrue", f"{who} is acknowledged with status 0 and not in the kernel")
            if machine.policy.acknowledge != "local" and not is_degraded:
                self._promise(machine, home, bid, taken, cell.care_of)

    def _check_all_gone(self, machine: "Machine", home: bytes, version: Version) -> None:
        assert machine.agent is not None
        record, entry = machine.agent.cache.records.get(home), machine.plane.read().get(home)
        newer = record is not None and any(cell.version > version for cell in record.cells.values())
        if entry is not None and entry.paths and not newer:
            raise Violation("untrue", f"{machine.name}: {self._world.name(home)} is acknowledged as gone and is not")

    def _forget_tomorrow(self, home: bytes, version: Version) -> None:
        """The router was told a wrong time by all sites, and began anew; no right clock takes what is so old."""
        for key, promise in list(self._promises.items()):
            if key[0] == home and ntp.difference_s(promise.version.time, version.time) > REPLAY_WINDOW_S:
                del self._promises[key]

    def _promise(self, machine: "Machine", home: bytes, bid: int, taken: Taken, care_of: bytes) -> None:
        self.promised += 1
        until = taken.sent_at + taken.lifetime_s
        promise = Promise(self._world.router(home), taken.version, care_of, until)
        others = [one for one in self._world.machines if one is not machine]
        alone = self._schedule.now - self._alone_at.get(machine.name, -1.0) < ALONE_S
        if self._last_death >= taken.sent_at or not (machine.knows_the_time() or machine.is_told_the_time()):
            return
        if not any(self._has(one, (home, bid), promise, alone) for one in others):
            who = f"{machine.name}: {self._world.name(home)} BID {bid}"
            raise Violation(
                "alone", f"{who} is acknowledged and no other site has it, and it is not counted as degraded"
            )
        if self._schedule.now > self._tide_until:
            self._promises[home, bid] = promise

    def _knows(self, machine: "Machine", key: tuple[bytes, int], promise: Promise) -> bool:
        """Has a living process there this binding, by whichever word of its router, or something newer?"""
        record = machine.agent.cache.records.get(key[0]) if machine.agent is not None else None
        if record is None:
            return False
        cell = record.cells.get(key[1])
        if cell is not None and (cell.version == promise.version or self._is_as_good(machine, cell, promise)):
            return True
        here = record.floor if cell is None else max(record.floor, cell.version)
        return self._is_newer(key[0], here, promise.version)

    def _is_as_good(self, machine: "Machine", cell: Binding, promise: Promise) -> bool:
        """The same binding for as long, by another word? An older one ends sooner: then a refresh did not come here."""
        lasts_s = cell.expires_at - machine.now()
        return cell.care_of == promise.care_of and lasts_s > promise.until - self._schedule.now - NEAR_S

    def _is_newer(self, home: bytes, one: Version, than: Version) -> bool:
        """Is it of a later time, and said later indeed? By a wrong clock it may not be. Of operators any is later."""
        said_at = self._said_at.get((home, one.time), math.inf)
        return one > than and said_at >= self._said_at.get((home, than.time), -math.inf)

    def _has(self, machine: "Machine", key: tuple[bytes, int], promise: Promise, alone: bool) -> bool:
        """The same, and it is in the kernel there, unless it was replaced or the customer is not served.

        A mere reflector counts if the site that asks hears no home agent and is `alone`.
        """
        if not self._knows(machine, key, promise):
            return False
        assert machine.agent is not None
        if not machine.serves:
            return alone
        home, bid = key
        cell = machine.agent.cache.records[home].cells.get(bid)
        if cell is None or cell.version != promise.version or not machine.agent.table.customers[home].active:
            return True
        entry = machine.plane.read().get(home)
        return entry is not None and any(path.care_of == cell.care_of for path in entry.paths)


def _key(message: BindingUpdate | BindingAck) -> int:
    """What an update and its answer have in common: the Mesg-ID, or without one the number, which is far smaller."""
    identification = message.first(MessageIdentification)
    return identification.timestamp if identification is not None else message.sequence
