"""When the snapshot is read and written: at the start, now and then, at the end. An edge; `ha.snapshot` has the format.

No turn of the loop is held, and only a small share of the time is spent. The records are made octets in the loop, some
at a time: a thread that did it would be given the interpreter at each of the loop's system calls, and keep it.
"""

import asyncio
import time
from pathlib import Path

from ha import snapshot
from ha.frames import WireRecord
from ha.home_agent import HomeAgent
from ha.snapshot import SnapshotRefused
from runtime import log
from runtime.counters import Counters

EVERY_S = 1.0
SHARE = 0.05  # of the time at most is spent on taking snapshots
RECORDS_A_TURN = 500  # about 3 ms


class SnapshotFile:
    """The snapshot of one site in its state directory."""

    def __init__(self, directory: Path, counters: Counters) -> None:
        self._directory, self._counters = directory, counters
        self._due_at = 0.0

    def load(self) -> tuple[list[WireRecord], int]:
        """The records of the last one, and how often this site lost all that it knew; none if it cannot be used."""
        try:
            records = snapshot.load(self._directory, time.time())
        except SnapshotRefused as error:
            log.get().error("snapshot refused, starting cold", why=error.why)
            records = []
        return records, snapshot.count_losses(self._directory, lost=not records)

    def is_due(self) -> bool:
        """Is it time for the next one?"""
        return time.monotonic() > self._due_at

    async def save(self, agent: HomeAgent) -> None:
        """Replace it; a disk that is full is counted, logged, and tried again later."""
        began, saved_at, pieces = time.monotonic(), time.time(), list[bytes]()
        homes = list(agent.cache.records)
        for start in range(0, len(homes), RECORDS_A_TURN):
            pieces.append(snapshot.piece(agent.snapshot(time.monotonic(), homes[start : start + RECORDS_A_TURN])))
            await asyncio.sleep(0)  # the lease must be renewed meanwhile
        try:
            await asyncio.to_thread(snapshot.save, self._directory, saved_at, pieces)
        except OSError as error:
            self._counters.add("snapshots_failed")
            log.get().error("snapshot not written", reason=str(error))
        now = time.monotonic()
        self._due_at = now + max(EVERY_S, (now - began) / SHARE)
