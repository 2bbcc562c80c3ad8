"""The demo on a lab that is broken on purpose fails, and says why: otherwise its successes would mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.faults import Fault
from lab.programs import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.timeout(330)]


def test_the_demo_fails_when_a_dead_home_agent_stays_announced(tmp_path: Path) -> None:
    failed = failures(Fault.NO_WITHDRAW, tmp_path, "demo")
    assert failed.keys() >= {"kill", "freeze", "drain"}
    assert "site1 still serves" in failed["kill"] and "site1 still serves" in failed["drain"]


def test_a_scenario_fails_when_an_impostor_holds_the_lease(tmp_path: Path) -> None:
    failed = failures(Fault.NO_LEASE, tmp_path, "run", "ha-killed")
    assert "site1 still serves" in failed["kill"]


def failures(fault: Fault, place: Path, *what: str) -> dict[str, str]:
    """What was done -> why it failed, on a lab with this fault."""
    words = [sys.executable, "-m", "lab", *what, "--fault", fault, "--output", str(place)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=320)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed: kill site1: site1 still serves" in done.stdout
    assert (place / "logs" / "site1-xsp-bgp.log").exists()
    steps = json.loads((place / "report.json").read_text())["steps"]
    return {step["do"]: step["why"] for step in steps if not step["ok"]}
