"""A lab that is broken on purpose fails, and says why: otherwise its successes would mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.faults import Fault
from lab.programs import ROOT

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]


@pytest.mark.parametrize("fault", [Fault.NO_LEASE, Fault.NO_WITHDRAW])
def test_a_dead_home_agent_that_stays_announced_is_a_failure(fault: Fault, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "lab", "run", "ha-killed", "--fault", fault, "--output", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 1, done.stdout + done.stderr
    steps = json.loads((tmp_path / "report.json").read_text())["steps"]
    wrong = [step for step in steps if not step["ok"]]
    assert {step["do"] for step in wrong} == {"kill"}
    assert all("site1 still serves" in step["why"] for step in wrong)
    assert (tmp_path / "logs" / "site1-xsp-bgp.log").exists()
