"""How ExaBGP is started, as far as that shows without starting it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgp import config, launch
from bgp.errors import BgpError
from bgp.supervisor import stop_linger_s
from runtime.exits import MISSING
from tests.bgp.test_config import TEXT

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = Path(__file__).with_name("example-exabgp.conf")


def settings(directory: Path) -> config.Config:
    text = TEXT.replace("/var/lib/anycast-xsp/site1", str(directory / "state"))
    return config.parse(text.replace("/run/anycast-xsp/site1", str(directory / "run")), directory)


def test_the_commented_example_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "exabgp.conf"
    file.write_text(EXAMPLE.read_text().replace("/opt/anycast-xsp/venv/bin/xsp-bgp", "/bin/true"))
    done = subprocess.run(launch.exabgp("validate", str(file)), env=launch.environment("nobody"), capture_output=True)
    assert done.returncode == 0, done.stdout


def test_the_installed_exabgp_is_version_5() -> None:
    assert launch.exabgp_version().startswith("5.")


@pytest.mark.parametrize(("version", "said"), [("", "ExaBGP is not installed"), ("4.2.22", "4.2.22"), ("6.0", "6.0")])
def test_exabgp_missing_or_of_another_major_version_is_two_sentences(tmp_path: Path, version: str, said: str) -> None:
    """Our own interpreter with everything it has but ExaBGP, and one of that version if any."""
    packages = tmp_path / "packages"
    packages.mkdir()
    installed = {one.name: one for place in sys.path if "-packages" in place for one in Path(place).iterdir()}
    for name, package in installed.items():
        if not name.startswith("exabgp"):
            (packages / name).symlink_to(package)
    if version:
        (packages / f"exabgp-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: exabgp\nVersion: {version}\n"
        (packages / f"exabgp-{version}.dist-info" / "METADATA").write_text(metadata)
    file = tmp_path / "bgp.toml"
    (tmp_path / "cookie.key").write_text("a key")
    file.write_text(TEXT.replace('bfd_configuration = "bfdd.conf"\n', ""))
    script = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(packages)!r}]; from bgp.__main__ import main; main()"
    words = [sys.executable, "-I", "-S", "-c", script, "run", "--config", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == MISSING
    what, remedy = done.stderr.splitlines()
    assert said in what
    assert remedy == "install exabgp 5 beside xsp-bgp."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_unknown_user_is_a_missing_prerequisite() -> None:
    with pytest.raises(BgpError) as caught:
        launch.unprivileged("no-such-user", ["true"])
    assert caught.value.code == 4


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="xsp-bgp-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def test_the_lease_socket_points_into_the_bridges_directory(place: Path) -> None:
    parsed = settings(place)
    for _ in range(2):  # a second start finds the first one's
        launch.prepare(parsed)
        assert parsed.lease_socket.is_symlink()
        assert parsed.lease_socket.readlink() == parsed.bridge_socket
    if os.geteuid() == 0:
        assert parsed.bridge_socket.parent.owner() == "nobody"


@pytest.mark.skipif(os.geteuid() != 0, reason="a directory of our own is never closed to us")
def test_a_closed_directory_is_found_before_the_start(place: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(BgpError) as caught:
        launch.prepare(settings(place))
    assert "cannot write" in caught.value.what


def test_only_a_child_that_lives_is_one() -> None:
    """A bridge says what its process id is; whoever else has that number is not killed for it."""
    with subprocess.Popen(["sleep", "60"]) as child:
        assert launch.is_child(child.pid, os.getpid())
        assert not launch.is_child(child.pid, os.getppid())
        child.kill()
    assert not launch.is_child(child.pid, os.getpid())
    assert not launch.is_child(0, os.getpid())
    assert not launch.is_child(os.getpid(), os.getpid())


def test_no_environment_variable_of_ours_reaches_exabgp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("exabgp_api_cli", "true")
    environment = launch.environment("nobody")
    assert "PYTHONPATH" not in environment
    assert environment["exabgp_api_cli"] == "false"


@pytest.mark.parametrize(("mrai_s", "linger_s"), [(0, 1.0), (5, 10.0), (30, 60.0), (120, 60.0)])
def test_a_planned_stop_waits_for_the_neighbours_intervals_but_not_for_ever(mrai_s: int, linger_s: float) -> None:
    assert stop_linger_s(mrai_s) == linger_s
