"""A journal: one line for each event that a core is given, so that a run can be played again.

Owns the file (0600, it grows until somebody takes it away) and the wrapper that writes before the core acts. A journal
that cannot be written never stops a service: lines lost are counted, and said once.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from runtime import log
from runtime.counters import Counters
from runtime.loop import Core

Event = TypeVar("Event")
Effect = TypeVar("Effect")


class Journal:
    """Appends lines to a file. Raises: OSError if it cannot be opened."""

    def __init__(self, path: Path, counters: Counters) -> None:
        self._path = path
        self._counters = counters
        self._said = False
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, line: str) -> None:
        """One line; a loss is counted."""
        try:
            os.write(self._descriptor, line.encode() + b"\n")
        except OSError as error:
            self._counters.add("journal_lines_lost")
            if not self._said:
                log.get().error("journal not written", path=str(self._path), reason=error.strerror)
                self._said = True

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Recorded(Generic[Event, Effect]):
    """A core whose events are written down before it handles them.

    Args:
        core: the one that acts. write: puts down one event and its time.
    """

    def __init__(self, core: Core[Event, Effect], write: Callable[[Event, float], None]) -> None:
        self._core = core
        self._write = write

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Write, then do as the core does."""
        self._write(event, now)
        return self._core.handle(event, now)

    def next_deadline(self) -> float | None:
        """The core's."""
        return self._core.next_deadline()
