"""May this site be announced? Facts in, one of announce | depreference | withdraw out, with reasons. Pure.

Theory of operation. A home agent that starts says nothing until it knows enough: the bridge may still hold the
announcement of the one before, for a kernel that forwards on, and so may the bridges of all sites at once. A hard
reason means that packets sent here would be lost: withdraw at once. A soft reason means that other sites do better:
depreference, so that traffic moves without loss; of the soft ones only the operator's drain ends in a withdraw, and
only after a linger. The brake: for a soft reason nobody withdraws unless another site is known to announce. Isolation
(no majority heard) never withdraws: it may be us, it may be them, and customers behind this site have no other.

What "known to announce" means: a HELLO that says so, not older than `PEER_LOST_S`; for the brake not older than
`FRESH_S`. Two sites drained at once would both withdraw if each believed an old HELLO of the other; with
FRESH_S + HELLO's delay < linger, one of the two has heard that the other is leaving. The bridge has its own brake, for
when nobody decides any more (`bgp.speaker`).

A site above its load threshold prepends its path (RFC 4908 3.2: load balancing of home agents), but only while a less
loaded site that does not prepend announces: never all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median_high

NOT_INSTALLED = "what the peers told is not all in the kernel yet"
PEER_LOST_S = 3.0  # a peer counts as lost for policy after this silence
BY_WAY_S = 1.0  # what a HELLO may wait in TCP on its second way, and until the reflector's next one
FRESH_S = 0.5  # for the brake: five HELLOs missing
LINGER_MIN_S = 1.0  # a depreferenced announcement stays at least this long
MRAI_FACTOR = 2  # ... and at least so many of the neighbours' advertisement intervals
CLOCK_OFF_S = 2.0  # off the median of all sites; timestamps of mobile routers are accepted within 7 s
CLOCK_WITNESSES = 2  # with one peer nobody can tell who is wrong
LOAD_HIGH, LOAD_LOW = 0.8, 0.6  # of the capacity: prepend above, stop below

ANNOUNCE, DEPREFERENCE, WITHDRAW = "announce", "depreference", "withdraw"


class Mode(StrEnum):
    """What an operator may want of a site."""

    SERVE = "serve"
    DEPREFERENCE = "depreference"  # other sites first; stays announced
    DRAIN = "drain"  # other sites first, then withdrawn


_DONE = {Mode.SERVE: "put back in service", Mode.DEPREFERENCE: "depreferenced", Mode.DRAIN: "drained"}


@dataclass(frozen=True, slots=True)
class Wish:
    """An operator's wish: what, since when (monotonic seconds), whose, and why."""

    mode: Mode
    since: float
    by: str = ""
    why: str = ""

    def __str__(self) -> str:
        return (
            f"{_DONE[self.mode]} by the operator"
            + (f" {self.by}" if self.by else "")
            + (f": {self.why}" if self.why else "")
        )


SERVE = Wish(Mode.SERVE, 0.0)


@dataclass(frozen=True, slots=True)
class PeerSeen:
    """What a peer's last HELLO said, and when (monotonic seconds).

    `clock_ahead_s`: its clock minus ours; `load`: the share of its capacity in use; `direct`: it said so to us, and not
    by way of a reflector.
    """

    heard_at: float
    announcing: str
    serving: bool
    clock_ahead_s: float = 0.0
    load: float = 0.0
    prepending: bool = False
    direct: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision rests on.

    `forwarding_reconciled` and `looked`: the kernel holds what it should, and was looked at since the start;
    `self_test`: why it failed, empty if it passed, None before its first round; `wish`: the operator's; `drained`: it
    was decided that its drain is over; `synced`, `started`, `installed`, `behind`: see `ha/knowledge.py`; `cold`: the
    first synchronisation was given up and nothing was on disk; `peers`: every configured peer -> what was heard, or
    None; `load`: the share of this site's capacity in use, `prepending`: what was decided about it last.
    """

    site: str
    forwarding_reconciled: bool
    looked: bool
    egress_present: bool
    data_plane_intact: bool
    self_test: str | None
    synced: bool
    started: bool
    installed: bool
    cold: bool
    behind: bool
    wish: Wish
    drained: bool
    peers: Mapping[str, PeerSeen | None]
    load: float
    prepending: bool
    mrai_s: float
    orphan_hold_s: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What to ask of BGP, why, and how long to stay depreferenced if the lease should run out.

    `starting`: ask nothing yet, whatever `wanted` says.
    """

    wanted: str
    state: str
    reasons: tuple[str, ...]
    linger_s: float
    prepend: bool = False
    starting: bool = False


def decide(facts: Facts, now: float) -> Decision:
    """The site's wish at `now` (monotonic seconds)."""
    linger_s = _linger(facts) if _another_announces(facts, now, PEER_LOST_S) else facts.orphan_hold_s
    if hard := _hard_reasons(facts):
        return Decision(WITHDRAW, "WITHDRAWN", hard, linger_s)
    if not facts.forwarding_reconciled or not facts.looked:
        return Decision(WITHDRAW, "INIT", ("forwarding is not reconciled with the kernel",), linger_s, starting=True)
    if facts.self_test is None:
        return Decision(WITHDRAW, "INIT", ("the self-test has not passed yet",), linger_s, starting=True)
    if not facts.synced:
        reasons = ("first synchronisation with the peers is not done",)
        return Decision(WITHDRAW, "SYNCING", reasons, linger_s, starting=True)
    if not facts.installed and not facts.started:
        return Decision(WITHDRAW, "SYNCING", (NOT_INSTALLED,), linger_s, starting=True)
    if facts.wish.mode is Mode.DRAIN and now - facts.wish.since >= _linger(facts):
        if _another_announces(facts, now, PEER_LOST_S if facts.drained else FRESH_S):
            return Decision(WITHDRAW, "WITHDRAWN", (str(facts.wish),), linger_s)
        braked = (str(facts.wish), "brake: no other site is known to announce")
        return Decision(DEPREFERENCE, "DEPREFERENCED", braked, linger_s)
    if soft := _soft_reasons(facts, now):
        return Decision(DEPREFERENCE, "DEPREFERENCED", soft, linger_s)
    return Decision(ANNOUNCE, "READY", (), linger_s, _prepends(facts, now))


def linger(mrai_s: float) -> float:
    """How long a depreferenced announcement must stay so that no router is left without a route."""
    return max(LINGER_MIN_S, MRAI_FACTOR * mrai_s)


def _linger(facts: Facts) -> float:
    """The same, longer if sites are heard by way of reflectors only: their word is older than it looks."""
    by_way = any(seen is not None and not seen.direct for seen in facts.peers.values())
    return linger(facts.mrai_s) + (BY_WAY_S if by_way else 0.0)


def hears_majority(peers: Mapping[str, PeerSeen | None], now: float) -> bool:
    """True if this site and the peers it hears are more than half of all sites."""
    heard = 1 + sum(1 for seen in peers.values() if _alive(seen, now, PEER_LOST_S))
    return 2 * heard > 1 + len(peers)


def forwarding(peers: Mapping[str, PeerSeen | None], now: float) -> frozenset[str]:
    """The sites whose last word is fresh and says that they forward."""
    return frozenset(site for site, seen in peers.items() if seen and seen.serving and _alive(seen, now, FRESH_S))


def clock_is_confirmed(peers: Mapping[str, PeerSeen | None], now: float) -> bool:
    """True if this site's clock is the time of most of the sites that are heard, itself among them.

    Of a peer at least if it has any. Of three sites two are enough: while one clock is wrong, the others confirm each
    other.
    """
    clocks = [0.0, *_clocks_ahead(peers, now)]
    return sum(abs(one) <= CLOCK_OFF_S for one in clocks) * 2 > len(clocks) if len(clocks) > 1 else not peers


def _clocks_ahead(peers: Mapping[str, PeerSeen | None], now: float) -> list[float]:
    """By how much the clocks of the peers that are heard are ahead of ours, in seconds."""
    return [seen.clock_ahead_s for seen in peers.values() if seen and _alive(seen, now, PEER_LOST_S)]


def _hard_reasons(facts: Facts) -> tuple[str, ...]:
    reasons = []
    if facts.looked and not facts.data_plane_intact:
        reasons.append("somebody changed the data plane and it cannot be repaired")
    if facts.looked and not facts.egress_present:
        reasons.append("no default route is left")
    if facts.self_test:
        reasons.append(f"self-test: {facts.self_test}")
    return tuple(reasons)


def _soft_reasons(facts: Facts, now: float) -> tuple[str, ...]:
    reasons = []
    if facts.wish.mode is not Mode.SERVE:
        reasons.append(str(facts.wish))
    if facts.cold:
        reasons.append("cold start: no peer and no snapshot to learn bindings from")
    if not facts.installed:
        reasons.append(NOT_INSTALLED)
    if not hears_majority(facts.peers, now):
        reasons.append("isolated: no majority of the sites is heard")
    elif facts.behind:
        reasons.append("a peer that lives has not told all it knows yet")
    if _clock_is_off(facts, now):
        reasons.append(f"this site's clock is more than {CLOCK_OFF_S:g} s off the median of all sites")
    return tuple(reasons)


def _clock_is_off(facts: Facts, now: float) -> bool:
    """Is it off the median of all clocks that are known, its own (0.0) among them?

    The median is one of them, so that never all sites find themselves wrong. With two against two it is the later time:
    a clock that is wrong is mostly behind, as after a boot with an empty battery.
    """
    ahead = _clocks_ahead(facts.peers, now)
    return len(ahead) >= CLOCK_WITNESSES and abs(median_high((0.0, *ahead))) > CLOCK_OFF_S


def _prepends(facts: Facts, now: float) -> bool:
    """Above the threshold, and somebody less loaded takes what leaves. Ties go by the site's name."""
    if facts.load <= (LOAD_LOW if facts.prepending else LOAD_HIGH):
        return False
    return any(
        seen.announcing == "announced" and not seen.prepending and (seen.load, site) < (facts.load, facts.site)
        for site, seen in facts.peers.items()
        if seen is not None and _alive(seen, now, FRESH_S)
    )


def _another_announces(facts: Facts, now: float, within_s: float) -> bool:
    return any(_alive(seen, now, within_s) and seen.announcing == "announced" for seen in facts.peers.values() if seen)


def _alive(seen: PeerSeen | None, now: float, within_s: float) -> bool:
    return seen is not None and now - seen.heard_at < within_s
