"""Real sites that were told different things are equal again, in a full mesh and in a star with a reflector."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ha.repair import DIGEST_EVERY_S
from lab import build, power
from lab.build import Ready
from lab.lab import Lab
from lab.poll import wait_until
from lab.topology import HUB, SITES, locator
from runtime import control

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
DEADLINE_S = 20.0
CONVERGED_S = 3 * 2 * DIGEST_EVERY_S  # two periods are promised; three times as long on a busy machine
TABLE = "lab_silence"
SILENT_TO = f"""
table inet {TABLE} {{
  chain out {{ type filter hook output priority -400; ip6 daddr {{ %s }} tcp dport 6275 drop; }}
}}
"""
FORGET_TO = f"flush table inet {TABLE}" + SILENT_TO.replace("dport 6275 drop", "dport 6275 reject with tcp reset")


@pytest.fixture
def ready(request: pytest.FixtureRequest) -> Iterator[Ready]:
    with Lab(request.param) as lab:
        yield build.raise_up(lab, lambda text: None, lambda text: None)


def status(ready: Ready, name: str) -> dict[str, Any]:
    return control.ask(ready.lab.layout.run_root / name / "control-ha.sock", "status")


def lines(ready: Ready, site: str) -> list[int]:
    """The BIDs of the customer that a site's kernel forwards to."""
    return [one["bid"] for row in status(ready, site)["bindings"] for one in row["care_of"] if one["in_kernel"]]


def until(condition: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
    wait_until(lambda: None if condition() else what, within_s)


def all_forward(ready: Ready, sites: tuple[str, ...], bids: list[int]) -> Callable[[], bool]:
    return lambda: all(lines(ready, site) == bids for site in sites)


def cut(ready: Ready, line: str, state: str) -> None:
    ready.lab.network.configure(ready.lab.network.topology.isp_of(line).name, [f"link set {line} {state}"])


@pytest.mark.parametrize("ready", ["reference"], indirect=True)
def test_what_a_site_told_only_one_other_reaches_the_third_and_outlives_a_blackout_of_all(ready: Ready) -> None:
    until(all_forward(ready, SITES, [1, 2]), "not every site forwards to both lines")
    ready.lab.network.run("site1", "nft", "-f", "-", stdin=SILENT_TO % locator("site3"))
    cut(ready, "line2", "down")
    until(all_forward(ready, ("site1", "site2"), [1]), "site2 was not told that line 2 is gone")
    ready.lab.processes.send("mr-xsp-mr", signal.SIGSTOP)  # it tells nobody anything in what follows
    ready.lab.processes.kill("site1-xsp-ha")
    until(all_forward(ready, ("site2", "site3"), [1]), "site3 does not know that line 2 is gone", CONVERGED_S)
    assert status(ready, "site2")["counters"]["records_repaired"] >= 1

    saved = ready.lab.layout.state_root / "site2" / "snapshot"
    before = saved.stat().st_mtime_ns
    until(lambda: saved.stat().st_mtime_ns != before, "site2 writes no snapshot")
    power.off(ready.lab, SITES)
    power.on(ready.lab, SITES)
    ready.lab.wait_for_sites()
    until(all_forward(ready, SITES, [1]), "a site does not know the binding that it had before the blackout")


@pytest.mark.parametrize("ready", ["star"], indirect=True)
def test_sites_that_know_only_a_reflector_are_equal_also_when_it_dies_in_the_middle_of_a_change(ready: Ready) -> None:
    until(all_forward(ready, SITES, [1, 2]), "not every site forwards to both lines")
    before = status(ready, "site1")
    assert {row["site"]: row["connected"] for row in before["peers"]} == {HUB: True, "site2": None, "site3": None}
    counters = before["counters"]
    late = sum(count for name, count in counters.items() if name.startswith("acknowledged_degraded"))
    assert counters["binding_updates_accepted"] > late, "no answer was vouched for by a site behind the reflector"

    ready.lab.network.run(HUB, "nft", "-f", "-", stdin=SILENT_TO % ", ".join(map(locator, ("site2", "site3"))))
    cut(ready, "line2", "down")
    until(all_forward(ready, ("site1",), [1]), "site1 still forwards to line 2")
    ready.lab.processes.send("mr-xsp-mr", signal.SIGSTOP)  # it tells no other site
    ready.lab.processes.kill(f"{HUB}-xsp-ha")
    assert lines(ready, "site3") == [1, 2]
    assert all(ready.lab.directly_reachable(site) for site in SITES)  # whoever hears nobody stays announced

    # Its kernel would still deliver what the dead process had said, once it may: make it forget.
    ready.lab.network.run(HUB, "nft", "-f", "-", stdin=FORGET_TO % ", ".join(map(locator, ("site2", "site3"))))
    until(lambda: not ready.lab.network.run(HUB, "ss", "-Htn", "dport", "=", ":6275"), "its kernel forgets nothing")
    ready.lab.network.run(HUB, "nft", "delete", "table", "inet", TABLE)
    ready.lab.start_program(HUB, "xsp-ha")
    until(all_forward(ready, SITES, [1]), "not all sites know that line 2 is gone", CONVERGED_S)
    assert status(ready, HUB)["healthy"]
    ready.lab.processes.send("mr-xsp-mr", signal.SIGCONT)

    cut(ready, "line2", "up")
    until(all_forward(ready, SITES, [1, 2]), "line 2 is not back at all sites")
