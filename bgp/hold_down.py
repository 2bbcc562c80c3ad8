"""How long an announcement that came and went is held back, growing with each time. Pure.

The failback is what an operator wants at least after a failure, however seldom they are: traffic that has moved away
stays there (sticky failback) until this site has been good for so long, so that its customers' flows move back once.

Held back means depreferenced, not withdrawn: should this site be the only one left, it serves all the same.
"""

from collections.abc import Iterable

FIRST_S = 0.5  # after one failure: time for a restarted home agent to fail again
FORGET_S = 300.0  # a failure counts this long
DEFAULT_MAX_S = 60.0
MAX_COUNTED = 16  # more change nothing: 0.5 s doubled so often is hours


class HoldDown:
    """Counts the times an announcement was given up. Times are monotonic seconds.

    Args:
        max_s: no growing beyond this; 0 switches the growing off.
        failback_s: at least so long after any failure.
        given_up, owed: what is known of the lives before this one; see `bgp.memory`.
    """

    def __init__(
        self,
        max_s: float = DEFAULT_MAX_S,
        failback_s: float = 0.0,
        given_up: Iterable[float] = (),
        owed: bool = False,
    ) -> None:
        self._max_s = max_s
        self._failback_s = failback_s
        self._given_up = list(given_up)
        self.owed = owed  # given up, and not announced since

    def given_up(self, now: float) -> None:
        """The announcement was given up."""
        self._given_up = [at for at in (*self._given_up[-MAX_COUNTED:], now) if now - at < FORGET_S]
        self.owed = True

    def announced(self) -> None:
        """It is back."""
        self.owed = False

    def failures(self, now: float) -> int:
        """How often that was so of late."""
        return sum(now - at < FORGET_S for at in self._given_up)

    def seconds(self, now: float) -> float:
        """How long to hold back what is wanted now: nothing the first time, then doubling from `FIRST_S` on.

        The failback is due however long ago it was given up: a site that was down for an hour has shown nothing yet.
        """
        if not self.owed:
            return 0.0
        failures = self.failures(now)
        growing = min(self._max_s, FIRST_S * 2.0 ** (failures - 1)) if failures else 0.0
        return max(self._failback_s, growing)
