"""The latest changes of one bridge's life, numbered, for those who ask for what is new. Pure."""

from collections import deque

from bgp.events import Transition
from bgp.sessions import Change

REMEMBERED = 50
EXABGP = "ExaBGP"  # who tells of the sessions


class Recent:
    """Transitions, the latest `REMEMBERED` of them."""

    def __init__(self) -> None:
        self._entries: deque[Transition] = deque(maxlen=REMEMBERED)
        self._count = 0

    def add(self, now: float, what: str, before: str, after: str, reason: str, lasted_s: float, by: str) -> None:
        """See `Transition`."""
        self._count += 1
        self._entries.append(Transition(self._count, now, what, before, after, reason, round(lasted_s, 3), by))

    def session(self, change: Change, now: float) -> None:
        """A session changed."""
        self.add(now, change.neighbour, change.before, change.after, change.reason, change.lasted_s, EXABGP)

    def after(self, number: int) -> tuple[Transition, ...]:
        """Those with a number above `number`, oldest first."""
        return tuple(one for one in self._entries if one.number > number)
