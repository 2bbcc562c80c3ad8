"""The demo on a lab that is broken on purpose fails, and says why: otherwise its successes would mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.faults import Fault
from lab.programs import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.timeout(330)]


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [(Fault.NO_LEASE, {"kill", "drain"}), (Fault.NO_WITHDRAW, {"kill", "freeze", "drain"})],
)
def test_the_demo_fails_when_a_dead_home_agent_stays_announced(fault: Fault, wrong: set[str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "lab", "demo", "--fault", fault, "--output", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=320)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed: kill site1: site1 still serves" in done.stdout
    steps = json.loads((tmp_path / "report.json").read_text())["steps"]
    failed = {step["do"]: step["why"] for step in steps if not step["ok"]}
    assert failed.keys() >= wrong
    assert "site1 still serves" in failed["kill"] and "site1 still serves" in failed["drain"]
    assert (tmp_path / "logs" / "site1-xsp-bgp.log").exists()
