"""What this site knows about its own fitness and its peers', and the announcement it asks for. Pure.

Owns the facts behind `readiness.decide` and the transition log; `HomeAgent` owns everything else.
"""

import math
from collections.abc import Iterable
from collections.abc import Set as AnySet
from dataclasses import dataclass, replace

from ha import readiness
from ha.effects import Effect, Note, RenewLease
from ha.frames import Heard, Hello
from ha.knowledge import Knowledge
from ha.replication import Peer
from ha.site import Topology
from ha.undo import Undo
from mip6 import ntp

ANSWERED_S = 0.3  # the bridge answers each renewal, every 100 ms; the lease itself lasts no longer
NO_ANSWER = ("unreachable", "unknown")  # `lease_state` while the bridge is away, or refuses us
REMEMBERED = 50  # transitions
OURSELVES = "xsp-ha"  # who asked, if no operator did


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of what this site wants: from what, to what, why, how long the former had lasted, and who asked."""

    at: float
    was: str
    wanted: str
    reasons: tuple[str, ...]
    lasted_s: float
    by: str = OURSELVES


class Serving:
    """Facts, decision and lease of one site. Times are monotonic seconds.

    `cold_s` bounds how long a cold start is doubted. `forwarding`: the other sites that are heard and forward.
    """

    def __init__(
        self, site: str, topology: Topology, now: float, mrai_s: float, orphan_hold_s: float, cold_s: float
    ) -> None:
        self.site = site
        self.forwarding: frozenset[str] = frozenset()
        self._topology = topology
        self.decision = readiness.Decision(readiness.WITHDRAW, "INIT", ("starting",), readiness.LINGER_MIN_S)
        self.decided_at = now
        self.lease_state = "unreachable"
        self.sessions_up = 0
        self._answered_at = -math.inf
        self.reconciled = False
        self.recovered = False
        self.seen: dict[str, readiness.PeerSeen | None] = dict.fromkeys(topology.sites)
        self.wish = readiness.SERVE
        self.self_test: str | None = None
        self.load = 0.0
        self.history: tuple[Transition, ...] = ()
        self._heeded = self.wish  # the wish at the last decision
        self._looked = self._egress_present = False
        self._intact = True
        self._started_at = now
        self.knowledge = Knowledge()
        self._told_mrai_s = 0.0  # by the bridge, which hears of new neighbours while we run
        self._mrai_s, self._orphan_hold_s, self._cold_s = mrai_s, orphan_hold_s, cold_s

    def hello(self, site: str, hello: Hello, clock: int, now: float, undo: Undo) -> None:
        """A peer lives and says what it announces; `clock` is ours, an NTP timestamp as the peer's."""
        ahead_s = ntp.difference_s(hello.clock, clock)
        seen = readiness.PeerSeen(now, hello.announcing, hello.serving, ahead_s, hello.load, hello.prepending)
        undo.put(self.seen, site, seen)
        for one in hello.others if site in self._topology.reflectors else ():
            known = self.seen.get(one.site)
            heard_at = now - max(0.0, one.age_s)  # some milliseconds too late: the way here is not in it
            if known is not None and known.direct and now - known.heard_at < readiness.FRESH_S:
                continue  # what it says itself counts
            if one.site in self.seen and (known is None or known.heard_at < heard_at):
                by_way = readiness.PeerSeen(
                    heard_at,
                    one.announcing,
                    one.serving,
                    ahead_s + one.clock_ahead_s,
                    one.load,
                    one.prepending,
                    direct=False,
                )
                undo.put(self.seen, one.site, by_way)

    def heard(self, now: float) -> tuple[Heard, ...]:
        """What a reflector tells its peers of each other; only what it heard itself, or news would go in circles."""
        if not self._topology.reflects:
            return ()
        return tuple(
            Heard(
                site,
                round(now - seen.heard_at, 3),
                round(seen.clock_ahead_s, 4),
                seen.announcing,
                seen.serving,
                seen.load,
                seen.prepending,
            )
            for site, seen in self.seen.items()
            if seen is not None and seen.direct and now - seen.heard_at < readiness.PEER_LOST_S
        )

    def clock_set(self, by_s: float, undo: Undo) -> None:
        """Our clock was set: what the peers said of theirs is as much less ahead."""
        for site, seen in self.seen.items():
            if seen is not None:
                undo.put(self.seen, site, replace(seen, clock_ahead_s=seen.clock_ahead_s - by_s))

    def lease_answered(self, state: str, sessions_up: int, now: float, undo: Undo, mrai_s: float = 0.0) -> None:
        """What the bridge really announces, to how many neighbours, and how long one may hold back a change."""
        if state not in NO_ANSWER:
            undo.assign(self, "_told_mrai_s", mrai_s)
        undo.assign(self, "_answered_at", now)
        undo.assign(self, "lease_state", state)
        undo.assign(self, "sessions_up", sessions_up)

    def data_plane(self, egress_present: bool, intact: bool, undo: Undo) -> None:
        """Is a default route there, and all that we made?"""
        undo.assign(self, "_looked", True)
        undo.assign(self, "_egress_present", egress_present)
        undo.assign(self, "_intact", intact)

    def self_tested(self, failure: str | None, undo: Undo) -> None:
        """What the self-test found: nothing, or why a packet would be lost here."""
        undo.assign(self, "self_test", failure or "")

    def operator_asked(self, wish: readiness.Wish, undo: Undo) -> None:
        """An operator's wish; asking twice for the same keeps the first time."""
        since = self.wish.since if wish.mode is self.wish.mode else wish.since
        undo.assign(self, "wish", readiness.Wish(wish.mode, since, wish.by, wish.why))

    def load_measured(self, load: float, undo: Undo) -> None:
        """The share of this site's capacity that is in use."""
        undo.assign(self, "load", load)

    def decide(
        self, peers: Iterable[Peer], pending: AnySet[bytes], refused: AnySet[bytes], now: float, undo: Undo
    ) -> list[Effect]:
        """Decide anew; a note if the wish or its reasons changed. `pending` and `refused`: see `Knowledge.look`."""
        if self.reconciled:
            self.knowledge.able(now, undo)
        undo.assign(self, "forwarding", readiness.forwarding(self.seen, now))
        peers = list(peers)
        self.knowledge.look(peers, self.seen, self._isolated(now), pending, refused, now, undo)
        decision = readiness.decide(self._facts(peers, now), now)
        before = self.decision
        undo.assign(self, "decision", decision)
        if _said(decision) == _said(before):
            return []
        lasted_s = round(now - self.decided_at, 3)
        reasons, by = self._cause(before, decision), self._asked_by(before, decision)
        transition = Transition(now, _wished(before), _wished(decision), reasons, lasted_s, by)
        undo.assign(self, "decided_at", now)
        undo.assign(self, "history", (*self.history, transition)[-REMEMBERED:])
        undo.assign(self, "_heeded", self.wish)
        fields = {
            "was": before.wanted,
            "wanted": decision.wanted,
            "reasons": "; ".join(reasons),
            "prepend": decision.prepend,
            "after_s": lasted_s,
            "by": by,
        }
        return [Note("info", "readiness changed", fields)]

    def _cause(self, before: readiness.Decision, decision: readiness.Decision) -> tuple[str, ...]:
        """Why it is wished otherwise now; of what is fine, too, somebody may have been the cause."""
        reasons = decision.reasons or (str(self.wish) if self._is_put_back(before) else "ready",)
        if decision.prepend != before.prepend:
            done = "path made longer" if decision.prepend else "path no longer made longer"
            reasons = (*reasons, f"load is {self.load:.0%} of the capacity: {done}")
        return reasons

    def _asked_by(self, before: readiness.Decision, decision: readiness.Decision) -> str:
        """The operator whose wish was followed just now, or is the reason for what is wished from now on."""
        wish = str(self.wish)
        follows = wish in decision.reasons and (wish not in before.reasons or decision.wanted != before.wanted)
        return (self.wish.by or "operator") if follows or self._is_put_back(before) else OURSELVES

    def _is_put_back(self, before: readiness.Decision) -> bool:
        """Did an operator take back what had been a reason until now?"""
        return self.wish.mode is readiness.Mode.SERVE and str(self._heeded) in before.reasons

    def renewals(self) -> list[RenewLease]:
        """The lease as it should be renewed now; none while this site starts."""
        if self.decision.starting:
            return []
        reason, linger_ms = "; ".join(self.history[-1].reasons), int(self.decision.linger_s * 1000)
        return [RenewLease(self.decision.wanted, reason, linger_ms, self.decision.prepend)]

    @property
    def state(self) -> str:
        """The state an operator reads: what we wish, made true or not yet by what the bridge reports."""
        if self.decision.wanted == readiness.ANNOUNCE:
            return "ANNOUNCED" if self.lease_state == "announced" else "READY"
        return self.decision.state

    @property
    def drain_s(self) -> float:
        """How long a drain stays announced at most, unless it may be the last site."""
        return readiness.linger(self._longest_mrai_s) + readiness.BY_WAY_S

    @property
    def _longest_mrai_s(self) -> float:
        return max(self._mrai_s, self._told_mrai_s)

    def announcing(self, now: float) -> str:
        """What the peers may rely on: the bridge's state, if it said so lately and a BGP session carries it.

        Who slept for seconds wakes up with what the bridge said before; by then the lease has ended.
        """
        return self.lease_state if self.sessions_up and now - self._answered_at < ANSWERED_S else "unheard"

    def lost_touch(self, now: float) -> bool:
        """See `Knowledge.lost_touch`."""
        return self.knowledge.lost_touch(self._isolated(now), now)

    def _isolated(self, now: float) -> bool:
        return not readiness.hears_majority(self.seen, now)

    def _facts(self, peers: list[Peer], now: float) -> readiness.Facts:
        young_s = now - self._started_at
        cold = bool(peers) and not any(peer.complete for peer in peers) and not self.recovered
        return readiness.Facts(
            site=self.site,
            forwarding_reconciled=self.reconciled,
            looked=self._looked,
            egress_present=self._egress_present,
            data_plane_intact=self._intact,
            self_test=self.self_test,
            synced=self.knowledge.synced,
            started=self.knowledge.started,
            installed=self.knowledge.installed,
            cold=cold and young_s < self._cold_s,
            behind=self.knowledge.behind,
            wish=self.wish,
            drained=self.wish.mode is readiness.Mode.DRAIN and self.decision.wanted == readiness.WITHDRAW,
            peers=self.seen,
            load=self.load,
            prepending=self.decision.prepend,
            mrai_s=self._longest_mrai_s,
            orphan_hold_s=self._orphan_hold_s,
        )


def _wished(decision: readiness.Decision) -> str:
    """What is asked of BGP, for the history."""
    return decision.wanted + (", path longer" if decision.prepend else "")


def _said(decision: readiness.Decision) -> tuple[object, ...]:
    return (decision.wanted, decision.reasons, decision.prepend)
