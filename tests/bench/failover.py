"""`make lab-bench`: the failover table, medians of many runs, beside ExaBGP's own healthcheck from the same run.

`python -m tests.bench.failover [--rows NAME,...] [--settings NAME,...] [--runs N] [--keep]`. Holds the lock of the lab.
What it prints and keeps is judged here: the median within the bound, the maximum within twice the median, no loss that
the row does not allow, in any run. Exit status 1 if a row missed.
"""

import argparse
import fcntl
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from lab.errors import LabError
from tests.bench.failover_play import Played, Say, play
from tests.bench.failover_rows import ROWS, SETTINGS, SHIFT, Row, Setting, rows_of
from tests.bench.failover_table import markdown, show
from tests.bench.result import LATEST, RESULTS, Result, commit, keep, machine

LAB_LOCK = Path("/run/anycast-xsp-lab.lock")  # one lab at a time on a machine
SPREAD = 2.0  # the maximum may be so many times the median


def main() -> int:
    """Play, show, keep."""
    chosen = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # by the way of Ctrl-C: the lab is taken down
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s {text}", flush=True)

    if chosen.markdown:
        markdown(RESULTS)
        return 0
    rows: list[dict[str, Any]] = []
    with LAB_LOCK.open("w") as lock:
        say("waiting for the lab's lock")
        fcntl.flock(lock, fcntl.LOCK_EX)
        for setting in SETTINGS:
            wanted = [row for row in rows_of(setting) if not chosen.rows or row.name in chosen.rows]
            if not wanted or (chosen.settings and setting.name not in chosen.settings):
                continue
            for row in results(setting, wanted, chosen, say):
                row |= compared(row, rows)
                rows.append(row)
                keep([row], LATEST)
                if chosen.keep:
                    keep([row], RESULTS)
    show([row for row in rows if row["name"] == "failover"])
    print(f"{machine()}, commit {commit()}; {(time.monotonic() - began) / 60:.0f} minutes")
    return status(rows)


def results(setting: Setting, wanted: Sequence[Row], chosen: argparse.Namespace, say: Say) -> Iterator[dict[str, Any]]:
    """Each row of a setting as it is played; if no lab can be built any more, the others with the reason."""
    runs = chosen.runs or setting.runs
    say(f"{setting.name}: {len(wanted)} rows, {runs} runs each")
    left = list(wanted)
    try:
        for found in play(setting, wanted, runs, say, chosen.logs):
            if isinstance(found, Result):
                row = found.row()
                say(f"  {row['name']}: longest {row['max']} ms, allowed are {row['target']:g}")
                yield row
            else:
                left.remove(found.row)
                yield judged(found)
    except LabError as error:
        say(f"{setting.name}: {error.what}")
        yield from (judged(Played(row, setting, trouble=error.what)) for row in left)


def status(rows: Sequence[dict[str, Any]]) -> int:
    """The exit status: 1 if any row that has a target missed it, the leases' gap among them, or any was not played."""
    missed = [row for row in rows if not row["met"] and (row["target"] is not None or not row["n"])]
    return 1 if missed else 0


def compared(row: dict[str, Any], before: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For a row of the baseline: its median shift as a multiple of ours in the same run, if both moved."""
    ours = next((one for one in before if one.get("setting") == "plain" and one["event"] == row.get("event")), None)
    if row.get("setting") != "healthcheck" or ours is None or not (row["shift_ms"] and ours["shift_ms"]):
        return {}
    return {"ratio_to": "plain", "ratio": round(row["shift_ms"][1] / max(ours["shift_ms"][1], 0.1), 2)}


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make lab-bench", description="The failover table.")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", type=_list, default=[], help="; ".join(names))
    parser.add_argument("--settings", type=_list, default=[], help="; ".join(one.name for one in SETTINGS))
    parser.add_argument("--runs", type=int, help="of each row; otherwise 10, with the longest interval 3")
    parser.add_argument("--keep", action="store_true", help="also into bench/results.jsonl, which is tracked")
    parser.add_argument("--markdown", action="store_true", help="measure nothing; print what was kept, for the README")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of every lab there")
    chosen = parser.parse_args()
    unknown = (set(chosen.rows) - set(names)) | (set(chosen.settings) - {one.name for one in SETTINGS})
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; see --help")
    return chosen


def _list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def judged(played: Played) -> dict[str, Any]:
    """A row of bench/results.jsonl. `value` is the median shift, or, where nothing must move, the most probes lost."""
    row, runs = played.row, played.runs
    shifts = [run.shift_ms for run in runs if run.shift_ms is not None]
    lost = [run.lost for run in runs]
    bad = [run.why for run in runs if run.why]
    wrong = [f"in {len(bad)} of {len(runs)} runs: {bad[0]}"] if bad else []
    moves = row.bound_ms is not None or (played.setting.healthcheck and not row.brakes)
    if moves and len(shifts) < len(runs) and not row.may_stay:
        wrong.append(f"in {len(runs) - len(shifts)} of {len(runs)} runs not everything moved")
    if row.bound_ms is not None and shifts:
        median = statistics.median(shifts)
        if median > row.bound_ms:
            wrong.append(f"the median is over {row.bound_ms:g} ms")
        if max(shifts) > SPREAD * median:
            wrong.append("the maximum is over twice the median")
    if played.trouble:
        wrong.append(played.trouble)
    values: Sequence[float] = shifts if shifts and moves else lost
    return {
        "name": "failover",
        "event": row.name,
        "setting": played.setting.name,
        "value": round(statistics.median(values), 1) if values else None,
        "unit": "ms" if values is shifts else "probes lost",
        "n": len(runs),
        "min": min(values, default=None),
        "max": max(values, default=None),
        "shift_ms": [min(shifts), round(statistics.median(shifts), 1), max(shifts)] if shifts else None,
        "lost": [min(lost), statistics.median(lost), max(lost)] if lost else None,
        "ratio_to": None,
        "ratio": None,
        "target": None if played.setting.healthcheck else row.bound_ms if values is shifts else 0,
        "loss_allowed": None
        if played.setting.healthcheck
        else "the shift"
        if row.loss == SHIFT
        else f"{row.loss:g} ms",
        "met": not wrong and bool(runs) and not played.setting.healthcheck,
        "why": "; ".join(wrong),
        "commit": commit(),
        "machine": machine(),
    }


if __name__ == "__main__":
    sys.exit(main())
