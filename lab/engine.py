"""Runs a scenario: does each step, waits until the network has answered, judges it by packets and RIBs.

Owns the waiting and the judging. The stretches of two steps meet: every probe sent belongs to exactly one step.
Refuses to ask our own daemons anything.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lab import ledger as books
from lab.events import Hands
from lab.isp import Best
from lab.lab import Lab
from lab.ledger import UNDER_WAY_S, Ledger, Shift
from lab.scenario import FAILING, RETURNING, Scenario, Step
from lab.topology import SITES, locator

ARRIVAL_S = 0.25  # a probe that is not here after so long is lost; the lab's paths take under a millisecond
GLANCE_S = 0.4  # the end of a stretch, by which it is said who serves now
PATIENCE_S = 5.0  # for a failure to be noticed; the demo's bounds are a tenth of it
RETURN_PATIENCE_S = 20.0  # BFD, BGP and a restarted daemon are back well within it
PAUSE_S = 0.1
GRACEFUL_SHUTDOWN = "gracefulShutdown"  # 65535:0 (RFC 8326) as FRR writes it
CALM_S = 0.15  # judging the last step kept the sender from its beat; the next event finds an even one


@dataclass(frozen=True, slots=True)
class Row:
    """One step in one direction, as the report shows it. Times in milliseconds."""

    do: str
    on: str
    direction: str
    shift_ms: float | None
    sent: int
    lost: int
    served_by: tuple[str, ...]
    lines: tuple[str, ...]
    ok: bool
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """What the ISP of each site that must stay said `after_s` the event."""

    after_s: float
    ribs: Mapping[str, Best]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One step: when it was done, when its stretch ended, a row for each direction."""

    step: Step
    at: float
    end: float
    rows: tuple[Row, ...]
    missing: str = ""  # what was not as expected in the end, by the packets and the RIBs

    @property
    def ok(self) -> bool:
        """Whether everything expected came true."""
        return all(row.ok for row in self.rows)


class Engine:
    """One run of one scenario on one lab, with the prober already running."""

    def __init__(self, lab: Lab, hands: Hands, ledger: Ledger, return_patience_s: float = RETURN_PATIENCE_S) -> None:
        self._return_patience_s = return_patience_s
        self._lab = lab
        self._hands = hands
        self._ledger = ledger

    def run(
        self, scenario: Scenario, before: Callable[[Step], None], after: Callable[[Outcome], None]
    ) -> list[Outcome]:
        """Every step in turn; `before` and `after` tell the story. A failed step does not end the run."""
        began = time.monotonic()
        stretch_start = began
        outcomes = []
        for step in scenario.steps:
            time.sleep(max(0.0, began + step.at_s - time.monotonic()))
            before(step)
            time.sleep(CALM_S)
            at = self._hands.do(step)
            complaint = self._settle(step, at)
            time.sleep(ARRIVAL_S)
            end = time.monotonic() - ARRIVAL_S
            outcome = Outcome(step, at, end, tuple(self._rows(step, stretch_start, at, end, complaint)), complaint)
            outcomes.append(outcome)
            after(outcome)
            stretch_start = end
        return outcomes

    # -- waiting

    def _settle(self, step: Step, at: float) -> str:
        """Wait until what the step expects is so and stays so, at least its window.

        Returns: what is missing at the deadline, or who was gone at some look however soon it was back.
        """
        looks = self._watch(step, at)
        patience_s = PATIENCE_S if step.do in FAILING else self._return_patience_s
        deadline = at + step.window_s + patience_s
        so_since: float | None = None
        while True:
            missing, now = self._missing(step), time.monotonic()
            so_since = (so_since or now) if not missing else None
            looks += self._look(step, at)
            if (so_since is not None and now - so_since >= GLANCE_S) or now > deadline:
                return missing or withdrawn(looks)
            time.sleep(PAUSE_S)

    def _watch(self, step: Step, at: float) -> list[Look]:
        """Let the window of the step pass; every look at who must stay, none if nobody must.

        A look asks `vtysh` once a site, for some 35 ms of a core each: more of them would keep packets waiting.
        """
        looks: list[Look] = []
        until = time.monotonic() + step.window_s
        while step.expect.stays and (left_s := until - time.monotonic()) > 0:
            looks += self._look(step, at)
            time.sleep(min(PAUSE_S, left_s))
        time.sleep(max(0.0, until - time.monotonic()))
        return looks

    def _look(self, step: Step, at: float) -> list[Look]:
        ribs = {site: self._lab.seen_from(site) for site in step.expect.stays}
        return [Look(time.monotonic() - at, ribs)] if ribs else []

    def _missing(self, step: Step) -> str:
        if step.expect.nothing:
            return ""
        now = time.monotonic()
        sites: set[str] = set()
        lines: set[str] = set()
        for direction in self._ledger.directions:
            found_sites, found_lines = books.servers(
                self._ledger.between(now - GLANCE_S - ARRIVAL_S, now - ARRIVAL_S, direction)
            )
            if not found_sites or not found_lines:
                return f"no probe of {direction} arrives"
            sites, lines = sites | found_sites, lines | found_lines
        wrong = _unmet(step.expect.serves, sites, "serves") or _unmet(step.expect.line, lines, "carries")
        return wrong or self._rib_differs(step)

    def _rib_differs(self, step: Step) -> str:
        expect = step.expect
        sites = {name.removeprefix("!") for name in (*expect.serves, *expect.announced, *expect.preferred)}
        ribs = {site: self._lab.seen_from(site) for site in sites}
        offers = {site: rib.offers.get(locator(site)) for site, rib in ribs.items()}
        questions: tuple[tuple[tuple[str, ...], Callable[[str], bool], str, str], ...] = (
            (expect.serves, lambda site: ribs[site].neighbour == locator(site), "chooses", "choose"),
            (expect.announced, lambda site: offers[site] is not None, "has a way through", "have a way through"),
            (expect.preferred, lambda site: GRACEFUL_SHUTDOWN not in (offers[site] or ()), "prefers", "prefer"),
        )
        for names, question, does, do in questions:
            for name in names:
                site = name.removeprefix("!")
                if question(site) == name.startswith("!"):
                    return f"the ISP of {site} " + (f"still {does} it" if name != site else f"does not {do} it")
        return ""

    # -- judging

    def _rows(self, step: Step, start: float, at: float, end: float, complaint: str) -> list[Row]:
        shifts = {direction: self._shift(step, direction, at, end) for direction in self._ledger.directions}
        if step.do in FAILING and not any(shift.affected for shift in shifts.values()):
            complaint = complaint or f"nothing was served by {step.where} before"
        return [self._row(step, direction, shift, (start, at, end), complaint) for direction, shift in shifts.items()]

    def _shift(self, step: Step, direction: str, at: float, end: float) -> Shift:
        if step.do in FAILING:
            return books.away_from(self._ledger, direction, step.on, at, end)
        if step.do in RETURNING:
            return books.back_to(self._ledger, direction, step.on, at, end)
        lost = sum(1 for probe in self._ledger.between(at, end, direction) if probe.received_at is None)
        return Shift(0, None, lost)

    def _row(
        self, step: Step, direction: str, shift: Shift, stretch: tuple[float, float, float], complaint: str
    ) -> Row:
        start, at, end = stretch
        probes = list(self._ledger.between(start, end, direction))
        lost = [probe for probe in probes if probe.received_at is None]
        early = sum(1 for probe in lost if probe.sent_at < at - UNDER_WAY_S)
        sites, lines = books.servers(self._ledger.between(end - GLANCE_S, end, direction))
        shift_ms = None if shift.shift_s is None else round(shift.shift_s * 1000, 1)
        reasons = [complaint] if complaint else []
        reasons += _shift_reasons(step, shift, shift_ms)
        reasons += _loss_reasons(step, len(lost), shift.lost_outside + early)
        return Row(
            do=step.do,
            on=step.where,
            direction=direction,
            shift_ms=shift_ms,
            sent=len(probes),
            lost=len(lost),
            served_by=tuple(sorted(sites, key=SITES.index)),
            lines=tuple(sorted(lines)),
            ok=not reasons,
            why="; ".join(reasons),
        )


def withdrawn(looks: Sequence[Look]) -> str:
    """Which site's ISP held no announcement of it at some look, and at which one first; empty if none.

    Whoever withdraws and announces again has let go of its customers: that the announcement is there in the end is no
    excuse.
    """
    for look in looks:
        for site, rib in look.ribs.items():
            if locator(site) not in rib.offers:
                gone = sum(locator(site) not in one.ribs[site].offers for one in looks)
                return f"{site} was withdrawn {look.after_s:.2f} s after the event, at {gone} of {len(looks)} looks"
    return ""


def _unmet(names: tuple[str, ...], found: set[str], verb: str) -> str:
    for name in names:
        if name.startswith("!") and name[1:] in found:
            return f"{name[1:]} still {verb}"
        if not name.startswith("!") and name not in found:
            return f"{name} {verb} nothing"
    return ""


def _shift_reasons(step: Step, shift: Shift, shift_ms: float | None) -> list[str]:
    bound = step.expect.shift_ms_max
    if bound is None or not shift.affected:
        return []
    if shift_ms is None:
        return [f"not every flow left {step.where}"]
    return [f"the shift took {shift_ms:.0f} ms, allowed are {bound:.0f}"] if shift_ms > bound else []


def _loss_reasons(step: Step, lost: int, outside: int) -> list[str]:
    if step.expect.loss_in_shift_only and outside:
        return [f"{outside} probes were lost outside the shift"]
    allowed = step.expect.loss_max
    return [f"{lost} probes were lost, allowed are {allowed}"] if allowed is not None and lost > allowed else []
