"""Plays rows on a lab of their setting: build, repeat, put everything back, and what came of it each time.

What is counted comes from the engine, thus from probes and the ISPs' RIBs. A row whose way back fails is left, and the
lab is built anew for the next one: nothing measured on a lab that is not as at the start would mean anything.
"""

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lab import build
from lab import isp as provider
from lab.engine import Engine, Outcome
from lab.errors import LabError
from lab.events import Hands
from lab.lab import Lab
from lab.ledger import UNDER_WAY_S
from lab.probe import Prober
from lab.scenario import FAILING, Expectation, ProbeStream, Scenario, Step
from lab.topology import SITES, TRANSIT
from tests.bench import crowd, healthcheck
from tests.bench.failover_rows import ANOTHER_EXABGP, BACK, SHIFT, Row, Setting
from tests.bench.lease_gap import LeaseGap
from tests.bench.result import Result

RATE_HZ = 500.0  # a probe every 2 ms in each direction
PROBES = (ProbeStream("cn4", "lan1", RATE_HZ), ProbeStream("lan1", "cn4", RATE_HZ))
PATIENCE_S = 120.0  # for everything to be as at the start
CROWD_PATIENCE_S = 300.0
STIRRED_ISPS = (1, TRANSIT)
PHASE_S = 1.0  # the longest period of anything that is periodic here, the keepalives of BGP: events fall anywhere in it
DEATHS_MAX = 4  # ExaBGP 5 ends when a child dies more than 5 times in about a minute, and we repeat that so often
STIR = "2001:db8:{}:ff00::/64"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """Once through a row. `shift_ms` None: nothing moved, or not all. `why`: what was wrong, but for the bound."""

    shift_ms: float | None
    lost: int
    why: str
    when: str = ""  # the first and the last loss


@dataclass
class Played:
    """All runs of a row in a setting. `trouble`: why it was not played to the end."""

    row: Row
    setting: Setting
    runs: list[Run] = field(default_factory=list)
    trouble: str = ""
    unbuilt: bool = False  # a part of the product is not there yet; the lab is fine


def play(
    setting: Setting, rows: Sequence[Row], runs: int, say: Say, logs: Path | None = None
) -> Iterator[Played | Result]:
    """Play these rows, each so often; the labs' logs go into `logs`. Raises: LabError if no lab can be built.

    With a crowd there is one more result: the longest gap of lease renewals at the sites that no row touches.
    """
    left = list(rows)
    while left:
        with _stage(setting, say, logs) as stage:
            gap = LeaseGap(stage.lab, SITES[1:])
            if setting.crowd:
                gap.start()
            fine = True
            while left and fine:
                played = stage.play(left.pop(0), runs)
                fine = not played.trouble or played.unbuilt
                yield played
            if setting.crowd:
                gap.stop()
                yield gap.result()


@contextlib.contextmanager
def _stage(setting: Setting, say: Say, logs: Path | None) -> Iterator["_Stage"]:
    began = time.monotonic()
    with Lab(setting.topology, mrai_s=setting.mrai_s) as lab:
        if setting.crowd:
            lab.patience_s = CROWD_PATIENCE_S
        ready = build.raise_up(
            lab, _say_nothing, _say_nothing, prepare=crowd.load if setting.crowd else build.without_hold_down
        )
        hands = ready.hands
        if setting.healthcheck:
            healthcheck.replace_speakers(lab)
            hands = healthcheck.BaselineHands(lab, ready.office)
        prober = build.prober(lab, PROBES)
        prober.start()
        try:
            stage = _Stage(lab, setting, hands, prober, say)
            stage.wait_until_steady()
            if setting.crowd and (restless := crowd.wait_until_at_rest(lab)):
                say(f"  {setting.name}: {restless}")
            say(f"  {setting.name}: a lab of its own is up after {time.monotonic() - began:.0f} s")
            yield stage
        finally:
            prober.stop()
            if logs is not None:
                shutil.copytree(lab.folder.logs, logs / setting.name / lab.folder.id)


def _say_nothing(text: str) -> None:
    """The story of the building is not told."""


class _Stage:
    """One lab with its prober."""

    def __init__(self, lab: Lab, setting: Setting, hands: Hands, prober: Prober, say: Say) -> None:
        self.lab, self._setting, self._say = lab, setting, say
        self._ledger = prober.ledger
        self._engine = Engine(lab, hands, prober.ledger, return_patience_s=PATIENCE_S)
        self._stirred = False
        self._deaths = 0  # of bridges of the present ExaBGP

    def wait_until_steady(self) -> None:
        """Until RIBs and packets are as they must be at the start. Raises: LabError."""
        [outcome] = self._run([Step(0.0, "wait", (), BACK, window_s=0.5)])
        if outcome.missing:
            raise LabError(f"the lab does not come to rest: {outcome.missing}", "read its logs")

    def play(self, row: Row, runs: int) -> Played:
        """One row, so often."""
        played = Played(row, self._setting)
        for number in range(1, runs + 1):
            try:
                run = self._once(row)
            except LabError as error:
                played.trouble, played.unbuilt = error.what, bool(row.needs) and "unknown command" in error.what
                self._say(f"    {row.name} {number}/{runs}: {error.what}")
                break
            played.runs.append(run)
            shift = "no shift" if run.shift_ms is None else f"{run.shift_ms:.0f} ms"
            self._say(
                f"    {row.name} {number}/{runs}: {shift}, {run.lost} lost{run.when}{'; ' * bool(run.why)}{run.why}"
            )
        return played

    def _once(self, row: Row) -> Run:
        if row.event.process == ("bridge",):
            self._spare_exabgp()
        steps = [*row.before, replace(row.event, expect=_with_allowance(row.event.expect, row)), *row.back]
        place = len(row.before)
        if row.returns:
            steps[place] = row.event
            steps[place + 1] = replace(row.back[0], expect=_with_allowance(row.back[0].expect, row))
            place += 1
        outcomes = self._run(steps)
        last = outcomes[-1]
        if last.missing:
            raise LabError(f"it does not come back: {last.missing}", "read the logs")
        if row.returns and self._setting.crowd:
            crowd.check_all_bound(self.lab, steps[place].on)
        measured = outcomes[place]
        shifts = [one.shift_ms for one in measured.rows if one.shift_ms is not None]
        why = "; ".join(dict.fromkeys(one.why for one in measured.rows if one.why))
        moved = bool(shifts) and "not every flow" not in why
        lost = sum(one.lost for one in measured.rows)
        return Run(max(shifts) if moved else None, lost, why, self._when(measured))

    def _when(self, measured: Outcome) -> str:
        """From when to when probes were lost, seconds after the event."""
        probes = self._ledger.between(measured.at - UNDER_WAY_S, measured.end)
        lost = [probe.sent_at - measured.at for probe in probes if probe.received_at is None]
        return f" (sent {lost[0]:.2f} to {lost[-1]:.2f} s after it)" if lost else ""

    def _run(self, steps: Sequence[Step]) -> list[Outcome]:
        scenario = Scenario("failover", self._setting.topology, PROBES, tuple(steps))
        return self._engine.run(scenario, self._before, lambda outcome: None)

    def _before(self, step: Step) -> None:
        """An event comes when it comes; with an advertisement interval, while updates are on their way."""
        if step.do not in FAILING | {"separate"}:
            return
        time.sleep(random.uniform(0, PHASE_S))
        if not self._setting.stir:
            return
        self._stirred = not self._stirred
        for number in STIRRED_ISPS:
            isp = next(isp for isp in self.lab.network.topology.isps if isp.number == number)
            network = ("" if self._stirred else "no ") + "network " + STIR.format(number)
            router = f"router bgp {isp.autonomous_system}"
            provider.configure(self.lab.layout.frr(isp.name), router, "address-family ipv6 unicast", network)

    def _spare_exabgp(self) -> None:
        """Give the site another ExaBGP before it gives up on its child. Raises: LabError."""
        if self._deaths == DEATHS_MAX:
            last = self._run(ANOTHER_EXABGP)[-1]
            if last.missing:
                raise LabError(f"a new ExaBGP does not come back: {last.missing}", "read the logs")
            self._deaths = 0
        self._deaths += 1


def _with_allowance(expect: Expectation, row: Row) -> Expectation:
    """The bound itself is judged over all runs; here only whether everything moved, and what was lost."""
    everything_moves = None if row.bound_ms is None or row.may_stay else float("inf")
    if row.loss == SHIFT:
        return replace(expect, shift_ms_max=everything_moves, loss_in_shift_only=True)
    assert isinstance(row.loss, int | float)
    allowed = None if row.loss == float("inf") else int(row.loss * RATE_HZ / 1000)
    return replace(expect, shift_ms_max=everything_moves, loss_max=allowed)
