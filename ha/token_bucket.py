"""A token bucket.

How many answers strangers may cost us (RFC 6275 9.3.3 asks for a limiter like that of RFC 4443 2.4 f).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`rate` tokens a second, at most `burst` saved. A value: taking one gives a new bucket."""

    rate: float
    burst: float
    tokens: float
    filled_at: float = 0.0

    def take(self, now: float) -> "TokenBucket | None":
        """The bucket after one token was taken at `now` (monotonic seconds); None if it is empty."""
        tokens = min(self.burst, self.tokens + max(0.0, now - self.filled_at) * self.rate)
        if tokens < 1:
            return None
        return TokenBucket(self.rate, self.burst, tokens - 1, now)
