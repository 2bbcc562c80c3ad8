"""Which peer knows what: change indexes, resuming, and acknowledgements that wait for another site. Pure.

Theory of operation. Each site numbers its own changes (index 1, 2, ... of this start of the daemon, its incarnation).
A peer that connects is asked nothing: it says what it has merged last of us (incarnation, index), and we send every
record that changed since, or all records if it knows another incarnation. State is sent, not operations: a record
that changed five times goes out once. Records travel in order on one stream per direction, so the last index merged
is a complete resume point. A Binding Acknowledgement with `acknowledge = "any"` waits here until one other site has
merged and installed the change, or the timeout.
"""

from collections.abc import Iterable, Mapping
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
RTT_SHARE = 0.125  # weight of a new sample, as in RFC 6298 2


@dataclass(frozen=True, slots=True)
class Peer:
    """What we know of one peer.

    `reachable`: it takes our changes; `acknowledged`: our last index it installed; `incarnation`, `merged`: resume
    point of *its* changes; `complete`: we hold its first full set; `rtt_s`: from sending a change to its installation
    there.
    """

    site: str
    reachable: bool = False
    acknowledged: int = 0
    incarnation: int = 0
    merged: int = 0
    complete: bool = False
    rtt_s: float | None = None


@dataclass(frozen=True, slots=True)
class Awaited:
    """A change on its way to the peers, and the answer that waits for it (None: already given)."""

    sent_at: float
    answer: SendBindingAck | None
    deadline: float
    missing: frozenset[str]


class Replication:
    """Our side of the exchange with all peers. Every change of state goes through the `Undo` of the event."""

    def __init__(self, sites: Iterable[str], acknowledge: str, incarnation: int, counters: Counters) -> None:
        self.peers: dict[str, Peer] = {site: Peer(site) for site in sites}
        self.incarnation = incarnation
        self._acknowledge = acknowledge
        self._counters = counters
        self._index = 0
        self._changed_at: dict[bytes, int] = {}
        self._awaited: dict[int, Awaited] = {}
        self._owed: dict[tuple[str, int], int] = {}  # peer, its index -> how many of its records the kernel has not yet

    def identified(self, site: str, incarnation: int, undo: Undo) -> list[Effect]:
        """A peer opened its stream to us: tell it where to resume."""
        peer = self.peers[site]
        if peer.incarnation != incarnation:
            peer = replace(peer, incarnation=incarnation, merged=0)
        undo.put(self.peers, site, peer)
        known = peer.incarnation if peer.merged else 0
        return [AskForRecords(site, known, peer.merged)]

    def asked(
        self, site: str, incarnation: int, since: int, records: Mapping[bytes, Record], now: float, undo: Undo
    ) -> list[Effect]:
        """A peer takes our changes from `since` on: send it what it lacks, then it counts as reachable."""
        undo.put(self.peers, site, replace(self.peers[site], reachable=True))
        if incarnation == self.incarnation and since <= self._index:
            chosen = [records[home] for home, index in self._changed_at.items() if index > since and home in records]
        else:
            chosen = list(records.values())
        wire = [frames.to_wire(record, now) for record in chosen]
        size = frames.RECORDS_PER_FRAME
        batches = [tuple(wire[start : start + size]) for start in range(0, len(wire), size)] or [()]
        last = len(batches) - 1
        return [
            SendRecords(site, StateSyncReply(self._index if place == last else 0, batch, place == last))
            for place, batch in enumerate(batches)
        ]

    def unreachable(self, site: str, undo: Undo) -> list[Effect]:
        """A peer takes no changes any more; answers wait for the others, or for nobody."""
        undo.put(self.peers, site, replace(self.peers[site], reachable=False))
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

    def time_reached(self, now: float, undo: Undo) -> list[Effect]:
        """Answer what has waited long enough; forget what nobody will acknowledge."""
        effects: list[Effect] = []
        for index, awaited in list(self._awaited.items()):
            if now >= awaited.sent_at + AWAITED_MAX_S:
                undo.drop(self._awaited, index)
            elif awaited.answer is not None and now >= awaited.deadline:
                self._counters.add("acknowledged_degraded", "timeout")
                undo.put(self._awaited, index, replace(awaited, answer=None))
                effects.append(awaited.answer)
        return effects

    def merged(self, site: str, incarnation: int, frame: StateSyncReply, undo: Undo) -> None:
        """A peer's frame is merged here: move its resume point."""
        peer = self.peers[site]
        if peer.incarnation != incarnation:
            peer = replace(peer, incarnation=incarnation, merged=0)
        undo.put(
            self.peers,
            site,
            replace(peer, merged=max(peer.merged, frame.index), complete=peer.complete or frame.complete),
        )

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

    def next_deadline(self) -> float | None:
        """When the oldest waiting answer has waited long enough (timeouts hardly differ, so the oldest is the next)."""
        return next((a.deadline for a in self._awaited.values() if a.answer is not None), None)

    def _give_up(self, index: int, undo: Undo) -> list[Effect]:
        awaited = self._awaited[index]
        undo.drop(self._awaited, index)
        if awaited.answer is None:
            return []
        self._counters.add("acknowledged_degraded", "peer_lost")
        return [awaited.answer]
