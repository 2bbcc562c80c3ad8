"""What this site wanted to announce before, over restarts: the transitions of readiness in a file, and for the status.

Owns the file in the state directory and the change from monotonic to civil time. An edge.
"""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ha.serving import REMEMBERED, Transition
from runtime.history_file import Entry, HistoryFile

NAME = "history-ha.jsonl"
_TEXTS, _NUMBERS = ("was", "wanted", "reason"), ("at", "lasted_s")


class Past:
    """The latest transitions, those of earlier lives first."""

    def __init__(self, directory: Path) -> None:
        self._entries: list[Entry] = []
        self._last: Transition | None = None  # of this life, in the file already
        self._file = HistoryFile(directory / NAME, lambda: self._entries)

    def load(self) -> None:
        """Read what the lives before this one left; what is no transition is left out."""
        self._entries = [entry for entry in self._file.load() if _is_ours(entry)][-REMEMBERED:]

    def note(self, history: Sequence[Transition]) -> None:
        """Remember what is new in the history of this life; mostly nothing is, and it is asked often."""
        if not history or history[-1] is self._last:
            return
        place = next((number for number, one in enumerate(history) if one is self._last), -1)
        fresh, self._last = history[place + 1 :], history[-1]
        ahead_s = time.time() - time.monotonic()
        entries = [_entry(one, ahead_s) for one in fresh]
        self._entries = [*self._entries, *entries][-REMEMBERED:]
        self._file.add(*entries)

    def rows(self) -> list[dict[str, Any]]:
        """For the status, oldest first."""
        now = time.time()
        return [{"s_ago": round(now - entry["at"], 3), **_without_time(entry)} for entry in self._entries]

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


def _entry(one: Transition, ahead_s: float) -> Entry:
    reason = "; ".join(one.reasons) or "ready"
    at = round(one.at + ahead_s, 3)
    return {"at": at, "was": one.was, "wanted": one.wanted, "lasted_s": one.lasted_s, "reason": reason, "by": one.by}


def _is_ours(entry: Mapping[str, Any]) -> bool:
    texts = all(isinstance(entry.get(name), str) for name in _TEXTS)
    return texts and all(isinstance(entry.get(name), int | float) and math.isfinite(entry[name]) for name in _NUMBERS)


def _without_time(entry: Entry) -> dict[str, Any]:
    told = {name: entry[name] for name in ("was", "wanted", "lasted_s", "reason")}
    return {**told, "by": str(entry.get("by", ""))}  # those of earlier versions tell nobody
