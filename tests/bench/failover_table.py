"""How the failover table is shown: to a person at the terminal, and as Markdown. Judges nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.failover_rows import ROWS, SETTINGS

MET = {True: "yes", False: "NO", None: "-"}


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The table, each row beside what the healthcheck did in the same run."""
    baseline = {row["event"]: row for row in rows if row["setting"] == "healthcheck"}
    if rows and len(baseline) == len(rows):
        rows = [row | {"setting": "healthcheck alone", "loss_allowed": "-", "met": None} for row in rows]
    heads = f"{'shift ms':>19} {'bound':>6} {'lost':>13} {'allowed':>9}  met"
    heads += f"  {'healthcheck ms':>19} {'lost':>13}  to ours"
    for setting in dict.fromkeys(row["setting"] for row in rows if row["setting"] != "healthcheck"):
        print(f"\n{setting:<36}{heads}")
        for row in rows:
            if row["setting"] == setting:
                beside = baseline.get(row["event"]) if setting == "plain" else None
                print(_line(row, beside))
                if row["why"]:
                    print(f"    {row['why']}")
    print("minimum/median/maximum; lost probes of both directions together, 500 a second each")


def _line(row: dict[str, Any], beside: dict[str, Any] | None) -> str:
    bound = f"{row['target']:g}" if row["unit"] == "ms" and row["target"] is not None else "-"
    words = f"{row['event']:<36}{_shift(row):>19} {bound:>6} {_lost(row):>13} {row['loss_allowed']:>9}"
    words += f"  {MET[row['met']]:<3}"
    return words + (f"  {_shift(beside):>19} {_lost(beside):>13}  {comparison(row, beside)}" if beside else "")


def comparison(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """How many times our shift the baseline's takes, and our loss it has, by the medians; blank if none was played."""
    if not (ours["lost"] and theirs["lost"]):
        return ""
    words = []
    if ours["shift_ms"] and theirs["shift_ms"]:
        words.append(f"x{theirs['shift_ms'][1] / max(ours['shift_ms'][1], 0.1):.1f}")
    lost, theirs_lost = ours["lost"][1], theirs["lost"][1]
    if lost and theirs_lost:
        words.append(f"loses x{theirs_lost / lost:.1f}")
    elif lost or theirs_lost:
        words.append("only it loses" if theirs_lost else "only ours loses")
    return ", ".join(words) or "equal"


def _shift(row: dict[str, Any]) -> str:
    return "/".join(f"{number:.0f}" for number in row["shift_ms"]) if row["shift_ms"] else "-"


def _lost(row: dict[str, Any]) -> str:
    return "/".join(f"{number:g}" for number in row["lost"]) if row["lost"] else "-"


def markdown(kept: Path) -> None:
    """The rows of a file of results, as the README has them: by setting, whenever each was measured."""
    rows = [row for line in kept.read_text().splitlines() if (row := json.loads(line))["name"] == "failover"]
    settings, events = [setting.name for setting in SETTINGS], [row.name for row in ROWS]
    rows.sort(key=lambda row: (settings.index(row["setting"]), events.index(row["event"])))
    baseline = {row["event"]: row for row in rows if row["setting"] == "healthcheck"}
    print(
        "| setting, event | runs | shift, ms (bound) | lost probes (allowed) | met | healthcheck: shift, lost; ratio |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        if row["setting"] == "healthcheck":
            continue
        beside = baseline.get(row["event"]) if row["setting"] == "plain" else None
        bound = f" ({row['target']:g})" if row["unit"] == "ms" and row["target"] is not None else ""
        words = [
            ("" if row["setting"] == "plain" else f"{row['setting']}: ") + row["event"],
            str(row["n"]),
            f"{_shift(row)}{bound}",
            f"{_lost(row)} ({row['loss_allowed']})",
            "yes" if row["met"] else "**no**",
            f"{_shift(beside)}, {_lost(beside)}; {comparison(row, beside)}" if beside else "",
        ]
        print(f"| {' | '.join(words)} |")
