"""What `xsp-ha` says where there is no customer to be asked about, before it asks any daemon."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = "2001:db8:f000::51"


@pytest.fixture
def reflector(tmp_path: Path) -> Path:
    config = tmp_path / "ha.toml"
    config.write_text(
        f"""
reflector = "only"
instance = "hub"
state_directory = "{tmp_path}/state"
run_directory = "{tmp_path}/run"
locator = "2001:db8:9:a::10"
"""
    )
    return config


def said(config: Path, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "ha", "--config", str(config), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", [("status", HOME), ("accounting",), ("revoke", HOME), ("drain",)])
def test_a_reflector_refuses_what_is_for_home_agents(reflector: Path, words: tuple[str, ...]) -> None:
    status, why = said(reflector, *words)
    assert status == 1
    assert "hub is a reflector and no home agent: it has no customers" in why


def test_its_own_status_is_asked_of_its_daemon(reflector: Path) -> None:
    status, why = said(reflector, "status")
    assert status == 3
    assert "xsp-ha of hub does not answer" in why
