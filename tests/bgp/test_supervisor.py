"""`xsp-bgp run` with ExaBGP, against FRR: what the neighbour hears when leases, processes and wishes come and go."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bgp.supervisor import HISTORY
from tests.bgp.site_and_isp import AGGREGATE, Site, wait_for

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
    pytest.mark.timeout(90),
]


def announced(site: Site, linger_ms: int) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Start everything; returns supervisor and holder once the neighbour hears the aggregate."""
    supervisor = site.start_supervisor()
    wait_for("the session is up", site.is_connected, 20, 0.1)
    holder = site.start_holder(linger_ms)
    wait_for("the neighbour hears the aggregate", site.is_announced)
    return supervisor, holder


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def is_gone(pid: int) -> bool:
    try:
        return status_of(pid)["State"].startswith("Z")
    except OSError:
        return True


def bridges(site: Site) -> list[int]:
    """The process ids of those that have answered, as the log has them."""
    return list(map(int, re.findall(r'event="bridge answers" .*pid=(\d+)', site.log.read_text())))


def test_renewals_announce_and_silence_depreferences_then_withdraws(site: Site) -> None:
    site.start_other_site()
    _, holder = announced(site, linger_ms=1500)
    path = site.heard()
    assert path is not None
    assert (path["aspath"]["string"], path["metric"], path["community"]["list"]) == ("64500 64500", 50, ["64500:7"])
    document = wait_for("all is settled", lambda: (s := site.status()).get("healthy") and s, pause_s=0.1)
    assert (document["state"], document["confirmed"]) == ("announced", [AGGREGATE])
    sent = [f"{AGGREGATE} as-path 64500 64500 med 50 community 64500:7"]
    wait_for("what was sent is shown", lambda: site.status()["neighbours"][0]["sent"] == sent)

    holder.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 3)
    assert time.monotonic() - stopped_at < 1.0
    assert not site.status()["healthy"]
    wait_for("the withdraw is heard", site.is_withdrawn, 5)
    assert 1.5 < time.monotonic() - stopped_at < 3.5

    holder.send_signal(signal.SIGCONT)
    wait_for("the holder is back", site.is_announced)


def test_a_site_that_may_be_the_last_stays_without_a_lease_until_another_is_heard(site: Site) -> None:
    _, holder = announced(site, linger_ms=300)
    holder.kill()
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 3)
    wait_for("the brake is told", lambda: any("brake" in reason for reason in site.status()["reasons"]), 5, 0.1)
    assert site.is_depreferenced()
    site.start_other_site()
    wait_for("the withdraw is heard", site.is_withdrawn, 5)
    document = site.status()
    assert document["other_sites"][0]["announces"]
    told = [(entry["what"], entry["before"], entry["after"], entry["by"]) for entry in document["history"]]
    assert ("announcement", "announced", "lingering", "bridge") in told
    assert told[-1] == ("announcement", "lingering", "withdrawn", "bridge")
    assert document["history"][-1]["reason"].endswith("another site announces now")


def test_a_killed_holders_successor_resumes_without_a_withdraw(site: Site) -> None:
    _, holder = announced(site, linger_ms=60_000)
    holder.kill()
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 3)
    before = site.log.read_text().count("withdraw confirmed")
    site.start_holder(60_000)
    wait_for("the successor is heard", site.is_announced)
    assert site.log.read_text().count("withdraw confirmed") == before


def test_a_holder_depreferences_as_long_as_it_likes_and_withdraws_at_once(site: Site) -> None:
    _, holder = announced(site, linger_ms=300)
    site.wish(holder, "depreference")
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 3)
    deadline = time.monotonic() + 1.5  # five lingers
    while time.monotonic() < deadline:
        assert site.is_depreferenced()
    site.wish(holder, "withdraw")
    wait_for("the withdraw is heard", site.is_withdrawn, 3)


def test_a_killed_or_stopped_bridge_is_replaced_and_one_that_stops_again_takes_exabgp_with_it(site: Site) -> None:
    announced(site, linger_ms=60_000)
    document = wait_for("the bridge is known", lambda: (s := site.status()).get("lease", {}).get("bridge") and s)
    exabgp, bridge = document["exabgp"]["pid"], document["lease"]["bridge"]

    os.kill(bridge, signal.SIGKILL)
    wait_for("a bridge is respawned", lambda: site.status()["lease"]["bridge"] not in (None, bridge), pause_s=0.1)
    wait_for("it announces again", site.is_announced)
    assert site.status()["exabgp"]["pid"] == exabgp
    assert site.log.read_text().count("after='inherited' reason='ExaBGP has routes of a bridge before this one'") == 1
    assert site.log.read_text().count("withdraw confirmed") == 1, "of the first bridge, before it announced"
    [end] = [one for one in site.status()["history"] if one["what"] == "bridge" and one["after"] == "none"]
    assert "somebody killed it" in end["reason"]
    assert end["lasted_s"] > 0.5

    bridge, answered = site.status()["lease"]["bridge"], len(bridges(site))
    os.kill(bridge, signal.SIGSTOP)
    wait_for("the stopped bridge is killed", lambda: is_gone(bridge), 5)
    bridge = wait_for("another answers", lambda: bridges(site)[answered:], 10)[0]
    os.kill(bridge, signal.SIGSTOP)  # at once: one that was well for three seconds would be killed alone again
    assert not is_gone(exabgp), "its sessions live"
    wait_for("the second time ExaBGP is killed", lambda: is_gone(exabgp), 5)
    wait_for("the stopped bridge is gone with it", lambda: is_gone(bridge), 3)
    wait_for("the log says why", lambda: "the bridge does not answer" in site.log.read_text(), 5)
    wait_for("a new ExaBGP announces", site.is_announced, 20)


def test_a_holder_that_died_with_a_deaf_bridge_is_not_waited_for_a_whole_lease(site: Site) -> None:
    """Bridge stopped and home agent killed: the next one granted a lease more, on top of half a second of deafness."""
    _, holder = announced(site, linger_ms=60_000)
    bridge = wait_for("the bridge is known", lambda: site.status().get("lease", {}).get("bridge"))
    os.kill(bridge, signal.SIGSTOP)
    holder.kill()
    wait_for("the neighbour hears it depreferenced", site.is_depreferenced, 10)


def test_a_stopped_exabgp_is_killed_and_started_anew(site: Site) -> None:
    announced(site, linger_ms=60_000)
    exabgp = site.status()["exabgp"]["pid"]
    os.kill(exabgp, signal.SIGSTOP)
    wait_for("ExaBGP is killed", lambda: is_gone(exabgp), 5)
    wait_for("the neighbour noticed", lambda: site.is_withdrawn() or site.status()["exabgp"]["pid"] != exabgp, 5)
    wait_for("a new ExaBGP announces", site.is_announced, 20)
    assert site.status()["counters"]["exabgp_ends_total{killed}"] == 1


def test_a_planned_stop_depreferences_withdraws_and_leaves_nothing(site: Site) -> None:
    """It withdrew after a second, too, when the neighbour held back for longer what it had heard before."""
    site.config.write_text(site.config.read_text() + "mrai_s = 1\n")  # of the neighbour, the last table
    supervisor, _ = announced(site, linger_ms=60_000)
    document = site.status()
    supervisor.terminate()
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 3)
    heard_at = time.monotonic()
    wait_for("the withdraw is heard", site.is_withdrawn, 5)
    assert time.monotonic() - heard_at > 1.8
    assert supervisor.wait(10) == 0
    assert is_gone(document["exabgp"]["pid"])
    assert is_gone(document["lease"]["bridge"])
    assert not (site.directory / "run" / "control-bgp.sock").exists()
    entries = [json.loads(one) for one in (site.directory / "state" / HISTORY).read_text().splitlines()]
    assert [one["what"] for one in entries[-2:]] == ["bridge", "ExaBGP"]
    assert entries[-1]["reason"] == "xsp-bgp was asked to stop"
    assert entries[-1]["lasted_s"] > 1.8
    assert "withdraw confirmed" in site.log.read_text().rsplit("withdrawing before the stop", 1)[1]


def test_traffic_comes_back_after_the_failback_time_only_whoever_died(site: Site) -> None:
    """Each new bridge knew of no failure: after ExaBGP's death, or its supervisor's, it announced at once."""
    site.config.write_text("failback_s = 600\n" + site.config.read_text())
    supervisor, _ = announced(site, linger_ms=60_000)
    os.kill(site.status()["exabgp"]["pid"], signal.SIGKILL)
    wait_for("it is held back", lambda: site.status().get("state") == "held", 20, 0.1)
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 10)
    killed = site.status()["lease"]["bridge"]
    os.kill(killed, signal.SIGKILL)
    wait_for("another bridge answers", lambda: site.status()["lease"]["bridge"] not in (None, killed), 10, 0.1)
    wait_for("it is held back, too", lambda: site.status().get("state") == "held", 5, 0.1)
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for("all is gone", site.is_withdrawn, 10)
    site.start_supervisor()
    wait_for("it is still held back", lambda: site.status().get("state") == "held", 20, 0.1)
    wait_for("GRACEFUL_SHUTDOWN is heard again", site.is_depreferenced, 10)


def test_exabgp_and_bridge_have_no_rights_and_die_with_the_supervisor(site: Site) -> None:
    supervisor, _ = announced(site, linger_ms=60_000)
    document = site.status()
    exabgp, bridge = document["exabgp"]["pid"], document["lease"]["bridge"]
    for pid in (exabgp, bridge):
        rights = status_of(pid)
        assert set(rights["Uid"].split()) == {"65534"}
        assert set(rights["Groups"].split()) <= {"65534"}
        assert {int(rights[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {0}
        assert rights["NoNewPrivs"] == "1"
    lease = site.directory / "run" / "lease.sock"
    assert (lease.stat().st_mode & 0o777, lease.stat().st_uid) == (0o600, 0)

    os.kill(supervisor.pid, signal.SIGKILL)
    wait_for("both are gone", lambda: is_gone(exabgp) and is_gone(bridge), 3)
    wait_for("the neighbour dropped the aggregate", site.is_withdrawn, 5)
    site.start_supervisor()
    history = wait_for("the next supervisor answers", lambda: site.status().get("history"), 10, 0.1)
    assert history[: len(document["history"])] == document["history"], "what led to the kill is told after it"


def test_what_cannot_run_is_refused_before_the_start(site: Site) -> None:
    site.program.chmod(0o700)
    assert site.start_supervisor().wait(20) == 1
    assert "user nobody cannot run" in site.log.read_text()
    site.program.chmod(0o755)
    file = site.directory / "exabgp.conf"
    file.write_text(file.read_text().replace("hold-time 3", "hold-time x"))
    assert site.start_supervisor().wait(20) == 1
    assert f"ExaBGP refuses {file}" in site.log.read_text()
