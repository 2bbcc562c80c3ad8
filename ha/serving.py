"""What this site knows about its own fitness and its peers', and the announcement it asks for. Pure.

Owns the facts behind `readiness.decide` and the transition log; `HomeAgent` owns everything else.
"""

from collections.abc import Iterable

from ha import readiness
from ha.events import Effect, Note, RenewLease
from ha.frames import Hello
from ha.replication import Peer
from ha.undo import Undo

SYNC_GRACE_S = 5.0  # a peer that does not answer by then is not waited for at start


class Serving:
    """Facts, decision and lease of one site. Times are monotonic seconds.

    `cold_s` bounds how long a cold start is doubted.
    """

    def __init__(self, sites: Iterable[str], now: float, mrai_s: float, orphan_hold_s: float, cold_s: float) -> None:
        self.decision = readiness.Decision(readiness.WITHDRAW, "INIT", ("starting",), readiness.LINGER_MIN_S)
        self.decided_at = now
        self.lease_state = "unreachable"
        self.sessions_up = 0
        self.reconciled = False
        self.recovered = False
        self.seen: dict[str, readiness.PeerSeen | None] = dict.fromkeys(sites)
        self.drain_since: float | None = None
        self._egress_present = False
        self._intact = True
        self._started_at = now
        self._mrai_s, self._orphan_hold_s, self._cold_s = mrai_s, orphan_hold_s, cold_s

    def hello(self, site: str, hello: Hello, now: float, undo: Undo) -> None:
        """A peer lives and says what it announces."""
        undo.put(self.seen, site, readiness.PeerSeen(now, hello.announcing, hello.serving))

    def lease_answered(self, state: str, sessions_up: int, undo: Undo) -> None:
        """What the bridge really announces, and to how many neighbours."""
        undo.assign(self, "lease_state", state)
        undo.assign(self, "sessions_up", sessions_up)

    def data_plane(self, egress_present: bool, intact: bool, undo: Undo) -> None:
        """Is a default route there, and all that we made?"""
        undo.assign(self, "_egress_present", egress_present)
        undo.assign(self, "_intact", intact)

    def drain(self, drain: bool, now: float, undo: Undo) -> None:
        """An operator's wish; draining twice keeps the first time."""
        since = (self.drain_since if self.drain_since is not None else now) if drain else None
        undo.assign(self, "drain_since", since)

    def decide(self, peers: Iterable[Peer], now: float, undo: Undo) -> list[Effect]:
        """Decide anew; a note if the wish or its reasons changed."""
        decision = readiness.decide(self._facts(list(peers), now), now)
        changed = (decision.wanted, decision.reasons) != (self.decision.wanted, self.decision.reasons)
        fields = {
            "was": self.decision.wanted,
            "wanted": decision.wanted,
            "reasons": "; ".join(decision.reasons) or "ready",
            "after_s": round(now - self.decided_at, 3),
        }
        undo.assign(self, "decision", decision)
        if not changed:
            return []
        undo.assign(self, "decided_at", now)
        return [Note("info", "readiness changed", fields)]

    def renewal(self) -> RenewLease:
        """The lease as it should be renewed now."""
        reason = "; ".join(self.decision.reasons) or "ready"
        return RenewLease(self.decision.wanted, reason, int(self.decision.linger_s * 1000))

    @property
    def state(self) -> str:
        """The state an operator reads: what we wish, made true or not yet by what the bridge reports."""
        if self.decision.wanted == readiness.ANNOUNCE:
            return "ANNOUNCED" if self.lease_state == "announced" else "READY"
        return self.decision.state

    @property
    def announcing(self) -> str:
        """What the peers may rely on: the bridge's state, but only if a BGP session carries it."""
        return self.lease_state if self.sessions_up else "unheard"

    def synced(self, peers: Iterable[Peer], now: float) -> bool:
        """The first synchronisation with every peer is done, or was given up."""
        return all(peer.complete for peer in peers) or now - self._started_at > SYNC_GRACE_S

    def _facts(self, peers: list[Peer], now: float) -> readiness.Facts:
        young_s = now - self._started_at
        cold = bool(peers) and not any(peer.complete for peer in peers) and not self.recovered
        return readiness.Facts(
            forwarding_reconciled=self.reconciled,
            egress_present=self._egress_present,
            data_plane_intact=self._intact,
            synced=self.synced(peers, now),
            cold=cold and young_s < self._cold_s,
            drain_since=self.drain_since,
            peers=self.seen,
            mrai_s=self._mrai_s,
            orphan_hold_s=self._orphan_hold_s,
        )
