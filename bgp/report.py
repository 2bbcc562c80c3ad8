"""The status document of `xsp-bgp`: what ExaBGP, the sessions and the other sites report, and what is wrong. Pure."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from heapq import merge
from operator import itemgetter
from typing import Any

from bgp import memory, notification
from bgp.config import Neighbour

REMEMBERED = 200  # of the sessions, and as many of all else
REFUSED_LATELY_S = 3.0  # who wants the lease asks for it ten times a second
ENDED_LATELY_S = 600.0  # ExaBGP tries again after a minute at most; what ended a session longer ago explains nothing
UNREACHED_S = 5.0  # without a TCP connection; ExaBGP tries it all the time while it waits for one
BFDD = "bfdd"  # who tells of BFD's sessions
_FIELDS = ("at", "what", "before", "after", "reason", "by")  # of every entry, and lasted_s


class History:
    """What changed, over all bridges, ExaBGPs and supervisors; the latest of it.

    Of the sessions apart from all else: one that flaps drives out what came of other sessions, never why we announced.
    `keep` is called with what is new, for those who come after us.
    """

    def __init__(self, keep: Callable[..., None] = lambda *_: None) -> None:
        self._keep = keep
        self._arrived = 0  # so many entries; each is kept with its number, for a clock may be set back between two
        self._entries: deque[tuple[int, Mapping[str, Any]]] = deque(maxlen=REMEMBERED)
        self._sessions: deque[tuple[int, Mapping[str, Any]]] = deque(maxlen=REMEMBERED)
        self.last = 0  # the number of the present bridge's last entry

    def note(self, at: float, what: str, before: str, after: str, reason: str, lasted_s: float) -> None:
        """Something that the supervisor did itself; `at` in Unix seconds."""
        self._note(at, what, before, after, reason, lasted_s, "xsp-bgp")

    def bfd(self, at: float, neighbour: str, before: str, after: str, reason: str, lasted_s: float) -> None:
        """A BFD session changed; `at` in Unix seconds."""
        self._note(at, f"BFD with {neighbour}", before, after, reason, lasted_s, BFDD)

    def _note(self, at: float, what: str, before: str, after: str, reason: str, lasted_s: float, by: str) -> None:
        entry = {"what": what, "before": before, "after": after, "reason": reason, "lasted_s": round(lasted_s, 3)}
        fresh = {"at": time_text(at), **entry, "by": by}
        self._place(fresh)
        self._keep(fresh)

    def take(self, entries: Iterable[Mapping[str, Any]]) -> bool:
        """What the bridge tells; what it has told before is not taken again. Returns: whether any of it was new."""
        fresh = []
        for entry in entries:
            if int(entry["number"]) <= self.last:
                continue
            self.last = max(self.last, int(entry["number"]))
            rest = {name: value for name, value in entry.items() if name not in ("number", "at")}
            fresh.append({"at": time_text(float(entry["at"])), **rest})
            self._place(fresh[-1])
        self._keep(*fresh)
        return bool(fresh)

    def restore(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """What the one before us kept, oldest first; what is no entry is left out."""
        for entry in entries:
            if _is_entry(entry):
                self._place({name: entry[name] for name in (*_FIELDS, "lasted_s")})

    def _place(self, entry: Mapping[str, Any]) -> None:
        of_session = entry["by"] == BFDD or (entry["by"] == "ExaBGP" and entry["what"] != "announcement")
        kept = self._sessions if of_session else self._entries
        self._arrived += 1
        kept.append((self._arrived, entry))

    def new_bridge(self) -> None:
        """A bridge numbers its own life."""
        self.last = 0

    def entries(self) -> list[Mapping[str, Any]]:
        """Oldest first: as they came, whatever the clock said."""
        return [entry for _, entry in merge(self._sessions, self._entries, key=itemgetter(0))]


def _is_entry(entry: Mapping[str, Any]) -> bool:
    """Of what somebody may have written into the file."""
    if not all(isinstance(entry.get(name), str) for name in _FIELDS):
        return False
    try:
        memory.unix_s(entry["at"])
        return isinstance(entry.get("lasted_s"), int | float) and math.isfinite(entry["lasted_s"])
    except (ValueError, OverflowError):
        return False


def time_text(unix_s: float) -> str:
    """Unix seconds as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


def neighbours(configured: Sequence[Neighbour], bridge: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each neighbour: its session, why the last one ended, and what it was sent in this one."""
    sessions = {row["neighbour"]: row for row in bridge.get("sessions", [])}
    return [_neighbour(one, sessions.get(str(one.address), {}), bridge) for one in configured]


def _neighbour(neighbour: Neighbour, session: Mapping[str, Any], bridge: Mapping[str, Any]) -> dict[str, Any]:
    address = str(neighbour.address)
    end = bridge.get("session_ends", {}).get(address, {})
    return {
        "address": address,
        "as": neighbour.autonomous_system,
        "state": session.get("state", "unknown"),
        "since_s": session.get("since_s"),
        "sent": list(bridge.get("routes_sent", {}).get(address, [])),
        "ended": end.get("reason", ""),
        "ended_s_ago": end.get("ended_s_ago"),
        "reached_s_ago": end.get("reached_s_ago"),
    }


def complaints(
    rows: Sequence[Mapping[str, Any]],
    bridge: Mapping[str, Any],
    bfd: Sequence[Mapping[str, Any]] | None,
    passwords: Collection[str] = (),
) -> list[str]:
    """What is wrong, a sentence each.

    Args: bfd: the sessions, None where there is no BFD. passwords: the neighbours that have one (RFC 2385).
    """
    if not bridge:
        return ["the bridge does not answer"]
    found = [_why_down(row, row["address"] in passwords) for row in rows if row["state"] != "established"]
    if bridge.get("holder") is None:
        found.append("nobody holds the lease")
    if (refused := bridge.get("refused")) is not None and refused["s_ago"] < REFUSED_LATELY_S:
        found.append(f"process {refused['pid']} asks for the lease and is refused: {refused['what']}")
    if not bridge.get("settled"):
        found.append("ExaBGP has not confirmed everything yet")
    if bfd is not None and not bfd:
        found.append("bfdd does not answer")
    found += [f"BFD with {row['address']} is {row['state']}" for row in bfd or () if row["state"] != "up"]
    return found


def _why_down(row: Mapping[str, Any], has_password: bool) -> str:
    """A refusal is told by the neighbour, or by us to it; silence is all that comes of a wrong password."""
    parts = [f"the session with {row['address']} (AS {row['as']}) is not established"]
    ended_s, reached_s = row["ended_s_ago"], row["reached_s_ago"]
    if row["ended"] and ended_s is not None and ended_s < ENDED_LATELY_S:
        look = notification.remedy(row["ended"])
        parts.append(f"{row['ended']}, {ended_s:.0f} s ago" + (f": {look}" if look else ""))
    if reached_s is None or reached_s > UNREACHED_S:
        since = "" if reached_s is None else f" since {reached_s:.0f} s"
        wrong = "it has another MD5 password than we" if has_password else "it expects an MD5 password"
        parts.append(f"its TCP connection is not answered{since}: no way there, nobody listens, or {wrong}")
    return "; ".join(parts)
