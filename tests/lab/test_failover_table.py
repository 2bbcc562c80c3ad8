"""The failover table: every row is one that the lab can play, and its judge can say no."""

import argparse
import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.errors import LabError
from lab.scenario import VERBS, Expectation
from lab.topology import TOPOLOGIES
from tests.bench import failover
from tests.bench.failover import compared, judged
from tests.bench.failover_play import Played, Run
from tests.bench.failover_rows import ROWS, SETTINGS, SHIFT, Row, Setting, rows_of
from tests.bench.failover_table import markdown, show
from tests.bench.result import Result
from tests.topology.combinations import BOUND_S

PLAIN = SETTINGS[0]
HEALTHCHECK = next(setting for setting in SETTINGS if setting.healthcheck)
CROWD = next(setting for setting in SETTINGS if setting.crowd)
# What we promise, and no row may be changed without it: the shift in ms at most, None where no time is asked for; the
# ms of probes that may be lost.
PROMISED: dict[str, tuple[float | None, float | str]] = {
    "data plane fails": (300, SHIFT),
    "soft failure": (130, 0),
    "drain": (None, 0),
    "xsp-ha SIGKILL": (450, 0),
    "xsp-ha SIGSTOP": (450, 0),
    "bridge SIGKILL": (200, 0),
    "bridge SIGSTOP": (1000, 0),
    "ExaBGP SIGKILL": (150, 60),
    "ExaBGP SIGSTOP": (1000, 60),
    "supervisor SIGKILL": (450, 60),
    "site link down": (150, SHIFT),
    "site silent (BFD 50 x 3)": (300, SHIFT),
    "site silent (no BFD)": (3000, SHIFT),
    "site rebooted: back in service": (30_000, 0),
    "two sites at once of three": (150, SHIFT),  # as one
    "then xsp-ha of the last one SIGKILL": (None, 0),
    "soft failure at all sites": (None, 0),
    "xsp-ha SIGKILL at all sites": (None, 0),
    "HAHA cut between all sites": (None, 0),
}


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


def test_the_table_bounds_what_we_promise_and_no_row_is_missing() -> None:
    """A bound could be doubled, or a loss allowed, and every test passed."""
    assert {row.name: (row.bound_ms, row.loss) for row in ROWS} == PROMISED
    assert rows_of(PLAIN) == ROWS
    assert {row.name for row in ROWS if row.may_stay} == {"bridge SIGKILL", "bridge SIGSTOP"}


def test_combinations_of_failures_are_judged_by_the_bounds_of_the_table() -> None:
    bounds_ms = {row.name.lower(): row.bound_ms for row in ROWS}
    theirs = {f"{process} {number.name}".lower(): bound_s for (process, number), bound_s in BOUND_S.items()}
    shared = bounds_ms.keys() & theirs.keys()
    assert len(shared) == 7
    for name in shared:
        bound_ms = bounds_ms[name]
        assert bound_ms is not None and theirs[name] == bound_ms / 1000, name


def test_with_a_crowd_all_is_played_that_happens_to_one_site_and_is_not_the_network_alone() -> None:
    assert {row.name for row in ROWS} - set(CROWD.rows) == {
        "site link down",
        "site silent (BFD 50 x 3)",
        "site silent (no BFD)",
        "two sites at once of three",
        "then xsp-ha of the last one SIGKILL",
        "soft failure at all sites",
        "xsp-ha SIGKILL at all sites",
        "HAHA cut between all sites",
    }


def test_where_nobody_may_withdraw_every_look_counts() -> None:
    assert {row.name: row.event.expect.stays for row in ROWS if row.event.expect.stays} == {
        row.name: row.event.on if row.event.expect.preferred else row.event.expect.serves for row in ROWS if row.brakes
    }


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


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (Run(100, 0, ""), Run(250, 40, ""), "x2.5, only it loses"),
        (Run(100, 20, ""), Run(50, 10, ""), "x0.5, loses x0.5"),
        (Run(None, 0, ""), Run(None, 3000, ""), "only it loses"),
        (Run(None, 4, ""), Run(None, 0, ""), "only ours loses"),
        (Run(None, 0, ""), Run(None, 0, ""), "equal"),
    ],
)
def test_a_reader_sees_who_is_better(ours: Run, theirs: Run, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The baseline stood beside ours in numbers alone, and in 8 of 19 rows."""
    first = judged(played("drain", ours))
    row = next(row for row in rows_of(HEALTHCHECK) if row.name == "drain")
    second = judged(Played(row, HEALTHCHECK, [theirs]))
    second |= compared(second, [first])
    assert second["ratio"] == (None if ours.shift_ms is None else theirs.shift_ms / ours.shift_ms)  # type: ignore[operator]
    show([first, second])
    assert words in capsys.readouterr().out


def test_the_baseline_plays_all_that_has_a_counterpart_and_nothing_is_expected_of_it_where_it_has_no_brake() -> None:
    rows = {row.name: row for row in rows_of(HEALTHCHECK)}
    assert {row.name for row in ROWS} - rows.keys() == {"bridge SIGKILL", "bridge SIGSTOP", "supervisor SIGKILL"}
    braking = {name for name, row in rows.items() if row.brakes}
    assert len(braking) == 4 and all(rows[name].event.expect == Expectation(nothing=True) for name in braking)
    lost = judged(Played(rows["xsp-ha SIGKILL at all sites"], HEALTHCHECK, [Run(None, 3000, "")]))
    assert (lost["why"], lost["value"], lost["unit"]) == ("", 3000, "probes lost")


def test_a_lab_that_cannot_be_built_costs_its_own_rows_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of rows was thrown away without a table when a later setting found no lab."""

    def broken(*_: object) -> Iterator[Played]:
        yield played("drain", Run(300, 0, ""))
        raise LabError("no namespaces are left", "reboot")

    monkeypatch.setattr(failover, "play", broken)
    wanted = [row for row in rows_of(PLAIN) if row.name in ("drain", "site link down")]
    chosen = argparse.Namespace(runs=1, logs=None)
    first, second = failover.results(PLAIN, wanted, chosen, lambda text: None)
    assert first["met"] and first["event"] == "drain"
    assert not second["met"] and second["why"] == "no namespaces are left"
    assert (failover.status([first]), failover.status([first, second])) == (0, 1)


def test_a_gap_of_the_leases_that_was_too_long_is_a_failure() -> None:
    """It was printed, and the exit status was that of the other rows."""
    gap = Result("lease-gap", [100.0, 180.0], "ms", 150.0, at_least=False, holds=False)
    assert failover.status([judged(played("drain", Run(300, 0, ""))), gap.row()]) == 1


def test_ten_runs_of_the_longest_interval_are_played_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was asked, it was three: no median of ten."""
    asked: list[int] = []

    def noted(setting: Setting, rows: list[Row], runs: int, *_: object) -> Iterator[Played]:
        asked.append(runs)
        return iter(())

    monkeypatch.setattr(failover, "play", noted)
    longest = next(one for one in SETTINGS if one.mrai_s == 30)
    for runs in (None, 10):
        list(failover.results(longest, [], argparse.Namespace(runs=runs, logs=None), lambda text: None))
    assert asked == [3, 10]


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
