"""May this site be announced? Facts in, one of announce | depreference | withdraw out, with reasons. Pure.

Theory of operation. A hard reason means that packets sent here would be lost: withdraw at once. A soft reason means
that other sites do better: depreference, so that traffic moves without loss, and only after a linger withdraw. The
brake: for a soft reason nobody withdraws unless another site is known to announce. Isolation (no majority heard)
never withdraws: it may be us, it may be them, and customers behind this site have no other. What "known to announce"
means: a HELLO not older than `PEER_LOST_S` that says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PEER_LOST_S = 3.0  # a peer counts as lost for policy after this silence
LINGER_MIN_S = 1.0  # a depreferenced announcement stays at least this long
MRAI_FACTOR = 2  # ... and at least so many of the neighbours' advertisement intervals

ANNOUNCE, DEPREFERENCE, WITHDRAW = "announce", "depreference", "withdraw"


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """What a peer's last HELLO said, and when (monotonic seconds)."""

    heard_at: float
    announcing: str
    serving: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision rests on.

    `drain_since`: when an operator began to drain, or None; `synced`: the first synchronisation is done or was given
    up; `cold`: it was given up and nothing was on disk; `peers`: every configured peer -> what was heard, or None.
    """

    forwarding_reconciled: bool
    egress_present: bool
    data_plane_intact: bool
    synced: bool
    cold: bool
    drain_since: float | None
    peers: Mapping[str, PeerSeen | None]
    mrai_s: float
    orphan_hold_s: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What to ask of BGP, why, and how long to stay depreferenced if the lease should run out."""

    wanted: str
    state: str
    reasons: tuple[str, ...]
    linger_s: float


def decide(facts: Facts, now: float) -> Decision:
    """The site's wish at `now` (monotonic seconds)."""
    alone = not _another_announces(facts, now)
    linger_s = facts.orphan_hold_s if alone else linger(facts.mrai_s)
    if hard := _hard_reasons(facts):
        return Decision(WITHDRAW, "INIT" if not facts.forwarding_reconciled else "WITHDRAWN", hard, linger_s)
    if not facts.synced:
        return Decision(WITHDRAW, "SYNCING", ("first synchronisation with the peers is not done",), linger_s)
    if facts.drain_since is not None:
        if alone:
            reasons = ("drained by the operator", "brake: no other site is known to announce")
            return Decision(DEPREFERENCE, "DEPREFERENCED", reasons, linger_s)
        if now - facts.drain_since >= linger_s:
            return Decision(WITHDRAW, "WITHDRAWN", ("drained by the operator",), linger_s)
        return Decision(DEPREFERENCE, "DEPREFERENCED", ("drained by the operator",), linger_s)
    if soft := _soft_reasons(facts, now):
        return Decision(DEPREFERENCE, "DEPREFERENCED", soft, linger_s)
    return Decision(ANNOUNCE, "READY", (), linger_s)


def linger(mrai_s: float) -> float:
    """How long a depreferenced announcement must stay so that no router is left without a route."""
    return max(LINGER_MIN_S, MRAI_FACTOR * mrai_s)


def hears_majority(facts: Facts, now: float) -> bool:
    """True if this site and the peers it hears are more than half of all sites."""
    heard = 1 + sum(1 for seen in facts.peers.values() if _alive(seen, now))
    return 2 * heard > 1 + len(facts.peers)


def _hard_reasons(facts: Facts) -> tuple[str, ...]:
    reasons = []
    if not facts.forwarding_reconciled:
        reasons.append("forwarding is not reconciled with the kernel")
    if not facts.data_plane_intact:
        reasons.append("somebody changed the data plane and it cannot be repaired")
    if not facts.egress_present:
        reasons.append("no default route is left")
    return tuple(reasons)


def _soft_reasons(facts: Facts, now: float) -> tuple[str, ...]:
    reasons = []
    if facts.cold:
        reasons.append("cold start: no peer and no snapshot to learn bindings from")
    if facts.peers and not hears_majority(facts, now):
        reasons.append("isolated: no majority of the sites is heard")
    return tuple(reasons)


def _another_announces(facts: Facts, now: float) -> bool:
    return any(_alive(seen, now) and seen.announcing == "announced" for seen in facts.peers.values() if seen)


def _alive(seen: PeerSeen | None, now: float) -> bool:
    return seen is not None and now - seen.heard_at < PEER_LOST_S
