"""Which peer knows what: change indexes, resuming, and acknowledgements that wait for another site. Pure.

Theory of operation. Each site numbers its own changes (index 1, 2, ... of this start of the daemon, its incarnation).
A peer that connects is asked nothing: it says what it has merged last of us (incarnation, index), and we send every
record that changed since, or all records if it knows another incarnation; a slice at a time, because the lease must
be renewed meanwhile. State is sent, not operations: a record that changed five times goes out once. Records travel in
order on one stream per direction, new changes between the slices; so once the last slice is there, the last index
merged is a complete resume point. A Binding Acknowledgement with `acknowledge = "any"` waits here until one other
site has merged and installed the change, or the timeout.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ha import frames
from ha.effects import (
    AskForRecords,
    Effect,
    SendBindingAck,
    SendRecords,
)
from ha.frames import StateSyncReply
from ha.record import Record
from ha.undo import Undo
from runtime.counters import Counters

SYNC_TIMEOUT_MIN_S = 0.05
SYNC_TIMEOUT_RTTS = 3
AWAITED_MAX_S = 5.0  # after this an unanswered change no longer tells us a round trip time
SLICE_EVERY_S = 0.01  # so often a peer that catches up is sent a frame: 20,000 records a second, a fifth of our time
RTT_SHARE = 0.125  # weight of a new sample, as in RFC 6298 2


@dataclass(frozen=True, slots=True)
class Peer:
    """What we know of one peer.

    `reachable`: it takes our changes; `acknowledged`: our last index it installed; `incarnation`, `merged`: resume
    point of *its* changes; `behind`: we lack some of them from before it; `complete`: we hold its first full set;
    `rtt_s`: from sending a change to its installation there.
    """

    site: str
    reachable: bool = False
    acknowledged: int = 0
    incarnation: int = 0
    merged: int = 0
    behind: bool = True
    complete: bool = False
    rtt_s: float | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """A change on its way to the peers, and the answer that waits for it (None: already given)."""

    sent_at: float
    answer: SendBindingAck | None
    deadline: float
    missing: frozenset[str]


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """What a peer asked for: the home addresses of the records, `sent` of them so far, more of them at `next_at`."""

    homes: Sequence[bytes]
    sent: int
    next_at: float


class Replication:
    """Our side of the exchange with all peers. Every change of state goes through the `Undo` of the event."""

    def __init__(
        self, sites: Iterable[str], acknowledge: str, slice_records: int, incarnation: int, counters: Counters
    ) -> None:
        self.peers: dict[str, Peer] = {site: Peer(site) for site in sites}
        self.incarnation = incarnation
        self._acknowledge, self._slice_records = acknowledge, slice_records
        self._counters = counters
        self._index = 0
        self._changed_at: dict[bytes, int] = {}
        self._awaited: dict[int, Awaited] = {}
        self._catching_up: dict[str, CatchingUp] = {}
        self._owed: dict[tuple[str, int], int] = {}  # peer, its index -> how many of its records the kernel has not yet

    def identified(self, site: str, incarnation: int, undo: Undo) -> list[Effect]:
        """A peer opened its stream to us: tell it where to resume."""
        peer = self.peers[site]
        if peer.incarnation != incarnation:
            peer = replace(peer, incarnation=incarnation, merged=0)
        undo.put(self.peers, site, replace(peer, behind=True))
        known = peer.incarnation if peer.merged else 0
        return [AskForRecords(site, known, peer.merged)]

    def asked(
        self, site: str, incarnation: int, since: int, records: Mapping[bytes, Record], now: float, undo: Undo
    ) -> list[Effect]:
        """A peer takes our changes from `since` on: it counts as reachable, and is sent what it lacks by and by."""
        undo.put(self.peers, site, replace(self.peers[site], reachable=True))
        if incarnation == self.incarnation and since <= self._index:
            homes = [home for home, index in self._changed_at.items() if index > since]
        else:
            homes = list(records)
        undo.put(self._catching_up, site, CatchingUp(homes, 0, now))
        return [self._slice(site, records, now, undo)]

    def _slice(self, site: str, records: Mapping[bytes, Record], now: float, undo: Undo) -> Effect:
        """The next records for a peer that catches up. What changed since it asked was sent at once, or is in here."""
        catching_up = self._catching_up[site]
        end = catching_up.sent + self._slice_records
        chosen = (records[home] for home in catching_up.homes[catching_up.sent : end] if home in records)
        wire = tuple(frames.to_wire(record, now) for record in chosen)
        if end < len(catching_up.homes):
            undo.put(self._catching_up, site, CatchingUp(catching_up.homes, end, now + SLICE_EVERY_S))
            return SendRecords(site, StateSyncReply(0, wire, False))
        undo.drop(self._catching_up, site)
        return SendRecords(site, StateSyncReply(self._index, wire, True))

    def unreachable(self, site: str, undo: Undo) -> list[Effect]:
        """A peer takes no changes any more; answers wait for the others, or for nobody."""
        undo.put(self.peers, site, replace(self.peers[site], reachable=False))
        undo.drop(self._catching_up, site)
        answers: list[Effect] = []
        for index, awaited in list(self._awaited.items()):
            missing = awaited.missing - {site}
            undo.put(self._awaited, index, replace(awaited, missing=missing))
            if not missing:
                answers += self._give_up(index, undo)
        return answers

    def changed(self, record: Record, answer: SendBindingAck | None, now: float, undo: Undo) -> list[Effect]:
        """Our own record changed and is installed: send it, and answer now or when the peers have it too."""
        index = self._index + 1
        undo.assign(self, "_index", index)
        undo.put(self._changed_at, record.home_address, index)
        sites = frozenset(site for site, peer in self.peers.items() if peer.reachable)
        effects: list[Effect] = []
        if sites:
            frame = StateSyncReply(index, (frames.to_wire(record, now),), False)
            effects += [SendRecords(site, frame) for site in sites]
        if answer is not None and (self._acknowledge == "local" or not sites):
            if self._acknowledge != "local":
                self._counters.add("acknowledged_degraded", "no_peer")
            effects.append(answer)
            answer = None
        if sites:
            undo.put(self._awaited, index, Awaited(now, answer, now + self.sync_timeout_s(), sites))
        return effects

    def acknowledged(self, site: str, index: int, now: float, undo: Undo) -> list[Effect]:
        """A peer merged and installed our change `index`."""
        peer = self.peers[site]
        awaited = self._awaited.get(index)
        if awaited is None:
            undo.put(self.peers, site, replace(peer, acknowledged=max(peer.acknowledged, index)))
            return []
        sample = now - awaited.sent_at
        rtt_s = sample if peer.rtt_s is None else peer.rtt_s + RTT_SHARE * (sample - peer.rtt_s)
        undo.put(self.peers, site, replace(peer, acknowledged=max(peer.acknowledged, index), rtt_s=rtt_s))
        missing = awaited.missing - {site}
        enough = not missing if self._acknowledge == "all" else True
        answer = awaited.answer if enough else None
        if missing:
            undo.put(self._awaited, index, replace(awaited, missing=missing, answer=None if enough else awaited.answer))
        else:
            undo.drop(self._awaited, index)
        return [answer] if answer is not None else []

    def time_reached(self, records: Mapping[bytes, Record], now: float, undo: Undo) -> list[Effect]:
        """Send the slices that are due, answer what has waited long enough, forget what nobody will acknowledge."""
        due = [site for site, catching_up in self._catching_up.items() if catching_up.next_at <= now]
        effects = [self._slice(site, records, now, undo) for site in due]
        for index, awaited in list(self._awaited.items()):
            if now >= awaited.sent_at + AWAITED_MAX_S:
                undo.drop(self._awaited, index)
            elif awaited.answer is not None and now >= awaited.deadline:
                self._counters.add("acknowledged_degraded", "timeout")
                undo.put(self._awaited, index, replace(awaited, answer=None))
                effects.append(awaited.answer)
        return effects

    def merged(self, site: str, incarnation: int, frame: StateSyncReply, undo: Undo) -> None:
        """A peer's frame is merged here: move its resume point, unless something from before is still to come."""
        peer = self.peers[site]
        if peer.incarnation != incarnation:
            peer = replace(peer, incarnation=incarnation, merged=0, behind=True)
        if frame.complete:
            peer = replace(peer, behind=False, complete=True)
        if not peer.behind:
            peer = replace(peer, merged=max(peer.merged, frame.index))
        undo.put(self.peers, site, peer)

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

    def forget(self, home_address: bytes, undo: Undo) -> None:
        """A record is gone; nobody needs its change any more."""
        undo.drop(self._changed_at, home_address)

    def sync_timeout_s(self) -> float:
        """How long an answer waits for a peer: 3 round trips to the quickest peer, at least 50 ms."""
        known = [peer.rtt_s for peer in self.peers.values() if peer.reachable and peer.rtt_s is not None]
        return max(SYNC_TIMEOUT_MIN_S, SYNC_TIMEOUT_RTTS * min(known, default=0.0))

    def next_deadline(self) -> float:
        """When the next slice is due, or the oldest waiting answer has waited long enough.

        Timeouts hardly differ, so the oldest is the next.
        """
        oldest = next((a.deadline for a in self._awaited.values() if a.answer is not None), math.inf)
        slice_at = min((one.next_at for one in self._catching_up.values()), default=math.inf)
        return min(oldest, slice_at)

    def _give_up(self, index: int, undo: Undo) -> list[Effect]:
        awaited = self._awaited[index]
        undo.drop(self._awaited, index)
        if awaited.answer is None:
            return []
        self._counters.add("acknowledged_degraded", "peer_lost")
        return [awaited.answer]
