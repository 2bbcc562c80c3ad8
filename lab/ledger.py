"""What became of every probe, and what that says about a stretch of time. Pure arithmetic over recorded times.

Owns the definitions that the report rests on:

* a probe belongs to the stretch in which it was sent; an event's stretch begins `UNDER_WAY_S` before it, because what
  was already under way when something was cut is lost by that cut;
* a flow is *affected* by an event if the last probes it had delivered before were served by the thing that failed;
  a probe of which nobody saw which site (or line) carried it says nothing about sites (or lines);
* a flow's *shift* is the time from the event to the arrival of its first probe that something else served;
* a loss lies *within the shift* if the probe was sent before that arrival.

Times are seconds of CLOCK_MONOTONIC. Refuses to ask any daemon.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

UNDER_WAY_S = 0.02
RECENT_S = 0.4  # how far back the last server of a flow is looked for
NOTHING = -1.0
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Flow:
    """One stream of probes: a direction such as `cn1->lan1`, told from its siblings by its source port."""

    direction: str
    source_port: int


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe. `received_at`, `site` and `line` are None if nobody saw it there."""

    flow: int
    sent_at: float
    received_at: float | None
    site: str | None
    line: str | None


@dataclass(frozen=True, slots=True)
class Shift:
    """What an event did to one direction. `shift_s` is None if some affected flow never moved."""

    affected: int
    shift_s: float | None
    lost_outside: int


class Ledger:
    """Grows by `sent`; every other mark refers to a number given out there."""

    def __init__(self, flows: Sequence[Flow], sites: Sequence[str], lines: Sequence[str]) -> None:
        self.flows = tuple(flows)
        self.sites = tuple(sites)
        self.lines = tuple(lines)
        self._flow = array("i")
        self._sent_at = array("d")
        self._received_at = array("d")
        self._site = array("b")
        self._line = array("b")

    def __len__(self) -> int:
        return len(self._sent_at)

    # -- writing

    def sent(self, flow: int, at: float) -> int:
        """A probe is about to leave; its number. `_sent_at` grows last: a number in there is complete."""
        self._flow.append(flow)
        self._received_at.append(NOTHING)
        self._site.append(NOBODY)
        self._line.append(NOBODY)
        self._sent_at.append(at)
        return len(self._sent_at) - 1

    def received(self, number: int, at: float) -> None:
        """It arrived; the first copy counts."""
        if number < len(self) and self._received_at[number] == NOTHING:
            self._received_at[number] = at

    def seen_at_site(self, number: int, site: int) -> None:
        """A home agent sent it on."""
        if number < len(self):
            self._site[number] = site

    def seen_on_line(self, number: int, line: int) -> None:
        """A line carried it in a tunnel."""
        if number < len(self):
            self._line[number] = line

    # -- reading

    def probe(self, number: int) -> Probe:
        """Everything known about one probe."""
        received, site, line = self._received_at[number], self._site[number], self._line[number]
        return Probe(
            self._flow[number],
            self._sent_at[number],
            None if received == NOTHING else received,
            None if site == NOBODY else self.sites[site],
            None if line == NOBODY else self.lines[line],
        )

    def between(self, start: float, end: float, direction: str | None = None) -> Iterator[Probe]:
        """The probes sent in [start, end), in order."""
        number = bisect_left(self._sent_at, start)
        while number < len(self) and self._sent_at[number] < end:
            if direction is None or self.flows[self._flow[number]].direction == direction:
                yield self.probe(number)
            number += 1

    @property
    def directions(self) -> tuple[str, ...]:
        """Every direction once, in the order of the flows."""
        return tuple(dict.fromkeys(flow.direction for flow in self.flows))


def servers(probes: Iterator[Probe]) -> tuple[set[str], set[str]]:
    """The sites and the lines that carried delivered probes."""
    delivered = [probe for probe in probes if probe.received_at is not None]
    return {probe.site for probe in delivered if probe.site}, {probe.line for probe in delivered if probe.line}


def serves(probe: Probe, what: Sequence[str]) -> bool:
    """Whether one of `what` (sites or lines) carried this probe."""
    return probe.site in what or probe.line in what


def away_from(ledger: Ledger, direction: str, failed: Sequence[str], event_at: float, end: float) -> Shift:
    """How the flows of a direction left all of `failed` (sites or lines) after `event_at`."""
    is_site = failed[0] in ledger.sites
    before: dict[int, bool] = {}
    for probe in ledger.between(event_at - RECENT_S, event_at - UNDER_WAY_S, direction):
        if probe.received_at is not None and (probe.site if is_site else probe.line):
            before[probe.flow] = serves(probe, failed)
    moved: dict[int, float] = {}
    lost: list[Probe] = []
    for probe in ledger.between(event_at - UNDER_WAY_S, end, direction):
        if probe.received_at is None:
            lost.append(probe)
        elif (probe.site if is_site else probe.line) and not serves(probe, failed) and probe.received_at > event_at:
            moved.setdefault(probe.flow, probe.received_at)
    affected = [flow for flow, was_served in before.items() if was_served]
    outside = sum(1 for probe in lost if probe.flow not in affected or probe.sent_at > moved.get(probe.flow, end))
    shift_s = None
    if affected and all(flow in moved for flow in affected):
        shift_s = max(moved[flow] for flow in affected) - event_at
    return Shift(len(affected), shift_s, outside)


def back_to(ledger: Ledger, direction: str, returned: Sequence[str], event_at: float, end: float) -> Shift:
    """When the first probe of a direction was served by `returned` again; every loss counts as outside."""
    probes = list(ledger.between(event_at - UNDER_WAY_S, end, direction))
    arrivals = [
        probe.received_at
        for probe in probes
        if probe.received_at is not None and probe.sent_at >= event_at and serves(probe, returned)
    ]
    lost = sum(1 for probe in probes if probe.received_at is None)
    return Shift(1 if arrivals else 0, min(arrivals) - event_at if arrivals else None, lost)
