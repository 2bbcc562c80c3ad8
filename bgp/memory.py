"""What a new bridge must know of those before it: how often the announcement was given up, and if it still is. Pure.

Owns what of the history counts as given up, and the text of the file by which the supervisor tells each new bridge. A
bridge's death alone counts for nothing, its announcement stays. ExaBGP's death does: the neighbours took the route
back. So does a start that finds an announcement whose end nobody wrote down: the supervisor was killed, or the machine
went down; traffic has moved away, and moves back once (sticky failback). A planned stop does not count: whoever asked
for it wants it back.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bgp.states import State

MEMORY = "memory.json"  # beside the bgp.toml that the bridge reads
MAX_REMEMBERED = 20
_UNDECIDED = (State.STARTING, State.INHERITED)  # of a new bridge, which leaves what it finds as it is
_PLANNED = (State.STOPPING, State.STOPPED)


@dataclass(frozen=True, slots=True)
class Memory:
    """`given_up`: when, in Unix seconds, oldest first; `owed`: it was not announced since."""

    given_up: tuple[float, ...] = ()
    owed: bool = False

    def encode(self) -> str:
        """The file's text."""
        return json.dumps({"given_up": self.given_up, "owed": self.owed}) + "\n"

    def ages(self, unix_s: float) -> tuple[float, ...]:
        """How many seconds ago, by a clock that may have been set since."""
        return tuple(max(0.0, unix_s - at) for at in self.given_up)


def decode(text: str) -> Memory:
    """What the file says. Raises: ValueError."""
    try:
        document = json.loads(text)
        return Memory(tuple(map(float, document["given_up"])), bool(document["owed"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no memory: {error}") from error


def remember(entries: Iterable[Mapping[str, Any]], starting_at: float | None = None) -> Memory:
    """What the history says, oldest entry first. `starting_at`: ExaBGP is about to be started, in Unix seconds."""
    given_up: list[float] = []
    owed = announced = False
    for entry in entries:
        what, after = entry["what"], entry["after"]
        if what == "announcement" and after == State.ANNOUNCED:
            owed, announced = False, True
        elif what == "ExaBGP" or (what == "announcement" and after not in _UNDECIDED):
            # "ExaBGP": it ended, or starts anew and nobody wrote down its end
            if announced and after not in _PLANNED:
                given_up.append(unix_s(entry["at"]))
                owed = True
            announced = False
    if starting_at is not None and announced:
        given_up.append(starting_at)
        owed = True
    return Memory(tuple(given_up[-MAX_REMEMBERED:]), owed)


def unix_s(at: str) -> float:
    """When an entry of the history came, in Unix seconds. Raises: ValueError, OverflowError if it does not say so."""
    read = datetime.fromisoformat(at)
    if read.tzinfo is None:
        raise ValueError(f"no time zone: {at}")
    return read.timestamp()
