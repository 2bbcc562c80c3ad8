"""The CI seeds: random worlds with faults, in which what `invariants` says holds throughout."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from tests.simulation.__main__ import report
from tests.simulation.run import Outcome, play, shrink, with_only
from tests.simulation.scenario import scenario
from tests.simulation.world import World

CHUNK = 10
SEEDS = 100
SHRINK_S = 30.0
LEAST_S, LEAST_FAULTS, LEAST_UPDATES = 120.0, 50, 500


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_rule_is_broken_whatever_happens(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = play(seed)
        if outcome.broken:
            pytest.fail(report(outcome, SHRINK_S), pytrace=False)
        assert outcome.seconds >= LEAST_S, seed
        assert outcome.faults >= LEAST_FAULTS, seed
        assert outcome.updates >= LEAST_UPDATES, seed


def test_without_deeds_all_sites_end_equal_and_every_binding_was_known_twice() -> None:
    world = World(with_only(replace(scenario(0), acknowledge="any"), ()))
    world.run()
    assert world.watch.promises.promised > 0
    assert world.watch.promises.acknowledged_in_all >= len(world.routers)


def test_a_seed_plays_the_same_again() -> None:
    assert play(3) == play(3)


def test_a_run_is_told_line_by_line() -> None:
    told: list[str] = []
    play(1, range(20), told.append)
    assert any("sends BU" in line for line in told)
    assert any("== " in line for line in told)


def test_shrinking_keeps_only_the_deeds_that_a_broken_rule_takes() -> None:
    """The rule here: two certain deeds of the seed do not both happen."""

    def broken(seed: int, only: list[int]) -> str:
        return "both" if {7, 60} <= set(only) else ""

    assert shrink(5, 60.0, broken) == [7, 60]


def test_a_report_names_the_few_deeds_and_the_command_that_shows_them_again() -> None:
    def again(seed: int, only: Collection[int]) -> Outcome:
        broken = {7, 60} <= set(only)
        return Outcome(seed, "both: they met" if broken else "", "both" if broken else "", 1, 2.5, 3, 4)

    said = report(again(5, [7, 60]), 60.0, again).splitlines()
    deeds = scenario(5).deeds
    assert said[0] == "seed 5: at 2.500 s: both: they met"
    assert said[1] == "  with these deeds only: both: they met"
    assert [line.split(maxsplit=1)[1] for line in said[2:4]] == [str(deeds[place]).strip() for place in (7, 60)]
    assert said[4] == "  to see it: .venv/bin/python -m tests.simulation --seeds 5 --only 7,60 --trace"
    assert len(said) == 5
