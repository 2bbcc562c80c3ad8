"""What should not happen to a site's own speaker: clear words, no stuck announcement, and the first one undisturbed."""

import os
import socket
import subprocess
import sys
import time

import pytest

from bgp import lease
from runtime.exits import CONFLICT
from tests.bgp.site_and_isp import AGGREGATE, ROOT, Site, throughout, wait_for

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
    pytest.mark.timeout(90),
]
LAPSED_S = 0.45 * 3  # a lease that is not renewed; three times the bound, for busy machines
FOREIGN = "2001:db8::/32"

# xsp-bgp, but as long as a file is there the bridge writes rubbish to ExaBGP between its commands.
SPOILT = f"""#!{sys.executable}
import os, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from bgp.__main__ import main

def spoil():
    while True:
        if os.path.exists("DIRECTORY/rubbish"):
            os.write(1, open("DIRECTORY/rubbish", "rb").read())
        time.sleep(0.05)

if "bridge" in sys.argv and "-n" not in sys.argv:
    threading.Thread(target=spoil, daemon=True).start()
sys.exit(main())
"""
RUBBISH = {
    "words that are no command": b"lorem ipsum dolor\n",
    "octets that are no ASCII": b"\xff\xfe\x00\x80 \xc3\x28\n",
    "half a command": b"announce route\nneighbor\n{\n",
    "a line without end": b"x" * 65536,
}


def announced(site: Site, linger_ms: int = 60_000) -> subprocess.Popen[bytes]:
    """Start everything; returns the holder once the neighbour hears the aggregate."""
    site.start_supervisor()
    wait_for("the session is up", site.is_connected, 20, 0.1)
    holder = site.start_holder(linger_ms)
    wait_for("the neighbour hears the aggregate", site.is_announced)
    return holder


def refused(site: Site, why: str) -> int:
    """How many renewals were refused for that reason."""
    return int(site.status().get("counters", {}).get(f"renewals_refused_total{{{why}}}", 0))


def complaint(site: Site) -> str:
    """What `xsp-bgp status` says of whoever is refused."""
    return next((one for one in site.status()["reasons"] if "is refused" in one), "")


def second_start(site: Site, text: str) -> tuple[int, list[str]]:
    """Exit status and words of another `xsp-bgp run` with this configuration."""
    other = site.directory / "other.toml"
    other.write_text(text)
    words = ["ip", "netns", "exec", site.site, str(site.program), "--config", str(other), "run"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr.splitlines()


def test_a_second_xsp_bgp_is_refused_in_two_sentences_and_the_first_never_hears_of_it(site: Site) -> None:
    holder = announced(site)
    before, text = site.status(), site.config.read_text()
    alone = text.partition("[fellows]")[0] + "[[neighbour]]" + text.partition("[[neighbour]]")[2]
    elsewhere = alone.replace('run_directory = "run"', 'run_directory = "elsewhere"')
    wrong = {
        "UDP port 6275": text,
        "control-bgp.sock": alone,
        "another xsp-bgp serves": elsewhere,
    }
    for said, configuration in wrong.items():
        status, words = second_start(site, configuration)
        assert status == CONFLICT
        assert said in words[-2], "what, and then what to do"
    assert site.is_announced()
    assert site.status()["exabgp"] == before["exabgp"]
    holder.kill()
    wait_for("GRACEFUL_SHUTDOWN is heard", site.is_depreferenced, 3)
    site.start_holder(60_000)
    wait_for("a new holder still finds the lease", site.is_announced)


def test_a_second_holder_changes_nothing_until_the_first_ones_lease_has_ended(site: Site) -> None:
    first = announced(site)
    second = site.start_holder(300)
    site.wish(second, "withdraw")
    wait_for("it is refused", lambda: refused(site, "held") > 3, pause_s=0.1)
    throughout(1.0, site.is_announced)
    said = complaint(site)
    assert said.startswith("process ") and "asks for the lease and is refused: process " in said
    assert said.endswith(" holds the lease")
    assert site.log.read_text().count("bridge: lease refused") == 1, "once, not ten times a second"
    first.kill()
    wait_for("the second's wish counts", site.is_withdrawn, 5)


def test_a_prefix_outside_the_aggregates_is_refused_and_its_holder_has_no_lease(site: Site) -> None:
    site.start_supervisor()
    wait_for("the session is up", site.is_connected, 20, 0.1)
    wrong = site.start_holder(60_000, AGGREGATE, FOREIGN)
    wait_for("it is refused", lambda: refused(site, "malformed") > 3, pause_s=0.1)
    document = site.status()
    assert (document["state"], document["confirmed"], document["lease"]["holder"]) == ("withdrawn", [], None)
    assert "nobody holds the lease" in document["reasons"]
    assert f"asks for the lease and is refused: {FOREIGN} is not an aggregate of this site" in complaint(site)
    assert site.log.read_text().count("bridge: lease refused") == 1
    assert site.is_withdrawn()
    wrong.kill()
    site.start_holder(60_000)
    wait_for("the neighbour hears the aggregate", site.is_announced)


def test_lines_that_break_the_contract_renew_no_lease(site: Site) -> None:
    site.start_supervisor()
    wait_for("the session is up", site.is_connected, 20, 0.1)
    routes: list[dict[str, object]] = [{"prefix": AGGREGATE, "communities": [], "med": None, "prepend": 0}]
    good = {"v": 1, "seq": 1, "wanted": "announce", "reason": "test", "linger_ms": 60_000, "routes": routes}
    bad = (
        lease.encode({**good, "routes": [{**routes[0], "prefix": FOREIGN}]}),
        lease.encode({**good, "v": 2}),
        lease.encode({**good, "wanted": "louder"}),
        b"\xff\xfe rubbish\n",
        b"[" * 1000 + b"\n",
    )
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(5)
        stream.connect(str(site.directory / "run/lease.sock"))
        lines = stream.makefile("rb")

        def say(line: bytes) -> bytes:
            stream.sendall(line)
            return lines.readline()

        wait_for("the neighbour hears it", lambda: b"error" not in say(lease.encode(good)) and site.is_announced())
        at = time.monotonic()
        while not site.is_depreferenced():
            for line in bad:
                assert b"error" in say(line)
            assert time.monotonic() < at + LAPSED_S
        wait_for("a good line counts", lambda: b"error" not in say(lease.encode(good)) and site.is_announced())


def test_a_lease_socket_that_cannot_be_made_is_told_and_tried_again(site: Site) -> None:
    taken = site.directory / "run/bridge/lease.sock"
    taken.mkdir(parents=True)
    site.start_supervisor()
    site.start_holder(60_000)
    wait_for("the log says why", lambda: f"the lease socket {taken} cannot be made" in site.log.read_text(), 20, 0.1)
    wait_for("the status says so", lambda: "the bridge does not answer" in site.status().get("reasons", []), 20, 0.1)
    assert site.is_withdrawn()
    taken.rmdir()
    wait_for("it is announced by itself", site.is_announced, 40, 0.1)


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_from_the_bridge_never_leaves_an_announcement_stuck(site: Site, kind: str) -> None:
    site.program.write_text(SPOILT.replace("DIRECTORY", str(site.directory)))
    holder = announced(site)
    rubbish = site.directory / "rubbish"
    rubbish.write_bytes(RUBBISH[kind])
    site.wish(holder, "withdraw")
    wait_for("the withdraw is heard", site.is_withdrawn, 10)
    throughout(2.0, site.is_withdrawn)
    rubbish.unlink()
    site.wish(holder, "announce")
    wait_for("it is announced again", site.is_announced, 40, 0.1)
