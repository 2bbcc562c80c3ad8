"""The probe says which driver there is, or exactly what is missing; without rights everything says so."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.driver import Driver
from dataplane.errors import DataPlaneError
from dataplane.probe import probe
from tests.dataplane.test_linux import everything
from tests.netns import Net, namespaces

pytestmark = pytest.mark.netns

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def net() -> Iterator[Net]:
    with namespaces() as made:
        made.add("ha")
        yield made


def test_the_probe_names_the_driver_and_leaves_nothing(net: Net) -> None:
    before = everything(net, "ha")
    assert net.inside("ha", probe) is Driver.SEG6
    assert everything(net, "ha") == before


def test_a_loopback_that_is_down_is_named(net: Net) -> None:
    net.run("ha", "ip", "link", "set", "lo", "down")
    with pytest.raises(DataPlaneError, match="loopback interface is down"):
        net.inside("ha", probe)


@pytest.mark.parametrize("program", ["nft", "ip"])
def test_a_missing_program_is_named(net: Net, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str) -> None:
    (tmp_path / ("ip" if program == "nft" else "nft")).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataPlaneError, match=f"the program {program} is not installed"):
        net.inside("ha", probe)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("from dataplane.probe import probe; probe()", "CAP_NET_ADMIN is needed"),
        ("from tests.dataplane.test_linux import *; LinuxHomeAgent().prepare(SITE)", "run it as root"),
        ("from tests.dataplane.test_linux import *; prepared_router()", "run it as root"),
        ("from tests.dataplane.test_linux import *; LinuxRouter().set_lines(UPLINKS[:0])", ""),
        ("from tests.dataplane.test_linux import *; LinuxHomeAgent().purge()", "CAP_NET_ADMIN is needed"),
    ],
)
def test_without_rights_the_reason_says_what_to_do(net: Net, call: str, words: str) -> None:
    script = f"""
from dataplane.errors import DataPlaneError
try:
    {call}
except DataPlaneError as error:
    print(error.reason)
"""
    unprivileged = ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", script]
    command = ["ip", "netns", "exec", net.name("ha"), *unprivileged]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout and bool(words) == bool(done.stdout)
