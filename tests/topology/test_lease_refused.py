"""What an operator of `xsp-ha` sees while `xsp-bgp` does not take what it wishes; the bridge is the real one."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bgp.pipes import AGGREGATE, Exabgp, Holder
from tests.topology.process import ROOT, Office, poll

pytestmark = pytest.mark.netns


def status(place: Office) -> tuple[int, str]:
    """Exit status and first line of `xsp-ha status`."""
    words = [sys.executable, "-m", "ha", "--config", str(place.config), "status"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    return done.returncode, done.stdout.split("\n", 1)[0]


@contextlib.contextmanager
def running(directory: Path, aggregate: str = AGGREGATE) -> Iterator[Exabgp]:
    """A bridge at the socket where the home agent of `place` asks."""
    bridge = Exabgp(directory, aggregate)
    try:
        bridge.start_up()
        yield bridge
    finally:
        bridge.close()


@contextlib.contextmanager
def first_holder(bridge: Exabgp) -> Iterator[None]:
    """Somebody who renews the lease all the time, and had it first."""
    over, holder = threading.Event(), Holder(bridge.socket)
    holder.renew()

    def renew() -> None:
        while not over.wait(0.05):
            holder.renew()

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        holder.close()


def lines(place: Office, name: str) -> list[str]:
    """Of the metrics."""
    words = [sys.executable, "-m", "ha", "--config", str(place.config), "metrics"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    return [line for line in done.stdout.splitlines() if line.startswith(name)]


def test_without_xsp_bgp_the_status_says_that_nobody_is_there(place: Office) -> None:
    """It said READY and "no complaint", and exited with 1."""
    poll(lambda: "xsp-bgp is not there" in status(place)[1], "the complaint")
    code, line = status(place)
    assert code == 1
    assert f"nobody answers at {place.directory}/lease.sock (start xsp-bgp, or see its log)" in line
    poll(lambda: len(place.logged_at("lease not held")) == 1, "the log has it")
    assert lines(place, "xsp_ha_lease_held ") == ["xsp_ha_lease_held 0.0"]


def test_a_prefix_that_is_no_aggregate_there_is_told_where_the_operator_looks(place: Office) -> None:
    """The refusal went to the client's socket and nowhere else: READY, "no complaint", exit 1."""
    place.stop()
    with place.config.open("a") as file:
        file.write(f'[[bgp.route]]\nprefix = "{AGGREGATE}"\n')
    with running(place.directory, "2001:db8:e000::/36"):
        place.start()
        refusal = f"xsp-bgp refuses the lease: {AGGREGATE} is not an aggregate of this site"
        poll(lambda: refusal in status(place)[1], "the complaint")
        assert status(place)[0] == 1
        poll(lambda: len(place.logged_at("lease not held")) == 1, "the log has it")
        poll(lambda: place.counter("lease_refused") > 20, "two seconds of refusals are counted")
        assert len(place.logged_at("lease not held")) == 1, "and logged once"
        assert lines(place, "xsp_ha_lease_held ") == ["xsp_ha_lease_held 0.0"]


def test_a_second_home_agent_is_told_who_holds_the_lease_until_it_has_it(place: Office) -> None:
    place.stop()
    with running(place.directory) as bridge, first_holder(bridge):
        place.start()
        refusal = f"xsp-bgp refuses the lease: process {os.getpid()} holds the lease"
        poll(lambda: refusal in status(place)[1], "the complaint")
        assert status(place)[0] == 1
        poll(lambda: len(place.logged_at("lease not held")) == 1, "the log has it")
    # It ends with `bridge`; with another one there is nobody to refuse it.
    with running(place.directory):
        poll(lambda: lines(place, "xsp_ha_lease_held ") == ["xsp_ha_lease_held 1.0"], "the lease is held")
        poll(lambda: len(place.logged_at("lease held")) == 1, "the log has it")
        assert "xsp-bgp refuses" not in status(place)[1]
