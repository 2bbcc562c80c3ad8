"""One measured row, how it is shown to a person and how it is kept as JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LATEST = ROOT / "bench" / "latest.jsonl"  # of this run, not tracked
RESULTS = ROOT / "bench" / "results.jsonl"  # the last honest result of every row, tracked


@dataclass(frozen=True)
class Result:
    """A row: `samples` in `unit`, the median counts. `at_least` says which side of `target` is good.

    `ratio` compares the median with `ratio_to`; `notes` are lines for the reader of the terminal.
    """

    name: str
    samples: Sequence[float]
    unit: str
    target: float
    at_least: bool = True
    ratio_to: str | None = None
    ratio: float | None = None
    notes: tuple[str, ...] = ()
    holds: bool = True  # False: a condition of the row was broken, whatever the number says

    @property
    def value(self) -> float:
        """The median."""
        return _short(statistics.median(self.samples))

    @property
    def met(self) -> bool:
        """Does the target hold?"""
        return self.holds and (self.value >= self.target if self.at_least else self.value <= self.target)

    def row(self) -> dict[str, Any]:
        """The row as it is kept."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "n": len(self.samples),
            "min": _short(min(self.samples)),
            "max": _short(max(self.samples)),
            "ratio_to": self.ratio_to,
            "ratio": None if self.ratio is None else _short(self.ratio),
            "target": self.target,
            "met": self.met,
            "commit": commit(),
            "machine": machine(),
        }


def _short(value: float) -> float:
    """Four significant digits: more would pretend."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def commit() -> str:
    """The commit measured; a `+` if the tree was changed since."""
    words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def machine() -> str:
    """What it ran on, in one line."""
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return f"{os.cpu_count()} cores, Linux {kernel}, {platform.python_implementation()} {platform.python_version()}"


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The human table."""
    print(f"\n{'row':<20}{'median':>10}  {'min':>9} {'max':>9}  {'unit':<16}{'target':>8}  met")
    for row in rows:
        numbers = f"{row['value']:>10,g}  {row['min']:>9,g} {row['max']:>9,g}"
        print(f"{row['name']:<20}{numbers}  {row['unit']:<16}{row['target']:>8,g}  {'yes' if row['met'] else 'NO'}")
    if rows:
        print(f"{rows[0]['machine']}, commit {rows[0]['commit']}")


def _identity(row: dict[str, Any]) -> tuple[str, ...]:
    return row["name"], row.get("event", ""), row.get("setting", "")


def keep(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Put rows into a file of JSON lines, each in the place of the older one of its name (and event, if it has one)."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = {_identity(json.loads(line)): line for line in lines}
    kept |= {_identity(row): json.dumps(row) for row in rows}
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(line + "\n" for line in kept.values()))
