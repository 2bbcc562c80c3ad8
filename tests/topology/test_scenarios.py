"""The whole product in one lab: every scenario, judged by packets and the ISPs' routing tables.

The bounds are three times those of the scenarios (this may be a busy machine); order, sites and class of loss are not
relaxed.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import UnionType

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from lab import build, scenario
from lab import isp as provider
from lab.build import Ready
from lab.engine import Engine, Outcome
from lab.lab import Lab
from lab.poll import wait_until
from lab.programs import ROOT
from lab.topology import AGGREGATE, SITES, locator

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
RELAXED = 3.0
DEADLINE_S = 10.0
SITE = SITES[0]
CAPACITY_MBIT_S = 5
FLOOD_HZ = 1000.0  # datagrams of 1400 octets: more than twice of that


@pytest.fixture(scope="module")
def ready() -> Iterator[Ready]:
    """One lab for all: every scenario begins with a look at the healthy state and ends in it."""
    with Lab() as lab:
        yield build.raise_up(lab, lambda text: None, lambda text: None, prepare=with_a_narrow_line)


def with_a_narrow_line(lab: Lab) -> None:
    """The first site knows what its line carries: far more than the scenarios send."""
    with (lab.layout.etc(SITE) / "ha.toml").open("a") as file:
        file.write(f"\n[load]\ncapacity_mbit_s = {CAPACITY_MBIT_S}\n")


def run(ready: Ready, name: str) -> list[Outcome]:
    chosen = scenario.relaxed(scenario.load(scenario.find(name)), RELAXED)
    prober = build.prober(ready.lab, chosen.probes)
    prober.start()
    try:
        return Engine(ready.lab, ready.hands, prober.ledger).run(chosen, lambda step: None, lambda outcome: None)
    finally:
        prober.stop()


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in scenario.SCENARIOS.glob("*.toml") if path.stem != "story")
)
def test_a_scenario_comes_out_as_it_says(ready: Ready, name: str) -> None:
    outcomes = run(ready, name)
    failed = [f"{row.do} {row.on} {row.direction}: {row.why}" for one in outcomes for row in one.rows if not row.ok]
    assert failed == []


def test_a_new_customer_table_disturbs_nobody(ready: Ready, tmp_path: Path) -> None:
    file = tmp_path / "publish.toml"
    file.write_text(
        'name = "publish"\n'
        '[[probe]]\nfrom = "cn1"\nto = "lan1"\nrate_hz = 200\n'
        '[[step]]\ndo = "publish"\nexpect = { loss_max = 0, serves = "site1", line = ["line1", "line2"] }\n'
    )
    assert all(outcome.ok for outcome in run(ready, str(file)))


def heard_of_sessions(lab: Lab) -> dict[str, tuple[int, int, int]]:
    """Of each site's session at its ISP: how often it came up, messages of change received, notifications received."""
    found = {}
    for site in SITES:
        directory = lab.layout.frr(lab.network.topology.isp_of(site).name)
        row = json.loads(provider.vtysh(directory, f"show bgp neighbors {locator(site)} json"))[locator(site)]
        messages = row["messageStats"]
        found[site] = (row["connectionsEstablished"], messages["updatesRecv"], messages["notificationsRecv"])
    return found


def test_a_change_of_customers_and_keys_is_no_event_to_a_neighbour(ready: Ready, tmp_path: Path) -> None:
    """That files stay the same and no packet is lost was seen; a session might all the same have come anew."""
    lab, office = ready.lab, ready.office
    before = heard_of_sessions(lab)
    assert all(established and updates for established, updates, _ in before.values())

    office.xsp("customer", "add", "office2", "--uplink", "line1")
    office.publish(SITES)
    certificate = json.loads(office.xsp("site", "issue-certificate", SITE, "--json"))["serial"]
    office.render([SITE])
    office.xsp("customer", "suspend", "office2")
    office.publish(SITES)
    version = json.loads(lab.layout.customer_table(SITE).read_text().splitlines()[0])["version"]

    def missing() -> str | None:
        for site in SITES:
            config = str(lab.layout.etc(site) / "ha.toml")
            words = [lab.programs.path("xsp-ha"), "--config", config, "status", "--json"]
            said = json.loads(subprocess.run(words, capture_output=True, check=False, timeout=30).stdout)
            if said["customer_table"]["version"] != version:
                return f"{site} has not read the new table"
            if site == SITE and said["credentials"]["certificate"] != certificate:
                return f"{site} has not read its new key"
        return None

    wait_until(missing, 2 * DEADLINE_S)
    assert heard_of_sessions(lab) == before


def path_of_the_site(lab: Lab) -> str:
    """The AS path of the aggregate as the site's ISP has it from the site."""
    directory = lab.layout.frr(lab.network.topology.isp_of(SITE).name)
    paths = json.loads(provider.vtysh(directory, f"show bgp ipv6 unicast {AGGREGATE} json")).get("paths", [])
    return "".join(path["aspath"]["string"] for path in paths if path["peer"]["peerId"] == locator(SITE))


def test_the_isp_of_a_loaded_site_hears_a_longer_path_until_the_load_is_gone(ready: Ready) -> None:
    """RFC 4908 3.2: what was decided could be read in the status, and no neighbour had ever been seen to hear it."""
    lab = ready.lab
    isp = lab.network.topology.isp_of(SITE).name
    wait_until(lambda: None if path_of_the_site(lab) == "64500" else "the path is not the plain one", DEADLINE_S)
    with lab.network.inside(isp, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as sender:
        sent_at = time.monotonic()

        def loaded() -> str | None:
            nonlocal sent_at
            last, sent_at = sent_at, time.monotonic()
            for _ in range(int((sent_at - last) * FLOOD_HZ)):
                sender.sendto(bytes(1400), (locator(SITE), 9))
            if path_of_the_site(lab) != "64500 64500 64500":
                return "the path is not longer"
            # It has heard of it a moment before it chooses another way.
            return "its ISP still prefers this way" if lab.directly_reachable(SITE) else None

        wait_until(loaded, DEADLINE_S, pause_s=0.02)
    wait_until(lambda: None if path_of_the_site(lab) == "64500" else "the path is still longer", 2 * DEADLINE_S)
    wait_until(lambda: None if lab.directly_reachable(SITE) else "its ISP does not come back", DEADLINE_S)


def test_a_drained_site_tells_when_it_may_be_stopped_and_later_who_put_it_back(ready: Ready) -> None:
    lab, config = ready.lab, str(ready.lab.layout.etc(SITE) / "ha.toml")

    def xsp_ha(*words: str) -> subprocess.CompletedProcess[str]:
        command = [lab.programs.path("xsp-ha"), "--config", config, *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)

    prober = build.prober(lab, (scenario.ProbeStream("cn1", "lan1", 200.0),))
    prober.start()
    try:
        drained = xsp_ha("drain", "--wait", "--reason", "new disk")
        assert not lab.directly_reachable(SITE), "its ISP has no route there"
    finally:
        back = xsp_ha("undrain", "--reason", "disk is in")
        prober.stop()
    assert (drained.returncode, back.returncode) == (0, 0), drained.stdout + drained.stderr
    assert "drained, nothing arrives any more; it may be stopped" in drained.stdout
    wait_until(lambda: None if lab.directly_reachable(SITE) else "its ISP does not come back", DEADLINE_S)
    said = "put back in service by the operator"
    for program, file in (("xsp-ha", "ha.toml"), ("xsp-bgp", "bgp.toml")):
        words = [lab.programs.path(program), "--config", str(lab.layout.etc(SITE) / file), "status", "--json"]
        told = json.loads(subprocess.run(words, capture_output=True, text=True, check=False, timeout=30).stdout)
        assert any(said in row["reason"] and "disk is in" in row["reason"] for row in told["history"]), told["history"]


@pytest.mark.parametrize(
    ("program", "instance", "file"),
    [
        ("xsp-ha", "site1", "ha.toml"),
        ("xsp-bgp", "site1", "bgp.toml"),
        ("xsp-mr", "office1", "mr.toml"),
        ("xsp-lab", "", ""),
    ],
)
def test_every_program_tells_its_status_in_the_agreed_form(
    ready: Ready, program: str, instance: str, file: str
) -> None:
    if program == "xsp-lab":
        words = [sys.executable, "-m", "lab", "status", "--lab", ready.lab.folder.id, "--json"]
    else:
        config = str(ready.lab.layout.etc(instance) / file)
        words = [ready.lab.programs.path(program), "--config", config, "status", "--json"]
    said: list[str] = []

    def missing() -> str | None:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
        said[:] = [done.stdout]
        return None if done.returncode == 0 else f"{program} is not healthy: {done.stdout}{done.stderr}"

    wait_until(missing, DEADLINE_S)
    status = json.loads(said[0])
    kinds: dict[str, type | UnionType] = {"v": int, "reasons": list, "counters": dict, "since_s": float | int}
    kinds |= dict.fromkeys(("program", "instance", "version", "state"), str)
    assert {key: isinstance(status[key], kind) for key, kind in kinds.items()} == dict.fromkeys(kinds, True)
    assert (status["v"], status["program"]) == (1, program)
    assert all(isinstance(reason, str) for reason in status["reasons"])
    assert all(isinstance(count, int) for count in status["counters"].values())


@pytest.mark.parametrize(
    ("program", "instance", "file", "expected"),
    [
        ("xsp-ha", "site1", "ha.toml", {"xsp_ha_state": "ANNOUNCED", "xsp_ha_peer_connected": "site2"}),
        ("xsp-bgp", "site1", "bgp.toml", {"xsp_bgp_state": "announced", "xsp_bgp_session_established": ""}),
        ("xsp-mr", "office1", "mr.toml", {"xsp_mr_state": "registered", "xsp_mr_line_registered": "line2"}),
    ],
)
def test_every_daemon_gives_prometheus_what_it_measures(
    ready: Ready, program: str, instance: str, file: str, expected: dict[str, str]
) -> None:
    config = str(ready.lab.layout.etc(instance) / file)
    words = [ready.lab.programs.path(program), "--config", config, "metrics"]
    prefix = program.replace("-", "_")
    samples: list[Sample] = []

    def missing() -> str | None:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        samples[:] = [one for family in text_string_to_metric_families(done.stdout) for one in family.samples]
        named = {one.value for one in samples if one.name in (f"{prefix}_up", f"{prefix}_healthy")}
        return None if named == {1.0} else f"{program} says that it is not healthy"

    wait_until(missing, DEADLINE_S)  # a busy machine misses a renewal of the lease now and then
    assert all(sample.name.startswith(prefix) for sample in samples)
    assert any(sample.name.endswith("_total") for sample in samples)
    for name, label in expected.items():
        found = [one for one in samples if one.name == name and (not label or label in one.labels.values())]
        assert [one.value for one in found] == [1.0]
