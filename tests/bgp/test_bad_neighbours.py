"""What a neighbour should not do: send its whole table, reset its session every second. No announcement may suffer."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bgp.site_and_isp import FRR_CONFIGURATION, ISP, LOCATOR, ROOT, Site, run, wait_for

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
    pytest.mark.timeout(120),
]
ROUTES = 20_000
GROWTH_MAX_KB = 8 * 1024  # of ExaBGP while it hears them; one that keeps them grows by several times as much
RESETS, BACK_S = 4, 10.0
FEEDER, FEEDER_AS = "2001:db8:1:a::9", 64510
INTERNET = f"""
 neighbor {FEEDER} remote-as {FEEDER_AS}
 neighbor {FEEDER} passive
 no bgp ebgp-requires-policy
 address-family ipv6 unicast
  neighbor {FEEDER} activate
 exit-address-family
"""


class GenerousIsp(Site):
    """An ISP that hears the Internet, and forgot the filter towards us. `holder`: of the lease, once announced."""

    holder: subprocess.Popen[bytes]

    def frr_configuration(self) -> str:
        return FRR_CONFIGURATION.replace("route-map OUT deny", "route-map OUT permit") + INTERNET

    def announce(self) -> None:
        self.start_supervisor()
        wait_for("the session is up", self.is_connected, 20, 0.1)
        self.holder = self.start_holder(60_000)
        wait_for("the neighbour hears the aggregate", self.is_announced)

    def feed(self) -> None:
        """Give the ISP the routes of the Internet, as a router on the same link."""
        run("ip", "-n", self.site, "address", "add", f"{FEEDER}/64", "dev", "isp", "nodad")
        self.start(self.site, sys.executable, "-m", "tests.bgp.feeder", FEEDER, ISP, str(ROUTES), cwd=ROOT)

    def told(self) -> int:
        """How many prefixes the ISP has told us."""
        return int(self.ask("ipv6 unicast summary json").get("peers", {}).get(LOCATOR, {}).get("pfxSnt", 0))

    def unread(self) -> int:
        """Octets of the ISP that ExaBGP has not read yet, as its kernel says."""
        words = f"ss -Htn state established src [{LOCATOR}] dst [{ISP}] dport = 179"
        rows = run("ip", "netns", "exec", self.site, *words.split()).splitlines()
        return sum(int(row.split()[0]) for row in rows)

    def sessions(self) -> int:
        """How often the session came up, as the ISP counts."""
        return int(self.ask(f"neighbors {LOCATOR} json")[LOCATOR]["connectionsEstablished"])

    def ask(self, what: str) -> dict[str, Any]:
        reply = run("vtysh", "--vty_socket", str(self.directory / "frr"), "-c", f"show bgp {what}", check=False)
        document: dict[str, Any] = json.loads(reply) if reply.startswith("{") else {}
        return document

    def reset(self) -> None:
        """As an operator of the ISP would; and a second passes."""
        run("vtysh", "--vty_socket", str(self.directory / "frr"), "-c", f"clear bgp ipv6 unicast {LOCATOR}")
        time.sleep(1.0)


@pytest.fixture(scope="module")
def generous() -> Iterator[GenerousIsp]:
    """Announced."""
    directory = Path(tempfile.mkdtemp(prefix="xsp-bgp-"))
    directory.chmod(0o755)
    place = GenerousIsp(directory)
    try:
        place.build()
        place.announce()
        yield place
    finally:
        place.close()
        shutil.rmtree(directory, ignore_errors=True)


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def processes(site: Site) -> tuple[int, int]:
    document = wait_for("the bridge is known", lambda: (s := site.status()).get("lease", {}).get("bridge") and s)
    return document["exabgp"]["pid"], document["lease"]["bridge"]


def test_a_neighbour_that_sends_its_whole_table_moves_nothing_and_fills_no_memory(generous: GenerousIsp) -> None:
    site = generous
    before = processes(site)
    before_kb = resident_kb(before[0])
    site.feed()

    def all_told() -> bool:
        assert site.is_announced()
        return site.told() >= ROUTES

    wait_for("the whole table is sent", all_told, 60, 0.1)
    site.wish(site.holder, "depreference")  # behind the table in no queue
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 3)
    site.wish(site.holder, "announce")
    wait_for("it is announced again", site.is_announced, 3)
    wait_for("ExaBGP has read it all", lambda: site.unread() == 0, 30, 0.1)
    assert resident_kb(before[0]) - before_kb < GROWTH_MAX_KB
    assert processes(site) == before
    assert site.sessions() == 1


def test_a_session_that_its_neighbour_resets_every_second_leaves_nothing_stuck(generous: GenerousIsp) -> None:
    """The neighbour of the test before: with each session comes its whole table again."""
    site = generous
    before, sessions = processes(site), site.sessions()
    for _ in range(RESETS):
        site.reset()
    wait_for("it is announced again", site.is_announced, BACK_S)
    wait_for("it is shown as sent again", lambda: site.status()["neighbours"][0]["sent"], BACK_S, 0.1)
    assert site.sessions() > sessions + 1
    site.wish(site.holder, "withdraw")
    wait_for("the withdraw is heard", site.is_withdrawn, 3)
    site.reset()
    wait_for("the session is up", site.is_connected, BACK_S, 0.1)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert site.is_withdrawn(), "a new session brings no old route"
    assert processes(site) == before
    ends = [entry for entry in site.status()["history"] if entry["what"] == ISP and entry["after"] == "down"]
    assert len(ends) > RESETS
    assert any("Administrative Reset" in entry["reason"] for entry in ends), ends
    wait_for("nothing is shown as sent", lambda: site.status()["neighbours"][0]["sent"] == [], BACK_S, 0.1)
