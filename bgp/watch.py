"""When to give up on a running ExaBGP: from the bridge's answers and silences to a verdict. Pure.

Owns the patience. Refuses to count time in which we did not look ourselves: a machine that slept, or was paused for a
migration, must not come back by killing its BGP session.
"""

AWAY_S = 8.0  # a bridge that is not there yet, or is being respawned: Python starting on a busy small machine
LOOK_S = 0.1  # between two questions
WELL_S = 3.0  # a bridge that answered so long after another was killed has shown that ExaBGP is not to blame
DEAF_BRIDGE = "the bridge does not answer"
MAX_STEP_S = 0.5  # what one look may add; more than LOOK_S and its answer's timeout together


class Watch:
    """Judges one run of ExaBGP."""

    def __init__(self, deaf_after_s: float, now: float) -> None:
        self._deaf_after_s = deaf_after_s
        self._looked_at = now
        self._deaf_s = 0.0
        self._away_s = 0.0
        self._overdue_looks = 0
        self._spared = False
        self._well_since: float | None = None
        self._well_s = 0.0  # how long the last answers followed each other
        self.seen = False

    def answered(self, overdue_s: float, now: float) -> str | None:
        """The bridge answered; ExaBGP owes it an answer since `overdue_s`."""
        self._looked_at, self._deaf_s, self._away_s, self.seen = now, 0.0, 0.0, True
        self._overdue_looks = self._overdue_looks + 1 if overdue_s > self._deaf_after_s else 0
        self._well_since = now if self._well_since is None else self._well_since
        self._well_s = now - self._well_since
        return "ExaBGP does not carry out the bridge's commands" if self._overdue_looks >= 2 else None

    def silent(self, away: bool, now: float) -> str | None:
        """The bridge did not answer; `away` if nobody is there at all. Returns why to kill, or None."""
        step = min(now - self._looked_at, MAX_STEP_S)
        self._looked_at, self._well_since = now, None
        if away:
            self._away_s += step
            self._deaf_s = 0.0
            return "ExaBGP runs no bridge" if self._away_s > AWAY_S else None
        self._deaf_s += step
        return DEAF_BRIDGE if self._deaf_s > self._deaf_after_s else None

    def spare_exabgp(self) -> bool:
        """Whether a deaf bridge may be killed alone: not twice in a row, then it is ExaBGP that feeds it nothing."""
        if self._spared and self._well_s < WELL_S:
            return False
        self._spared, self._deaf_s, self._well_s = True, 0.0, 0.0
        return True
