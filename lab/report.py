"""What a run showed: report.json for programs, a table for people.

Owns the format of report.json and the table. Refuses to judge: the engine did. `commit` and `machine`
say what was measured where; without a git checkout the commit is "unknown".
"""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table

from lab.engine import Outcome, Row
from lab.programs import ROOT
from lab.scenario import FAILING

REPORT_FILE = "report.json"
_COLUMNS: tuple[tuple[str, JustifyMethod], ...] = (
    ("event", "left"),
    ("direction", "left"),
    ("sites", "left"),
    ("lines", "left"),
    ("shift", "right"),
    ("lost / sent", "right"),
    ("", "left"),
)


def document(name: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The report as JSON. `lines` is beside `served_by`: which lines carried the probes in the end."""
    steps = [
        {
            "do": row.do,
            "on": row.on,
            "shift_ms": row.shift_ms,
            "sent": row.sent,
            "lost": row.lost,
            "direction": row.direction,
            "served_by": list(row.served_by),
            "lines": list(row.lines),
            "ok": row.ok,
            "why": row.why,
        }
        for outcome in outcomes
        for row in outcome.rows
    ]
    return {"scenario": name, "commit": commit(), "machine": machine(), "steps": steps}


def write(path: Path, name: str, outcomes: Sequence[Outcome]) -> Path:
    """Write report.json into a directory."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / REPORT_FILE
    file.write_text(json.dumps(document(name, outcomes), indent=1) + "\n")
    return file


def commit() -> str:
    """The commit of the checkout we run from or stand in, with `+` if files differ from it."""
    place = next(
        (place for place in (ROOT, Path.cwd()) if (place / ".git").exists() and (place / "lab").is_dir()), None
    )
    words = ["git", "-C", str(place), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def machine() -> str:
    """Kernel, architecture and processors."""
    return f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} processors"


def table(outcomes: Sequence[Outcome]) -> Table:
    """One line for each event and direction, narrow enough for 80 columns."""
    found = Table(
        title="What the packets say", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for name, justify in _COLUMNS:
        found.add_column(name, justify=justify, no_wrap=True)
    for outcome in outcomes:
        for place, row in enumerate(outcome.rows):
            found.add_row(event_name(outcome) if place == 0 else "", *_cells(row))
        found.add_section()
    found.caption = "back: the time until the first probe was served by what returned"
    return found


def event_name(outcome: Outcome) -> str:
    """How an event is called in table and picture."""
    return f"{outcome.step.do} {outcome.step.where}".strip()


def shift_text(row: Row) -> str:
    """The shift as people read it: how long it took to leave, or until the first probe came back."""
    if row.shift_ms is None:
        return "-"
    return f"{row.shift_ms:.0f} ms" if row.do in FAILING else f"back {row.shift_ms:.0f} ms"


def _cells(row: Row) -> list[str]:
    lost = f"[red]{row.lost}[/red]" if row.lost else "0"
    verdict = "[green]ok[/green]" if row.ok else "[bold red]FAILED[/bold red]"
    return [
        row.direction,
        ", ".join(site.removeprefix("site") for site in row.served_by),
        ", ".join(line.removeprefix("line") for line in row.lines),
        shift_text(row),
        f"{lost} / {row.sent}",
        verdict,
    ]


def print_table(console: Console, outcomes: Sequence[Outcome]) -> None:
    """The table, and which expectations failed."""
    console.print(table(outcomes))
    for outcome in outcomes:
        for why in dict.fromkeys(row.why for row in outcome.rows if not row.ok):
            console.print(f"[bold red]failed:[/bold red] {event_name(outcome)}: {why}")
