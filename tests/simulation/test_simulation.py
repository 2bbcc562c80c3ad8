"""Seeds: random worlds with faults, in which what `invariants` says holds throughout."""

from dataclasses import replace

import pytest

from tests.simulation.scenario import scenario
from tests.simulation.world import World


@pytest.mark.parametrize("seed", range(4))
def test_without_faults_all_sites_end_equal(seed: int) -> None:
    World(replace(scenario(seed), deeds=())).run()
