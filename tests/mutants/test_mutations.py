"""The list of mutations fits the tree: `make mutants`, which nobody runs every day, would refuse to start otherwise."""

from pathlib import Path

from tests.mutants.mutations import all_mutations

ROOT = Path(__file__).resolve().parents[2]


def test_every_mutation_has_its_place_and_tests_that_are_there() -> None:
    found = all_mutations(ROOT)
    assert len({one.name for one in found}) == len(found)
    assert all(one.before != one.after and (ROOT / test).exists() for one in found for test in one.tests)
