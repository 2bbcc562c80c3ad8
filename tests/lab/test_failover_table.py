"""The failover table: every row is one that the lab can play, and its judge can say no."""

import json
from typing import Any

import pytest

from lab.scenario import VERBS
from lab.topology import TOPOLOGIES
from tests.bench.failover import judged
from tests.bench.failover_play import Played, Run
from tests.bench.failover_rows import ROWS, SETTINGS, rows_of
from tests.bench.failover_table import markdown, show

PLAIN = SETTINGS[0]


def played(name: str, *runs: Run, trouble: str = "") -> Played:
    row = next(row for row in rows_of(PLAIN) if row.name == name)
    return Played(row, PLAIN, list(runs), trouble)


def test_every_row_uses_verbs_of_the_lab_and_every_setting_rows_and_a_topology_that_are_there() -> None:
    assert {step.do for row in ROWS for step in (*row.before, row.event, *row.back)} <= VERBS
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    for setting in SETTINGS:
        assert setting.topology in TOPOLOGIES
        assert set(setting.rows) <= set(names)
        assert "," not in setting.name  # they are given as a list


@pytest.mark.parametrize(
    ("name", "runs", "why"),
    [
        ("site link down", [Run(120, 90, ""), Run(140, 95, "")], ""),
        ("site link down", [Run(160, 90, ""), Run(170, 95, "")], "over 150 ms"),
        ("site link down", [Run(50, 9, ""), Run(50, 9, ""), Run(120, 9, "")], "over twice the median"),
        ("site link down", [Run(120, 90, ""), Run(None, 95, "")], "not everything moved"),
        ("drain", [Run(400, 0, "")], ""),
        ("drain", [Run(400, 1, "1 probes were lost, allowed are 0")], "1 probes were lost"),
        ("bridge SIGKILL", [Run(None, 0, ""), Run(None, 0, "")], ""),
    ],
)
def test_a_row_is_met_only_if_every_run_was_good(name: str, runs: list[Run], why: str) -> None:
    row = judged(played(name, *runs))
    assert row["met"] == (why == "")
    assert why in row["why"]


def test_a_row_that_was_not_played_is_not_met() -> None:
    assert not judged(played("drain", trouble="it does not come back"))["met"]
    assert not judged(played("drain"))["met"]


def test_the_table_is_shown_and_kept_with_what_was_missed(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    rows = [judged(played("site link down", Run(160, 90, ""))), judged(played("drain", trouble="no lab"))]
    show(rows)
    said = capsys.readouterr().out
    assert "160/160/160" in said and "over 150 ms" in said and "no lab" in said
    kept = tmp_path / "results.jsonl"
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    markdown(kept)
    assert "| site link down | 1 | 160/160/160 (150) |" in capsys.readouterr().out
