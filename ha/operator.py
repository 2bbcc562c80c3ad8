"""An operator's wish from the command line: who asks, and the wait until a drained site carries nothing any more.

Owns the waiting. Refuses to wait for what cannot come: a site that is the last one keeps its announcement.
"""

import os
import pwd
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LOOK_S = 1.0
MARGIN_S = 60.0  # what a wait takes longer than the linger, unless told otherwise: for traffic that leaves late
QUIET_PACKETS = 50  # a second and direction; the self-test alone makes some twenty
DIRECTIONS = {"tunnelled_in": "from customers", "tunnelled_out": "to customers"}
QUIET_LOOKS = 2
_NOBODY_LOGGED_IN = 2**32 - 1

Ask = Callable[[], Mapping[str, Any]]


def name() -> str:
    """Who asks: the account that logged in, also behind sudo, else the one this runs as."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        uid = _NOBODY_LOGGED_IN
    uid = os.getuid() if uid == _NOBODY_LOGGED_IN else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Leaving:
    """Judges looks at a site that drains, one a second.

    Both directions count: with anycast, what comes from customers and what goes to them choose their sites apart.
    """

    def __init__(self) -> None:
        self._packets: dict[str, int | None] = {}
        self._quiet = 0

    def look(self, seen: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether it is over, and the present state in words."""
        before, self._packets = self._packets, {way: seen[way] for way in DIRECTIONS}
        if seen["wanted"] != "withdraw" or seen["announcement"] not in ("withdrawn", "stopped"):
            self._quiet = 0
            return False, f"{seen['announcement']}; " + "; ".join(seen["reasons"])
        passed: dict[str, int] = {}
        for way, packets in self._packets.items():
            then = before.get(way)
            if packets is not None and then is not None:
                passed[way] = packets - then
        if len(passed) < len(DIRECTIONS):
            self._quiet = 0
            return False, "withdrawn; its packets are counted now"
        # Less than before: the counters were made anew in between, and nobody knows what passed.
        is_quiet = all(0 <= packets <= QUIET_PACKETS for packets in passed.values())
        self._quiet = self._quiet + 1 if is_quiet else 0
        words = ", ".join(f"{passed[way]} {name}" for way, name in DIRECTIONS.items())
        return self._quiet >= QUIET_LOOKS, f"withdrawn; packets in the last second: {words}"


def wait(
    ask: Ask,
    tell: Callable[[str], object],
    timeout_s: float | None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], object] = time.sleep,
) -> float | None:
    """Look once a second until the site carries nothing; `tell` hears of each change.

    `timeout_s`: None for as long as its neighbours need, and a while. Returns: None, or the time that was not enough.
    """
    leaving, told, began = Leaving(), "", clock()
    while True:
        seen = ask()
        if timeout_s is None:
            timeout_s = seen["linger_s"] + MARGIN_S
        over, state = leaving.look(seen)
        if state != told:
            tell(state)
            told = state
        if over or clock() > began + timeout_s:
            return None if over else timeout_s
        pause(LOOK_S)
