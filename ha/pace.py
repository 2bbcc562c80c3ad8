"""How fast a peer is listened to, and how often one is complained of. Pure: time is an argument."""

LOG_EVERY_S = 60.0


class Pace:
    """A bucket of `rate` a second that holds one second's worth; what is taken beyond that has to be waited for."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left = rate
        self._at: float | None = None

    def take(self, amount: float, now: float) -> None:
        """So much was read."""
        self._refill(now)
        self._left -= amount

    def wait_s(self, now: float) -> float:
        """Seconds until more may be read; 0 if it may be now."""
        self._refill(now)
        return max(0.0, -self._left / self._rate)

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now


class Complaints:
    """Which complaint is said again: each (subject, reason) once a minute. Bounded by who and what they can be."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], float] = {}

    def is_due(self, subject: str, reason: str, now: float) -> bool:
        """Is this to be logged now? Remembers that it was."""
        last = self._said.get((subject, reason))
        if last is not None and now - last < LOG_EVERY_S:
            return False
        self._said[subject, reason] = now
        return True
