"""The BGP sessions as ExaBGP tells of them, and what was sent in each. Pure.

Owns when a session changed, why it ended, and what counts as sent. ExaBGP's outgoing RIB is what it *would* send: it
lists routes for a neighbour that is down, or was never up. So what it lists counts only if it was asked for while the
session was established, and no longer than until that session ends; and only in a family that both ends agreed on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bgp.events import NeighbourChanged, Session

ESTABLISHED = "established"
UNKNOWN = "unknown"
NOT_TOLD = "seen in ExaBGP's list; it did not tell when it happened"


@dataclass(frozen=True, slots=True)
class Change:
    """A session went from one state to another; `lasted_s` the former. `reason`: what ExaBGP says of an end."""

    neighbour: str
    before: str
    after: str
    reason: str
    lasted_s: float


@dataclass(frozen=True, slots=True)
class _Known:
    """Of one neighbour. Times are monotonic seconds; `ended_at`: when ExaBGP gave `reason` for the last end."""

    state: str
    since: float
    reason: str = ""
    ended_at: float | None = None
    reached_at: float | None = None  # when its TCP connection stood last
    families: tuple[str, ...] | None = None


class Sessions:
    """What is known of every neighbour that ExaBGP has told of."""

    def __init__(self) -> None:
        self.local_as = 0
        self._known: dict[str, _Known] = {}
        self._asked: frozenset[str] = frozenset()  # established when the RIB was asked for, and ever since
        self._sent: dict[str, tuple[str, ...]] = {}

    def told(self, event: NeighbourChanged, now: float) -> Change | None:
        """ExaBGP says that a session has just changed. Returns: None if it is as it was."""
        known = self._known.get(event.neighbour) or _Known(UNKNOWN, now)
        after = replace(known, state=event.state, since=now)
        if event.state == "down":
            after = replace(after, reason=event.reason, ended_at=now, families=None)
        else:
            after = replace(after, reached_at=now)
        self._known[event.neighbour] = after
        self._forget_sent(event.neighbour)
        if known.state == event.state:
            return None
        return Change(event.neighbour, known.state, event.state, event.reason, round(now - known.since, 3))

    def described(self, sessions: Iterable[Session], now: float) -> list[Change]:
        """ExaBGP lists its neighbours: all there are. Returns: what it had not told of when it happened."""
        changes, known = [], {}
        for session in sessions:
            before = self._known.get(session.neighbour) or _Known(UNKNOWN, now)
            after = replace(before, families=session.families)
            # It lists no `connected`, which to its list is `down`.
            other = ESTABLISHED in (session.state, before.state) and session.state != before.state
            if other or before.state == UNKNOWN:
                after = replace(after, state=session.state, since=now - session.since_s)
            if after.state == ESTABLISHED:
                after = replace(after, reached_at=now)
            if other:
                self._forget_sent(session.neighbour)
                lasted_s = round(max(0.0, after.since - before.since), 3)
                if before.state != UNKNOWN:
                    changes.append(Change(session.neighbour, before.state, after.state, NOT_TOLD, lasted_s))
            known[session.neighbour] = after
            self.local_as = session.local_as or self.local_as
        self._known = known
        return changes

    def names(self) -> frozenset[str]:
        """Every neighbour that ExaBGP listed, or told of since."""
        return frozenset(self._known)

    def all(self, now: float) -> tuple[Session, ...]:
        """Each of them, aged to `now`."""
        return tuple(
            Session(neighbour, known.state, max(0.0, now - known.since), self.local_as, known.families)
            for neighbour, known in sorted(self._known.items())
        )

    def ends(self, now: float) -> dict[str, dict[str, Any]]:
        """For the status: why each session ended last, and how long ago that was and its TCP connection stood."""
        return {
            neighbour: {
                "reason": known.reason,
                "ended_s_ago": _ago(known.ended_at, now),
                "reached_s_ago": _ago(known.reached_at, now),
            }
            for neighbour, known in self._known.items()
        }

    # -- what was sent

    def ask(self) -> None:
        """The RIB is asked for now: what it holds counts for those that are established until the answer is there."""
        self._asked = frozenset(one for one, known in self._known.items() if known.state == ESTABLISHED)

    def answered(self, routes: Mapping[str, tuple[str, ...]]) -> None:
        """ExaBGP's answer to that: neighbour -> its routes in words, the prefix first."""
        self._sent = {neighbour: routes.get(neighbour, ()) for neighbour in self._asked}

    def sent(self) -> dict[str, tuple[str, ...]]:
        """What each neighbour was sent in its present session; none that is not established is in it."""
        found = {}
        for neighbour, routes in self._sent.items():
            families = self._known[neighbour].families if neighbour in self._known else ()
            found[neighbour] = tuple(one for one in routes if families is None or _family(one) in families)
        return found

    def _forget_sent(self, neighbour: str) -> None:
        self._sent.pop(neighbour, None)
        self._asked -= {neighbour}


def _family(route: str) -> str:
    """As ExaBGP calls it; `route` in words."""
    return "ipv6 unicast" if ":" in route.split(" ", 1)[0] else "ipv4 unicast"


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else round(max(0.0, now - at), 3)
