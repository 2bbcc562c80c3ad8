"""Mesg-ID timestamps: strictly increasing, near the home agent's clock, whatever this machine's clock does.

RFC 4285 6: the home agent accepts a timestamp within a few seconds of its own clock and greater than every one it
accepted before. We stamp max(last + 1, now + offset). `now` is monotonic, so the offset is what turns it into wall
time: it is measured at start and after every step of the wall clock, and replaced by the home agent's own clock when
that says 144.

One anycast address is many home agents, and each line leads to one of them. Once a home agent has accepted what our
clock says, a 144 says no more than that the site behind this line has another one: until something is accepted again,
this line alone goes by it, and the others still reach whoever knows the time. Before that the mistake is ours, on all
lines. What is accepted shows which clock is good, and all lines go by that one. A 144 that tells the time of the other
lines takes back what was refused from all of them: they had led to a site with a wrong clock, and have left it.

The one way back: an authentic 144 shows a home agent's clock. What we used before it or within its window it may have
accepted, or another site of the same time: nothing said later goes below that. What lies beyond its window it never
accepted (a machine that once booted with a clock in the future), and it does not hold the stamps up, even if a site
whose clock was wrong acknowledged it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mip6.ntp import to_timestamp, to_unix

FRACTION = 1 << 32
WINDOW = 7 * FRACTION  # RFC 4285 6: a home agent accepts no timestamp further ahead
SAME_S = 3.5  # half of the window: what either of two such clocks makes is well inside that of the other


@dataclass(frozen=True, slots=True)
class Stamp:
    """A clock, as an offset to the monotonic one, and the last stamp made from it (an NTP timestamp; 0: none)."""

    offset_s: float
    last: int = 0

    def clock(self, now: float) -> int:
        """What it says at `now` (monotonic seconds), as an NTP timestamp."""
        return to_timestamp(now + self.offset_s)

    def is_like(self, other: "Stamp") -> bool:
        """Do home agents take a stamp of either clock for one of the other?"""
        return abs(self.offset_s - other.offset_s) <= SAME_S


@dataclass(frozen=True, slots=True)
class Stamps:
    """The stamps of all lines.

    `common`: of the lines that no 144 has corrected since something was last accepted; `corrected`: of the others, by
    care-of address. `acknowledged`: the last that a home agent acknowledged. `is_proven`: one did since the wall clock
    was last looked at.
    """

    common: Stamp
    corrected: Mapping[bytes, Stamp] = field(default_factory=dict)
    acknowledged: int = 0
    is_proven: bool = False

    def of(self, care_of: bytes) -> Stamp:
        """The stamp of the line with this care-of address."""
        return self.corrected.get(care_of, self.common)

    def advanced(self, care_of: bytes, now: float) -> "Stamps":
        """After one more use over this line; `.of(care_of).last` is the timestamp to send."""
        stamp = self.of(care_of)
        clock = stamp.clock(now)
        stamp = replace(stamp, last=max(clock, stamp.last + 1, self._used(clock) + 1))
        if care_of in self.corrected:
            return replace(self, corrected={**self.corrected, care_of: stamp})
        return replace(self, common=stamp)

    def accepted(self, timestamp: int, sent_at: float) -> "Stamps":
        """After an authentic acknowledgement of `timestamp`, which was sent at `sent_at` (monotonic seconds).

        The clock that it was made from is good for all lines.
        """
        good = min((self.common, *self.corrected.values()), key=lambda stamp: abs(stamp.clock(sent_at) - timestamp))
        last = max(good.last, self._used(timestamp), timestamp)
        return Stamps(replace(good, last=last), acknowledged=timestamp, is_proven=True)

    def corrected_by(self, home_agent_timestamp: int, care_of: bytes, now: float) -> "Stamps":
        """After an authentic 144 over this line. Its high 32 bits are the home agent's seconds (RFC 4285 6)."""
        middle = home_agent_timestamp // FRACTION * FRACTION + FRACTION // 2
        told = Stamp(to_unix(middle) - now, self._used(middle))
        if not told.is_like(self.common):
            common = self.common if self.is_proven else told
            return replace(self, common=common, corrected={**self.corrected, care_of: told})
        refused = self.of(care_of)
        kept = {one: stamp for one, stamp in self.corrected.items() if not stamp.is_like(refused)}
        return replace(self, common=told, corrected=kept)

    def clock_observed(self, offset_s: float) -> "Stamps":
        """After the wall clock was found to be `offset_s` ahead of the monotonic clock."""
        return replace(self, common=replace(self.common, offset_s=offset_s), is_proven=False)

    def forgotten(self, care_of: bytes, now: float) -> "Stamps":
        """After a line has lost this care-of address: with another, it may lead elsewhere. What it said stays said."""
        kept = {one: stamp for one, stamp in self.corrected.items() if one != care_of}
        last = max(self.common.last, self._used(self.common.clock(now)))
        return replace(self, common=replace(self.common, last=last), corrected=kept)

    def _used(self, clock: int) -> int:
        """The greatest stamp used that a home agent with this clock can have accepted; 0 if there is none."""
        stamps = (self.acknowledged, self.common.last, *(stamp.last for stamp in self.corrected.values()))
        return max((stamp for stamp in stamps if stamp <= clock + WINDOW), default=0)
