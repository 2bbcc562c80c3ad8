"""How long to wait before a process that ended is started again, longer each time. Pure.

One that ends at once must not keep a core busy starting it; one that has run well for a while deserves no delay.
"""

DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # the last one for ever
STABLE_S = 30.0  # a run this long starts the delays anew


class Backoff:
    """One process's delays."""

    def __init__(self) -> None:
        self._failures = 0  # since the last run that was long enough

    def next(self, lived_s: float) -> float:
        """Seconds to wait now, after a run of `lived_s` seconds; each call counts as one end."""
        if lived_s >= STABLE_S:
            self._failures = 0
        delay_s = DELAYS_S[min(self._failures, len(DELAYS_S) - 1)]
        self._failures += 1
        return delay_s
