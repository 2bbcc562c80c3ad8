"""The status document of `xsp-bgp`: what ExaBGP, the sessions and the other sites report, and what is wrong. Pure."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bgp.config import Neighbour

REMEMBERED = 200  # of the sessions, and as many of all else
_FIELDS = ("at", "what", "before", "after", "reason", "by")  # of every entry, and lasted_s


class History:
    """What changed, over all bridges, ExaBGPs and supervisors; the latest of it.

    Of the sessions apart from all else: one that flaps drives out what came of other sessions, never why we announced.
    `keep` is called with what is new, for those who come after us.
    """

    def __init__(self, keep: Callable[..., None] = lambda *_: None) -> None:
        self._keep = keep
        self._entries: deque[Mapping[str, Any]] = deque(maxlen=REMEMBERED)
        self._sessions: deque[Mapping[str, Any]] = deque(maxlen=REMEMBERED)
        self.last = 0  # the number of the present bridge's last entry

    def note(self, at: float, what: str, before: str, after: str, reason: str, lasted_s: float) -> None:
        """Something that the supervisor did itself; `at` in Unix seconds."""
        entry = {"what": what, "before": before, "after": after, "reason": reason, "lasted_s": round(lasted_s, 3)}
        self._entries.append({"at": time_text(at), **entry, "by": "xsp-bgp"})
        self._keep(self._entries[-1])

    def take(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """What the bridge tells; it is asked for entries after `last` only."""
        fresh = []
        for entry in entries:
            self.last = max(self.last, int(entry["number"]))
            rest = {name: value for name, value in entry.items() if name not in ("number", "at")}
            fresh.append({"at": time_text(float(entry["at"])), **rest})
            self._place(fresh[-1])
        self._keep(*fresh)

    def restore(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """What the one before us kept, oldest first; what is no entry is left out."""
        for entry in entries:
            texts = all(isinstance(entry.get(name), str) for name in _FIELDS)
            if texts and isinstance(entry.get("lasted_s"), int | float) and math.isfinite(entry["lasted_s"]):
                self._place({name: entry[name] for name in (*_FIELDS, "lasted_s")})

    def _place(self, entry: Mapping[str, Any]) -> None:
        kept = self._sessions if entry["by"] == "ExaBGP" and entry["what"] != "announcement" else self._entries
        kept.append(entry)

    def new_bridge(self) -> None:
        """A bridge numbers its own life."""
        self.last = 0

    def entries(self) -> list[Mapping[str, Any]]:
        """Oldest first."""
        return sorted([*self._sessions, *self._entries], key=lambda entry: str(entry["at"]))


def time_text(unix_s: float) -> str:
    """Unix seconds as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")


def neighbours(configured: Sequence[Neighbour], bridge: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each neighbour: its session as ExaBGP describes it, and the routes that ExaBGP has for it."""
    sessions = {row["neighbour"]: row for row in bridge.get("sessions", [])}
    ribs = bridge.get("exabgp_rib", {})
    return [
        {
            "address": str(neighbour.address),
            "as": neighbour.autonomous_system,
            "state": sessions.get(str(neighbour.address), {}).get("state", "unknown"),
            "since_s": sessions.get(str(neighbour.address), {}).get("since_s"),
            "rib_out": ribs.get(str(neighbour.address), []),
        }
        for neighbour in configured
    ]


def complaints(
    rows: Sequence[Mapping[str, Any]], bridge: Mapping[str, Any], bfd: Sequence[Mapping[str, Any]] | None
) -> list[str]:
    """What is wrong, a sentence each. `bfd`: the sessions, None where there is no BFD."""
    if not bridge:
        return ["the bridge does not answer"]
    found = [
        f"the session with {row['address']} (AS {row['as']}) is not established"
        for row in rows
        if row["state"] != "established"
    ]
    if bridge.get("holder") is None:
        found.append("nobody holds the lease")
    if not bridge.get("settled"):
        found.append("ExaBGP has not confirmed everything yet")
    if bfd is not None and not bfd:
        found.append("bfdd does not answer")
    found += [f"BFD with {row['address']} is {row['state']}" for row in bfd or () if row["state"] != "up"]
    return found
