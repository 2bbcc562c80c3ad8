"""The list of mutations fits the tree: `make mutants`, which nobody runs every day, would refuse to start otherwise."""

from pathlib import Path

from tests.mutants.__main__ import KILLED, NO_VERDICT, SURVIVED, judged
from tests.mutants.mutations import all_mutations

ROOT = Path(__file__).resolve().parents[2]


def test_every_mutation_has_its_place_and_tests_that_are_there() -> None:
    found = all_mutations(ROOT)
    assert len({one.name for one in found}) == len(found)
    assert all(one.before != one.after and _is_there(test) for one in found for test in one.tests)


def _is_there(test: str) -> bool:
    file, _, name = test.partition("::")
    return (ROOT / file).exists() and f"def {name}(" in (ROOT / file).read_text() if name else (ROOT / file).exists()


def test_tests_that_pass_fail_or_never_end_are_told_apart(tmp_path: Path) -> None:
    """Symptom: the first mutant whose tests overran ended the run of all of them with a traceback."""
    (tmp_path / "test_good.py").write_text("def test_it():\n    pass\n")
    (tmp_path / "test_bad.py").write_text("def test_it():\n    assert False\n")
    (tmp_path / "test_endless.py").write_text("import time\n\ndef test_it():\n    time.sleep(600)\n")
    assert judged(tmp_path, ("test_good.py",)) == (SURVIVED, "")
    assert judged(tmp_path, ("test_bad.py",)) == (KILLED, "FAILED test_bad.py::test_it")
    for nothing in ("test_good.py::test_that_is_not_there", "test_nowhere.py"):
        assert judged(tmp_path, (nothing,))[0] == NO_VERDICT
    assert judged(tmp_path, ("test_good.py",), those="netns")[0] == NO_VERDICT
    (tmp_path / "test_broken.py").write_text("import no_such_module\n")
    assert judged(tmp_path, ("test_broken.py",)) == (KILLED, "ERROR test_broken.py")
    outcome, why = judged(tmp_path, ("test_endless.py",), timeout_s=1.0)
    assert outcome == NO_VERDICT and "1 s" in why
