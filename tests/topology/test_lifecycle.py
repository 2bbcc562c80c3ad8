"""`xsp-lab` as a process: whatever ends it, nothing is left; what SIGKILL leaves, `down --stale` removes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.netns import NETNS
from lab.poll import wait_until
from lab.programs import ROOT
from lab.runfolder import PLACE, all_folders

pytestmark = pytest.mark.netns
DEADLINE_S = 40.0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A scenario under way, far enough that namespaces stand."""
    words = [sys.executable, "-m", "lab", "run", "line-cut", "--output", str(tmp_path)]
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(words, cwd=ROOT, stdout=out, stderr=out, preexec_fn=_hear_interrupts)
    try:
        wait_until(lambda: None if namespaces_of(process.pid) else "no namespace yet", DEADLINE_S)
        yield process
    finally:
        process.kill()
        process.wait()


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def lab_of(pid: int) -> str:
    found = [folder.id for folder in all_folders() if folder.owner is not None and folder.owner.pid == pid]
    return found[0] if found else "none"


def namespaces_of(pid: int) -> list[Path]:
    return list(NETNS.glob(f"x{lab_of(pid)}-*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_takes_the_lab_down(running: subprocess.Popen[bytes], number: signal.Signals, status: int) -> None:
    lab_id = lab_of(running.pid)
    running.send_signal(number)
    assert running.wait(DEADLINE_S) == status
    assert list(NETNS.glob(f"x{lab_id}-*")) == []
    assert not (PLACE / lab_id).exists()


def test_a_killed_owner_leaves_a_stale_lab_that_can_be_removed(running: subprocess.Popen[bytes]) -> None:
    lab_id = lab_of(running.pid)
    running.kill()
    running.wait()
    status = xsp_lab("status", "--lab", lab_id)
    assert status.returncode == 1
    assert "stale" in status.stdout
    assert xsp_lab("down", "--lab", lab_id).returncode == 0
    assert list(NETNS.glob(f"x{lab_id}-*")) == []
    assert not (PLACE / lab_id).exists()


def test_a_lab_in_use_is_not_taken_down_without_force(running: subprocess.Popen[bytes]) -> None:
    lab_id = lab_of(running.pid)
    refused = xsp_lab("down", "--lab", lab_id)
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert xsp_lab("down", "--lab", lab_id, "--force").returncode == 0
    assert running.wait(DEADLINE_S) == 143
    assert not (PLACE / lab_id).exists()


def xsp_lab(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "lab", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
        env=environment,
    )
