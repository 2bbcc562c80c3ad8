"""`xsp-ha purge` beside the program: not while a daemon is there, and then exactly what is ours."""

import signal
import subprocess
import sys

import pytest

from tests import beside
from tests.dataplane.test_linux import everything
from tests.topology.process import ROOT, Office

pytestmark = pytest.mark.netns


def test_a_purge_waits_for_the_daemons_end_and_then_takes_exactly_what_is_ours(place: Office) -> None:
    """A daemon too busy to answer within two seconds counted as one that does not run: its kernel was purged."""
    theirs = (
        "ip -6 route add 2001:db8:77::/48 via 2001:db8:a::1",
        "ip nexthop add id 7 dev isp",
        "nft add table ip6 t",
    )
    place.register()
    for words in theirs:
        place.net.run("ha", *words.split())
    command = ["ip", "netns", "exec", place.net.name("ha"), sys.executable, "-m", "ha", "--config", str(place.config)]

    def purge() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, "purge"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)

    place.process.send_signal(signal.SIGSTOP)
    refused = purge()
    place.process.send_signal(signal.SIGCONT)
    assert (refused.returncode, "would put everything back" in refused.stderr) == (5, True)
    assert place.status()["cache"]["in_kernel"] == 1
    place.stop()
    done = purge()
    gone = 2 + beside.customers()  # one is the self-test's
    assert (done.returncode, f"with {gone} customer(s)" in done.stdout) == (0, True)
    left = "".join(everything(place.net, "ha"))
    for mark in ("proto 208", "2001:db8:f0", "100::", "xsp_ha", str(0x20000000)[:4]):
        assert mark not in left
    assert "2001:db8:77::/48" in left and "id 7 dev isp" in left and "table ip6 t\n" in left
    assert "0:\tfrom all lookup local" in left
    assert purge().returncode == 0  # nothing there is no error
