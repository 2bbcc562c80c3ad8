"""Which peer knows what: change indexes, resuming, passing on, and repair. Pure.

Theory of operation. Each site numbers its own changes (index 1, 2, ... of this start of the daemon, its incarnation).
A peer that connects is asked nothing: it says what it has merged last of us (incarnation, index), and we send every
record that changed since, or all records if it knows another incarnation; a slice at a time, because the lease must be
renewed meanwhile. State is sent, not operations: a record that changed five times goes out once. Records travel in
order on one stream per direction, new changes between the slices; so once the last slice is there, the last index
merged is a complete resume point.

In a full mesh each site tells what itself heard, and nobody passes on what a peer said. In a star it tells reflectors
only, as clients do in IBGP (RFC 4456): a reflector sends on, as a change of its own, whatever of a peer's change was
new to it, and passes back who has it (`ha/awaiting.py`). What comes twice or in a circle is not new and ends there.

All this is quick and may fail: a site dies after it told one peer, a frame was quarantined, a reflector dies. So peers
compare what they hold, every few seconds, and send each other what differs (`ha/repair.py`).
"""

import math
from collections.abc import Sequence
from collections.abc import Set as AnySet

from msgspec import Struct
from msgspec.structs import replace

from ha import frames
from ha.awaiting import Awaiting, Origin
from ha.cache import BindingCache
from ha.effects import AskForRecords, AskForRepair, Effect, SendBindingAck, SendDigest, SendRecords
from ha.frames import StateDigest, StateRepairRequest, StateSyncAck, StateSyncReply
from ha.record import Record
from ha.repair import Repair
from ha.site import Topology
from ha.undo import Undo
from runtime.counters import Counters

HOLD_BACK_S = 5.0  # so long a reflector that starts waits for sites that it does not hear, ...
MORE_PATIENCE_S = 55.0  # ... and so much longer for those that it hears and that are not through
LOOK_AGAIN_S = 0.1
SLICE_EVERY_S = 0.01  # so often a peer that catches up is sent a frame: 20,000 records a second, a fifth of our time


class Peer(Struct, frozen=True):
    """What we know of one peer.

    `reflects`: it passes on to others what we send; `reachable`: it takes our changes; `incarnation`, `merged`: resume
    point of *its* changes; `asked`: it has not yet sent all that it was asked for; `complete`: we hold its first full
    set.
    """

    site: str
    reflects: bool = False
    reachable: bool = False
    incarnation: int = 0
    merged: int = 0
    asked: bool = False
    complete: bool = False


class CatchingUp(Struct, frozen=True):
    """Records that a peer lacks: their home addresses, `sent` of them so far, more of them at `next_at`.

    `resumes`: they end what it asked for when it connected; else they are a repair. `missed`: what came meanwhile was
    not passed on, and belongs to it.
    """

    homes: Sequence[bytes]
    sent: int
    next_at: float
    resumes: bool
    missed: bool = False


class Replication:
    """Our side of the exchange with all peers. Every change of state goes through the `Undo` of the event.

    Args:
        topology: with whom we have streams. acknowledge: see `Awaiting`.
        slice_records: so many at a time to one that catches up.
        incarnation: of this start, at `now`. cache: the records; only read.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        acknowledge: str,
        slice_records: int,
        incarnation: int,
        cache: BindingCache,
        counters: Counters,
        now: float,
    ) -> None:
        self.peers = {site: Peer(site, reflects=site in topology.reflectors) for site in topology.peers}
        self.incarnation = incarnation
        self.awaiting = Awaiting(acknowledge, counters)
        self._reflects, self._slice_records = topology.reflects, slice_records
        self._cache, self._counters = cache, counters
        self._index = 0
        self._changed_at: dict[bytes, int] = {}
        self._catching_up: dict[str, CatchingUp] = {}
        self._owed: dict[tuple[str, int], int] = {}  # peer, its index -> how many of its records the kernel has not yet
        self.repair = Repair(cache, counters)
        self._held_back_until = now + HOLD_BACK_S

    # --- peers come and go ------------------------------------------------------------------------------------------

    def identified(self, site: str, incarnation: int, undo: Undo) -> list[Effect]:
        """A peer opened its stream to us: tell it where to resume."""
        peer = self.peers[site]
        if peer.incarnation != incarnation:
            peer = replace(peer, incarnation=incarnation, merged=0)
        undo.put(self.peers, site, replace(peer, asked=True))
        known = peer.incarnation if peer.merged else 0
        return [AskForRecords(site, known, peer.merged)]

    def ask_again(self, undo: Undo) -> list[Effect]:
        """Ask every peer once more, as if it had just connected: what is on its way comes before the end of that."""
        known = [peer for peer in self.peers.values() if peer.incarnation]
        return [effect for peer in known for effect in self.identified(peer.site, peer.incarnation, undo)]

    def asked(self, site: str, incarnation: int, since: int, now: float, undo: Undo) -> list[Effect]:
        """A peer takes our changes from `since` on: it counts as reachable, and is sent what it lacks by and by."""
        undo.put(self.peers, site, replace(self.peers[site], reachable=True))
        if incarnation == self.incarnation and since <= self._index:
            homes = [home for home, index in self._changed_at.items() if index > since]
        else:
            homes = list(self._cache.records)
        undo.put(self._catching_up, site, CatchingUp(homes, 0, now, resumes=True))
        return self._slice(site, now, undo)

    def unreachable(self, site: str, undo: Undo) -> list[Effect]:
        """A peer takes no changes any more."""
        undo.put(self.peers, site, replace(self.peers[site], reachable=False))
        undo.drop(self._catching_up, site)
        return self.awaiting.unreachable(site, undo)

    def _slice(self, site: str, now: float, undo: Undo) -> list[Effect]:
        """The next records for a peer that catches up. What changed since it asked was sent at once, or is in here."""
        catching_up = self._catching_up[site]
        asked = catching_up.homes[catching_up.sent : catching_up.sent + self._slice_records]
        records, taken = self._told(asked)
        end = catching_up.sent + taken
        is_last = end >= len(catching_up.homes)
        if is_last and catching_up.resumes and self._is_held_back(now):
            undo.put(self._catching_up, site, replace(catching_up, next_at=now + LOOK_AGAIN_S))
            return []
        if is_last and catching_up.missed:
            known = set(catching_up.homes)
            homes = [*catching_up.homes, *(home for home in self._cache.records if home not in known)]
            catching_up, is_last = replace(catching_up, homes=homes, missed=False), end >= len(homes)
        if is_last:
            undo.drop(self._catching_up, site)
        else:
            undo.put(self._catching_up, site, replace(catching_up, sent=end, next_at=now + SLICE_EVERY_S))
        resumed = is_last and catching_up.resumes
        wire = tuple(frames.to_wire(record, now) for record in records)
        return [
            SendRecords(site, StateSyncReply(self._index if resumed else 0, wire, resumed, is_last and not resumed))
        ]

    def _is_held_back(self, now: float) -> bool:
        """A reflector that starts: what it tells is not yet all that there is.

        A client would take it for that, and stop forwarding for whom nobody vouches. Another reflector is not waited
        for, since it may wait for us.
        """
        if not self._reflects or now >= self._held_back_until + MORE_PATIENCE_S:
            return False
        missing = [peer for peer in self.peers.values() if not peer.complete and not peer.reflects]
        return any(peer.incarnation or now < self._held_back_until for peer in missing)

    def _told(self, homes: Sequence[bytes]) -> tuple[list[Record], int]:
        """What to send of these, as far as it fits into a frame, and how many of them that were."""
        records = [record for home in homes if (record := self._cache.committed(home)) is not None]
        first = next(frames.batches(records), [])
        if len(first) == len(records):
            return records, len(homes)
        return first, homes.index(first[-1].home_address) + 1

    # --- our changes ------------------------------------------------------------------------------------------------

    def changed(
        self, record: Record, answer: SendBindingAck | None, serving: AnySet[str], now: float, undo: Undo
    ) -> list[Effect]:
        """Our own record changed and is installed: send it, and answer now or when others have it too.

        `serving`: the sites that are heard and forward.
        """
        effects = self._send([record], None, now, undo)
        expected = self._expected(serving)
        return effects + self.awaiting.sent(self._index, answer, expected, serving, now, undo)

    def pass_on(
        self, records: Sequence[Record], site: str, index: int, now: float, undo: Undo, *, whole: bool
    ) -> list[Effect]:
        """These records of a peer's were new to us: send them to the others.

        `index`: its change that they are of; 0: a full set or a repair. `whole`: they are all of that change, so that
        who has them may be told to it.
        """
        if not records or not self._reflects:
            return []
        if not index and any(peer.incarnation and not peer.complete for peer in self.peers.values()):
            # We start: everybody sends us all. Who is catching up is told at the end of that, others find by digests
            # what really differs.
            for other, catching_up in list(self._catching_up.items()):
                if catching_up.resumes and other != site:
                    undo.put(self._catching_up, other, replace(catching_up, missed=True))
            return []
        batches = list(frames.batches(records))
        effects = [effect for batch in batches for effect in self._send(batch, site, now, undo)]
        if whole and effects and len(batches) == 1:  # else nobody can say of one of ours that it is all of theirs
            self.awaiting.passed_on(self._index, Origin(site, index, now), undo)
        return effects

    def _send(self, records: Sequence[Record], but: str | None, now: float, undo: Undo) -> list[Effect]:
        undo.assign(self, "_index", self._index + 1)
        for record in records:
            undo.put(self._changed_at, record.home_address, self._index)
        sites = [site for site, peer in self.peers.items() if peer.reachable and site != but]
        if not sites:
            return []
        frame = StateSyncReply(self._index, tuple(frames.to_wire(record, now) for record in records), False)
        return [SendRecords(site, frame) for site in sites]

    def _expected(self, serving: AnySet[str]) -> set[str]:
        """Who may acknowledge: the peers that we reach, and behind reflectors whoever is heard."""
        reached = {site for site, peer in self.peers.items() if peer.reachable}
        if any(self.peers[site].reflects for site in reached):
            reached |= serving - self.peers.keys()
        return reached

    def acknowledged(self, site: str, ack: StateSyncAck, now: float, undo: Undo) -> list[Effect]:
        """A peer, or a site that a reflector names, merged our changes; `ack.serves`: and installed them."""
        by = ack.site if ack.site and self.peers[site].reflects else site
        reflects = by in self.peers and self.peers[by].reflects
        return [
            effect
            for index in (ack.index, *ack.also)
            for effect in self.awaiting.acknowledged(index, by, ack.serves, now, undo, reflects=reflects)
        ]

    def forget(self, home_address: bytes, undo: Undo) -> None:
        """A record is gone; nobody needs its change any more."""
        undo.drop(self._changed_at, home_address)

    # --- their changes ----------------------------------------------------------------------------------------------

    def merged(self, site: str, incarnation: int, frame: StateSyncReply, undo: Undo) -> None:
        """A peer's frame is merged here: move its resume point, if nothing that it was asked for is still to come."""
        peer = self.peers[site]
        if peer.incarnation != incarnation:
            peer = replace(peer, incarnation=incarnation, merged=0)
        asked = peer.asked and not frame.complete
        merged = peer.merged if asked else max(peer.merged, frame.index)
        complete = peer.complete or frame.complete
        undo.put(self.peers, site, replace(peer, merged=merged, complete=complete, asked=asked))

    def owe(self, site: str, index: int, records: int, undo: Undo) -> None:
        """So many records of a peer's frame wait for the kernel; when all are in, its index is acknowledged."""
        undo.put(self._owed, (site, index), records)

    def paid(self, site: str, index: int, undo: Undo) -> bool:
        """One more of them is in. Was it the last?"""
        left = self._owed.get((site, index), 0) - 1
        if left > 0:
            undo.put(self._owed, (site, index), left)
        else:
            undo.drop(self._owed, (site, index))
        return left == 0

    def cannot_pay(self, site: str, index: int, undo: Undo) -> None:
        """The kernel refused one of them: this index is not acknowledged."""
        undo.drop(self._owed, (site, index))

    # --- repair -----------------------------------------------------------------------------------------------------

    def compare(self, now: float, undo: Undo) -> list[Effect]:
        """Every tick: show what we hold, when it is time, to peers that are not catching up."""
        sums = self.repair.sums(now, undo)
        if sums is None:
            return []
        sites = [site for site, peer in self.peers.items() if peer.reachable and site not in self._catching_up]
        return [SendDigest(site, sums) for site in sites]

    def compared(self, site: str, theirs: StateDigest, now: float, undo: Undo) -> list[Effect]:
        """A peer shows what it holds."""
        if self.peers[site].asked:
            return []
        asked = self.repair.compared(site, theirs, now, undo)
        return [AskForRepair(site, asked)] if asked else []

    def repair_asked(self, site: str, asked: StateRepairRequest, now: float, undo: Undo) -> list[Effect]:
        """A peer shows what it holds of some buckets: send it what we hold otherwise, by and by.

        But not what it was just sent: under load much is under way, and to send it twice would be more load.
        """
        if site in self._catching_up or not self.peers[site].reachable:
            return []  # it is sent all that anyway
        lacking = self.repair.lacking(asked)
        homes = [home for home in lacking if not self.awaiting.is_under_way(self._changed_at.get(home, 0), site)]
        if homes:
            self._counters.add("records_repaired", amount=len(homes))
        undo.put(self._catching_up, site, CatchingUp(homes, 0, now, resumes=False))
        return self._slice(site, now, undo)

    def repaired(self, site: str, now: float, undo: Undo) -> list[Effect]:
        """A peer has sent all that it holds otherwise of what it was asked for: ask for more."""
        asked = self.repair.go_on(site, now, undo)
        return [AskForRepair(site, asked)] if asked else []

    # --- time -------------------------------------------------------------------------------------------------------

    def time_reached(self, now: float, undo: Undo) -> list[Effect]:
        """Send the slices that are due, and the answers that waited long enough."""
        if now >= self._settle_at():
            self.repair.settle(now, undo)
        due = [site for site, catching_up in self._catching_up.items() if catching_up.next_at <= now]
        return [effect for site in due for effect in self._slice(site, now, undo)] + self.awaiting.time_reached(
            now, undo
        )

    def next_deadline(self) -> float:
        """When the next slice or answer is due."""
        slice_at = min(one.next_at for one in self._catching_up.values()) if self._catching_up else math.inf
        return min(slice_at, self.awaiting.next_deadline(), self._settle_at())

    def _settle_at(self) -> float:
        """When to make up for digests: not before the first full set is here, for until then there is more to do."""
        is_complete = any(peer.complete for peer in self.peers.values())
        return self.repair.next_deadline() if is_complete else math.inf
