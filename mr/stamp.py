"""Mesg-ID timestamps: strictly increasing, near the home agent's clock, whatever this machine's clock does.

RFC 4285 6: the home agent accepts a timestamp within a few seconds of its own clock and greater than every one it
accepted before. We stamp max(last + 1, now + offset). `now` is monotonic, so the offset is what turns it into wall
time: it is measured at start and after every step of the wall clock, and replaced by the home agent's own clock when
that says 144.

The one way back: an authentic 144 shows that the home agent's clock is behind our last stamp, which it therefore
never accepted (a machine that once booted with a clock in the future). Stamps then restart above the last one it did
acknowledge, instead of being refused until its clock has caught up. And if it acknowledged one that lies beyond its
own window, that was another site, whose clock was wrong: then they restart from the present clock too.
"""

from dataclasses import dataclass, replace

from mip6.ntp import to_timestamp, to_unix

FRACTION = 1 << 32
WINDOW = 7 * FRACTION  # RFC 4285 6: a home agent accepts no timestamp further ahead


@dataclass(frozen=True, slots=True)
class Stamp:
    """The state of the stamp: clock offset, last stamp used, last stamp the home agent acknowledged."""

    offset_s: float
    last: int = 0
    acknowledged: int = 0

    def advanced(self, now: float) -> "Stamp":
        """The stamp after one more use; `.last` is the timestamp to send."""
        return replace(self, last=max(self.last + 1, to_timestamp(now + self.offset_s)))

    def clock(self, now: float) -> int:
        """The clock that stamps are made from, as the home agent corrected it."""
        return to_timestamp(now + self.offset_s)

    def accepted(self, timestamp: int) -> "Stamp":
        """After an authentic acknowledgement of `timestamp`."""
        return replace(self, acknowledged=max(self.acknowledged, timestamp))

    def clock_observed(self, offset_s: float) -> "Stamp":
        """After the wall clock was found to be `offset_s` ahead of the monotonic clock."""
        return replace(self, offset_s=offset_s)

    def corrected(self, home_agent_timestamp: int, now: float) -> "Stamp":
        """After an authentic 144, whose high 32 bits are the home agent's seconds (RFC 4285 6)."""
        middle = home_agent_timestamp // FRACTION * FRACTION + FRACTION // 2
        acknowledged = self.acknowledged if self.acknowledged <= middle + WINDOW else 0
        return Stamp(
            offset_s=to_unix(middle) - now,
            last=self.last if self.last < middle else max(acknowledged, middle - 1),
            acknowledged=acknowledged,
        )
