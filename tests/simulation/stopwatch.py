"""How long something has lasted in all, with pauses."""

from tests.simulation.schedule import Schedule


class Stopwatch:
    """Counts the seconds of the world during which it was set going.

    `since`: when it was, None while it stands; `stopped_at`: when it was last stopped.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._before_s = 0.0
        self.since: float | None = None
        self.stopped_at = 0.0

    def set(self, is_going: bool) -> None:
        """Go or stand; to say it twice is no harm."""
        if is_going and self.since is None:
            self.since = self._schedule.now
        elif not is_going and self.since is not None:
            self._before_s += self._schedule.now - self.since
            self.since, self.stopped_at = None, self._schedule.now

    def seconds(self) -> float:
        """How long it went in all, until now."""
        return self._before_s + (self._schedule.now - self.since if self.since is not None else 0.0)
