"""Runs a scenario on a fresh lab and tells it while it happens; the body of `xsp-lab run` and `xsp-lab demo`.

Owns the narration, the clock in front of it, and what is left in the output folder. The lab is gone when it returns,
however it returns; after a failure the logs are in the output folder.
"""

import shutil
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from lab import build, report
from lab.build import Ready
from lab.engine import Engine, Outcome
from lab.errors import LabError
from lab.faults import Fault
from lab.lab import Lab
from lab.ledger import Ledger
from lab.scenario import FAILING, RETURNING, Scenario, Step
from runtime.exits import Exit

LOGS = "logs"


class Story:
    """One telling."""

    def __init__(self, console: Console, scenario: Scenario, output: Path, fault: Fault = Fault.NONE) -> None:
        self._console = console
        self._scenario = scenario
        self._output = output
        self._fault = fault
        self._began = time.monotonic()
        self._folder = ""

    def tell(self) -> int:
        """Build, run, report, take down; the exit status. Raises: LabError."""
        self._output.mkdir(parents=True, exist_ok=True)
        with Lab(self._scenario.topology) as lab:
            self._folder = str(lab.folder.path)
            try:
                ready = build.raise_up(lab, self.say, self._command, self._fault)
                ledger, outcomes = self._run(ready)
                passed = all(outcome.ok for outcome in outcomes)
                if not passed:
                    self._save_logs(lab)
            except LabError:
                self._save_logs(lab)
                raise
            self._leave_report(ledger, outcomes)
        self.say("the lab is gone again")
        return Exit.DONE if passed else Exit.REFUSED

    def say(self, text: str) -> None:
        """One line of the story."""
        elapsed = time.monotonic() - self._began
        self._console.print(f"[dim]{elapsed:5.1f} s[/dim]  {text}", highlight=False, soft_wrap=True)

    def _command(self, text: str) -> None:
        shown = escape(text.replace(self._folder, "$LAB"))
        self._console.print(f"         [cyan]$ {shown}[/cyan]", highlight=False, soft_wrap=True)

    def _run(self, ready: Ready) -> tuple[Ledger, list[Outcome]]:
        prober = build.prober(ready.lab, self._scenario.probes)
        rate = sum(probe.rate_hz for probe in self._scenario.probes)
        self.say(f"both lines are registered over the anycast address; {rate:.0f} numbered probes a second begin")
        prober.start()
        try:
            engine = Engine(ready.lab, ready.hands, prober.ledger)
            outcomes = engine.run(self._scenario, self._before, self._after)
        finally:
            prober.stop()
        for reason, count in prober.errors.items():
            self.say(f"{count} probes could not be sent: {reason}")
        return prober.ledger, outcomes

    def _before(self, step: Step) -> None:
        text = step.say or f"{step.do} {step.where}".strip()
        self.say(f"[bold]{text}[/bold] [dim]({step.do} {step.where})[/dim]" if step.on else f"[bold]{text}[/bold]")

    def _after(self, outcome: Outcome) -> None:
        for row in outcome.rows:
            served = f"served by {' and '.join(row.served_by) or 'nobody'} over {' and '.join(row.lines) or 'no line'}"
            shift = ""
            if row.shift_ms is not None and outcome.step.do in FAILING | RETURNING:
                verb = "shifted in" if outcome.step.do in FAILING else "back after"
                shift = f"{verb} {row.shift_ms:.0f} ms"
            losses = f"{row.lost} of {row.sent} lost"
            losses = f"[red]{losses}[/red]" if row.lost else f"[green]{losses}[/green]"
            verdict = "" if row.ok else f"  [bold red]{row.why}[/bold red]"
            direction = row.direction.replace("->", " → ")
            self._console.print(
                f"           {direction:12} {served:46} {shift:18} {losses}{verdict}", highlight=False, soft_wrap=True
            )

    # -- what is left behind

    def _leave_report(self, ledger: Ledger, outcomes: list[Outcome]) -> None:
        self._console.print()
        report.print_table(self._console, outcomes)
        files = [report.write(self._output, self._scenario.name, outcomes)]
        try:
            from lab import picture  # matplotlib takes a second, and the report is complete without it
        except ImportError:
            self.say("no picture: matplotlib is not installed beside this interpreter")
        else:
            files += picture.draw(self._output, _title(self._scenario, self._fault), ledger, outcomes)
        self.say("written: " + ", ".join(str(file) for file in files))

    def _save_logs(self, lab: Lab) -> None:
        target = self._output / LOGS
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(lab.folder.logs, target)
        self.say(f"every log is in {target}")


def _title(scenario: Scenario, fault: Fault) -> str:
    sabotage = "" if fault is Fault.NONE else f" (sabotaged: {fault})"
    return f"{scenario.title or scenario.name}{sabotage}"
