"""`xsp-bgp reload` with ExaBGP and two FRR neighbours: a change of one never touches the other."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bgp.running import DIRECTORY
from tests.bgp.site_and_isp import wait_for
from tests.bgp.two_isps import BLOCK, SECOND, TwoIsps, block, terms

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def site() -> Iterator[TwoIsps]:
    """Announced to its first neighbour."""
    directory = Path(tempfile.mkdtemp(prefix="xsp-bgp-"))
    directory.chmod(0o755)
    place = TwoIsps(directory)
    try:
        place.build()
        place.start_supervisor()
        wait_for("the session is up", place.is_connected, 20, 0.1)
        place.start_holder(60_000)
        wait_for("the neighbour hears the aggregate", place.is_announced)
        yield place
    finally:
        place.close()
        shutil.rmtree(directory, ignore_errors=True)


def pids(site: TwoIsps) -> tuple[int, int]:
    document = wait_for("the bridge is known", lambda: (s := site.status()).get("lease", {}).get("bridge") and s)
    return document["exabgp"]["pid"], document["lease"]["bridge"]


def communities(site: TwoIsps) -> list[str]:
    path = site.heard_by("second")
    return path["community"]["list"] if path else []


def test_neighbours_come_change_and_go_and_the_other_session_never_hears_of_it(site: TwoIsps) -> None:
    processes, first = pids(site), site.session("frr")
    site.configure(block(), terms=terms('communities = ["64500:9"]'))
    assert site.reload() == (0, f"added {SECOND}\n")
    wait_for("the second hears the aggregate", lambda: communities(site) == ["64500:7", "64500:9"])
    assert site.session()[0] == 1
    assert site.reload() == (0, "no session touched\n")

    site.configure(block(), terms=terms('communities = ["64500:8"]', "prepend = 1"))
    assert site.reload() == (0, "no session touched\n")
    wait_for("its new terms are heard", lambda: communities(site) == ["64500:7", "64500:8"])
    assert site.session()[0] == 1, "attributes are no reason to end a session"

    site.configure(block("outgoing-ttl 255;"), terms=terms())
    assert site.reload() == (0, f"changed {SECOND}\n")
    wait_for("the second is back", lambda: site.session()[0] == 2 and communities(site) == ["64500:7"])

    site.configure(block("outgoing-ttl 255;", autonomous_system=64509), terms=terms(autonomous_system=64509))
    assert site.reload() == (0, f"changed {SECOND}\n")
    wait_for("the second is gone", lambda: site.heard_by("second") is None)
    complaint = f"the session with {SECOND} (AS 64509) is not established"
    wait_for("the status says so", lambda: complaint in "; ".join(site.status()["reasons"]), 10, 0.1)
    site.configure(block(), terms=terms())
    assert site.reload()[0] == 0
    wait_for("the right AS number is used", lambda: communities(site) == ["64500:7"], 20)

    site.configure()
    assert site.reload() == (0, f"removed {SECOND}\n")
    wait_for("the second is gone", lambda: site.heard_by("second") is None)
    wait_for("all is well", lambda: site.status()["healthy"], 10, 0.1)
    assert pids(site) == processes
    assert site.session("frr") == first, "one session, and not one more update"


def test_what_is_wrong_changes_nothing_and_is_told(site: TwoIsps) -> None:
    site.configure(block(), terms=terms())
    assert site.reload()[0] == 0
    wait_for("the second hears the aggregate", lambda: communities(site) != [])
    processes, sessions = pids(site), (site.session("frr"), site.session())
    wrong = {
        "ExaBGP refuses": (block("hold-time x;"), terms()),
        "has no end": (block().rpartition("}")[0], terms()),
        "differ about the neighbour": ("", terms()),
        "bgp.toml: neighbour.1.as": (block(), terms(autonomous_system=0)),
        "differs in orphan_hold_s": (block(), "\norphan_hold_s = 7\n"),
        "differs in more than neighbours": (block() + "\ntemplate { neighbor x { hold-time 9; } }\n", terms()),
    }
    for said, (text, tables) in wrong.items():
        site.configure(text, terms=tables)
        if "orphan" in said:
            site.config.write_text(tables + site.config.read_text().replace(tables, terms()))
        status, told = site.reload()
        assert status == 1
        assert said in told
        assert len(told.splitlines()) == 2, "what, and what to do"
    site.config.unlink()
    assert site.reload()[0] == 1
    site.configure(block(), terms=terms())
    assert pids(site) == processes
    assert (site.session("frr"), site.session()) == sessions


def test_a_new_site_and_its_end_are_heard_of_without_touching_a_session(site: TwoIsps) -> None:
    """After `xsp site add`, every reload was refused until a restart, which ends all sessions."""
    processes, first = pids(site), site.session("frr")
    text = site.config.read_text()
    more = text.replace(
        "[[neighbour]]", '[[fellows.site]]\nname = "site3"\nlocator = "2001:db8:3:a::10"\n[[neighbour]]', 1
    )
    site.config.write_text(more)
    assert site.reload() == (0, "no session touched\n")
    assert [one["site"] for one in site.status()["other_sites"]] == ["site2", "site3"]
    site.start_other_site()
    wait_for("who was there is heard", lambda: site.status()["other_sites"][0]["announces"], 5, 0.1)
    alone = text.partition("[fellows]")[0] + "[[neighbour]]" + text.partition("[[neighbour]]")[2]
    site.config.write_text(alone)
    assert site.reload()[0] == 0
    assert site.status()["other_sites"] == []
    site.config.write_text(text)
    assert site.reload()[0] == 0
    wait_for("it is heard again", lambda: site.status()["other_sites"][0]["announces"], 5, 0.1)
    site.config.write_text(text.replace('key_file = "sites.key"', 'key_file = "none.key"'))
    status, told = site.reload()
    assert (status, "none.key, cannot be read" in told) == (1, True)
    assert site.status()["other_sites"][0]["announces"]
    blocked = site.directory / "run" / DIRECTORY / "bgp.toml.new"
    blocked.mkdir()
    site.config.write_text(more)
    status, told = site.reload()
    assert (status, "cannot be written" in told) == (1, True)
    assert [one["site"] for one in site.status()["other_sites"]] == ["site2"], "refused, and spoke to the new site"
    blocked.rmdir()
    assert pids(site) == processes
    assert site.session("frr") == first


def test_a_bridge_respawned_between_rendering_and_reload_still_knows_who_has_our_route(site: TwoIsps) -> None:
    site.configure(block(), terms=terms())
    assert site.reload()[0] == 0
    wait_for("the second hears the aggregate", lambda: communities(site) != [])
    site.configure()  # without the second, and not reloaded
    exabgp, bridge = pids(site)
    withdrawn = site.log.read_text().count("withdraw confirmed")
    os.kill(bridge, signal.SIGKILL)
    wait_for("a bridge is respawned", lambda: site.status()["lease"]["bridge"] not in (None, bridge), pause_s=0.1)
    wait_for("both hear the aggregate", lambda: site.is_announced() and communities(site) != [])
    wait_for("the holder is back", lambda: site.status()["state"] == "announced", pause_s=0.1)
    assert site.log.read_text().count("withdraw confirmed") == withdrawn, "it stayed as it was"
    assert site.reload() == (0, f"removed {SECOND}\n")
    wait_for("the second is gone", lambda: site.heard_by("second") is None)
    assert pids(site)[0] == exabgp


def test_sighup_reloads_as_well(site: TwoIsps) -> None:
    supervisor = next(one for one in site.processes if isinstance(one.args, list) and str(site.program) in one.args)
    site.configure(block("hold-time x;"), terms=terms())
    supervisor.send_signal(signal.SIGHUP)
    wait_for("it is refused in the log", lambda: "the changed configuration is not used" in site.log.read_text())
    site.configure(block(), terms=terms())
    supervisor.send_signal(signal.SIGHUP)
    wait_for("the second hears the aggregate", lambda: communities(site) != [], 20)


def test_where_no_session_stays_exabgp_is_replaced_after_a_withdraw(site: TwoIsps) -> None:
    exabgp, _ = pids(site)
    site.configure(first=BLOCK.replace("hold-time 3", "hold-time 6"))
    before = site.log.read_text().count("withdraw confirmed")
    status, told = site.reload()
    assert (status, told.startswith("changed ")) == (0, True)
    wait_for("it is announced again", site.is_announced, 20)
    assert pids(site)[0] != exabgp
    assert site.log.read_text().count("withdraw confirmed") > before
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert site.is_announced()
