"""What changed, in a file that outlives the process: a JSON object a line, the latest last. An edge.

Owns the file: bounded, written by a thread of its own, and replaced as a whole when it has grown to twice what is
remembered. Refuses to be in anybody's way: a disk that is full or hangs costs history, never an announcement, and what
cannot be read in it is left out.
"""

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from runtime import durable, log

MAX_OCTETS = 1024 * 1024  # of a file; what stands before that is older than anything we would remember
MAX_WAITING = 1000  # entries that a slow disk may owe
CLOSE_S = 1.0  # what a stop waits for the disk

Entry = Mapping[str, Any]


class HistoryFile:
    """Entries go in by `add` as they come; `remembered` says which are still wanted, oldest first."""

    def __init__(self, path: Path, remembered: Callable[[], Sequence[Entry]]) -> None:
        self._path, self._remembered = path, remembered
        self._lines = 0
        self._clean = True  # False: the next entry replaces the whole: something there is missing or unreadable
        self._failing = self._closed = False
        self._waiting: SimpleQueue[tuple[bool, bytes] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="history", daemon=True)

    def load(self) -> list[Entry]:
        """What is there, oldest first; before the first `add`."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - MAX_OCTETS))
                *lines, rest = file.read().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            self._clean = False
            log.get().warning("the history cannot be read", file=str(self._path), reason=str(error))
            return []
        found = [entry for line in lines if (entry := _entry(line)) is not None]
        self._lines = len(lines)
        self._clean = len(found) == len(lines) and not rest
        if not self._clean:
            what = {"file": str(self._path), "read": len(found), "not_read": len(lines) - len(found) + bool(rest)}
            log.get().warning("parts of the history cannot be read", **what)
        return found

    def add(self, *entries: Entry) -> None:
        """Remember these, which `remembered` has already; they are on their way to the disk when this returns."""
        if not entries or self._closed:
            return
        if self._waiting.qsize() >= MAX_WAITING:
            self._clean = False
            return
        if not self._thread.is_alive():
            self._thread.start()
        self._lines += len(entries)
        remembered = self._remembered()
        whole = not self._clean or self._lines > 2 * max(1, len(remembered))
        if whole:
            entries, self._lines, self._clean = tuple(remembered), len(remembered), True
        octets = b"".join(json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in entries)
        self._waiting.put((whole, octets))

    def close(self) -> None:
        """Write what is left, unless the disk takes too long; nothing is remembered any more."""
        self._closed = True
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join(CLOSE_S)

    def _write(self) -> None:
        while (job := self._waiting.get()) is not None:
            whole, octets = job
            try:
                durable.replace(self._path, (octets,)) if whole else self._append(octets)
                self._failing = False
            except OSError as error:
                is_told, self._failing, self._clean = self._failing, True, False
                if not is_told:  # once: it is tried again with every entry
                    log.get().warning("the history cannot be written", file=str(self._path), reason=str(error))

    def _append(self, octets: bytes) -> None:
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
            file.write(octets)


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
