"""The copies that ExaBGP and its bridge read."""

import os
import stat
from pathlib import Path

import pytest

from bgp import bridge, config
from bgp.errors import BgpError
from bgp.running import Running
from tests.bgp.test_config import TEXT

EXABGP = "process bridge { run /bin/xsp-bgp bridge --config /etc/bgp.toml; encoder json; }\n"


def test_the_bridge_reads_of_the_copy_what_it_read_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bgp.toml"
    file.write_text(TEXT.replace('"/run/anycast-xsp/site1/lease.sock"', '"lease.sock"'))
    running = Running(tmp_path / "running", None)
    running.write(config.load(file), EXABGP)
    assert bridge.read_settings(running.bridge_configuration) == bridge.read_settings(file)
    assert running.exabgp_configuration.read_text() == EXABGP.replace(
        "/etc/bgp.toml", str(running.bridge_configuration)
    )


def test_passwords_are_open_to_the_owner_and_the_group_of_exabgps_user_alone(tmp_path: Path) -> None:
    parsed = config.parse(TEXT, tmp_path)
    before = os.umask(0)
    try:
        Running(tmp_path / "own", None).write(parsed, EXABGP)
        Running(tmp_path / "lent", os.getegid()).write(parsed, EXABGP)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / place / "exabgp.conf").stat().st_mode) for place in ("own", "lent")]
    assert modes == [0o600, 0o640]
    assert not list(tmp_path.glob("*/*.new"))


def test_a_candidate_is_beside_what_runs_and_leaves_it_alone(tmp_path: Path) -> None:
    running = Running(tmp_path / "running", None)
    parsed = config.parse(TEXT, tmp_path)
    running.write(parsed, EXABGP)
    running.candidate.write(parsed, EXABGP + "# new")
    assert "# new" not in running.exabgp_configuration.read_text()
    assert str(running.candidate.bridge_configuration) in running.candidate.exabgp_configuration.read_text()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "running").write_text("a file")
    with pytest.raises(BgpError, match="cannot be written"):
        Running(tmp_path / "running", None).write(config.parse(TEXT, tmp_path), EXABGP)
