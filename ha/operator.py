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
QUIET_PACKETS = 50  # a second; the self-test alone makes some twenty
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
    """Judges looks at a site that drains, one a second."""

    def __init__(self) -> None:
        self._packets: int | None = None
        self._quiet = 0

    def look(self, seen: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether it is over, and the present state in words."""
        packets, before = seen["tunnelled_in"], self._packets
        self._packets = packets
        if seen["wanted"] != "withdraw" or seen["announcement"] not in ("withdrawn", "stopped"):
            self._quiet = 0
            return False, f"{seen['announcement']}; " + "; ".join(seen["reasons"])
        if packets is None or before is None:
            return False, "withdrawn; its packets are counted now"
        self._quiet = self._quiet + 1 if packets - before <= QUIET_PACKETS else 0
        return self._quiet >= QUIET_LOOKS, f"withdrawn; {packets - before} packets in the last second"


def wait(ask: Ask, tell: Callable[[str], object], timeout_s: float) -> bool:
    """Look once a second until the site carries nothing; `tell` hears of each change. False: the time is over."""
    leaving, told, until = Leaving(), "", time.monotonic() + timeout_s
    while True:
        over, state = leaving.look(ask())
        if state != told:
            tell(state)
            told = state
        if over or time.monotonic() > until:
            return over
        time.sleep(LOOK_S)
