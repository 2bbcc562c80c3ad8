"""The command line: exit statuses and the two sentences, for what can go wrong before anything is built."""

import subprocess
import sys

import pytest

from lab import prerequisites
from lab.__main__ import main
from lab.errors import LabError
from lab.programs import ROOT
from runtime.exits import Exit


def test_without_root_the_lab_says_so() -> None:
    with pytest.raises(LabError) as refused:
        prerequisites.check(euid=lambda: 1000)
    assert refused.value.code == Exit.MISSING
    assert "root" in refused.value.what


@pytest.mark.parametrize("program", sorted(prerequisites.PROGRAMS))
def test_a_missing_program_is_named_with_its_package(program: str) -> None:
    with pytest.raises(LabError) as refused:
        prerequisites.check(euid=lambda: 0, which=lambda name: None if name == program else f"/usr/bin/{name}")
    assert refused.value.code == Exit.MISSING
    assert program in refused.value.what
    assert prerequisites.PROGRAMS[program] in refused.value.remedy


def test_an_unknown_scenario_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["run", "no-such-scenario"])
    assert left.value.code == Exit.USAGE
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_an_unknown_lab_cannot_be_reached(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["status", "--lab", "none"])
    assert left.value.code == Exit.UNREACHABLE
    assert "There is no lab none" in capsys.readouterr().err


def test_help_needs_nothing_of_the_machine() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab", "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert "demo" in done.stdout
