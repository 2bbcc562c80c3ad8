"""The self-test sees each part of a real data plane break while every socket lives, and sees it mended."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.self_test import DEVICE
from tests.ha.cast import both_lines
from tests.topology.lease_holder import LeaseListener
from tests.topology.process import ROOT, Office, poll

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
    pytest.mark.timeout(90),
]
SEEN_S = 0.3 * 3  # a busy machine

# What somebody else's rules may do to packets, at hooks where ours have done their part.
_RULES = """
table ip6 foreign {{
    chain c {{
        type filter hook {hook} priority {priority}; policy accept;
        {rule}
    }}
}}
"""
_TUNNELLED = f'oifname "{DEVICE}" meta l4proto 41'


def foreign(hook: str, priority: int, rule: str) -> str:
    return _RULES.format(hook=hook, priority=priority, rule=rule)


BREAKS = {
    "what is encapsulated": (foreign("postrouting", 50, f"{_TUNNELLED} drop"), "tunnel's beginning"),
    "decapsulation": (foreign("forward", 0, f'oifname "{DEVICE}" ip6 nexthdr 253 drop'), "does not come back"),
    "the source check, shut": (foreign("prerouting", -310, "meta l4proto 41 drop"), "does not come back"),
    "the hop limit": (foreign("postrouting", 50, f"{_TUNNELLED} ip6 hoplimit set 36"), "hop limit is 36 instead of 64"),
}


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[LeaseListener]:
    listener = LeaseListener(tmp_path / "lease.sock")
    yield listener
    listener.close()


@pytest.fixture
def site(heard: LeaseListener, place: Office) -> Office:
    poll(lambda: heard.latest()[0] == "announce", "announced")
    return place


def broken(heard: LeaseListener, at: float, reason: str) -> None:
    """The withdraw is wanted in time, for that reason."""
    poll(lambda: heard.since(at, "withdraw") is not None, f"noticed; latest is {heard.latest()}")
    took_s = heard.since(at, "withdraw")
    assert took_s is not None
    assert reason in heard.latest()[1]
    print(f"noticed after {took_s * 1000:.0f} ms")
    assert took_s < SEEN_S


@pytest.mark.parametrize("part", BREAKS)
def test_a_part_that_others_break_is_seen_and_so_is_its_return(part: str, site: Office, heard: LeaseListener) -> None:
    rules, reason = BREAKS[part]
    at = time.monotonic()
    site.net.run("ha", "nft", "-f", "-", stdin=rules)
    broken(heard, at, reason)
    site.net.run("ha", "nft", "delete", "table", "ip6", "foreign")
    poll(lambda: heard.latest()[0] == "announce", "announced again")


def test_a_kernel_that_forwards_no_more_is_seen(site: Office, heard: LeaseListener) -> None:
    at = time.monotonic()
    site.net.run("ha", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    broken(heard, at, "tunnel's beginning")


def test_a_default_route_whose_line_is_dead_is_missed(site: Office, heard: LeaseListener) -> None:
    at = time.monotonic()
    site.net.run("isp", "ip", "link", "set", "site", "down")
    broken(heard, at, "no default route is left")
    site.net.run("isp", "ip", "link", "set", "site", "up")
    poll(lambda: heard.latest()[0] == "announce", "announced again")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("nft flush chain ip6 xsp_ha prerouting", "spoofed inner source was let through"),
        ("nft flush set ip6 xsp_ha ok128", "does not come back"),
        ("nft flush chain ip6 xsp_ha postrouting", "hop limit is 36 instead of 64"),
        ("ip -6 rule del pref 0", "does not come back"),
        ("ip sr tunsrc set 2001:db8:f000::99", "tunnel's beginning"),
        ("ip nexthop flush proto 208", "tunnel's beginning"),
    ],
)
def test_what_others_take_from_us_is_seen_at_once_and_repaired(
    words: str, reason: str, site: Office, heard: LeaseListener
) -> None:
    """The alarm starts the repair, so the self-test may have little time to see the damage: both count as seen."""
    at = time.monotonic()
    site.net.run("ha", *words.split())
    poll(lambda: heard.since(at, "withdraw") is not None or site.counter("data_plane_repairs") > 0, "seen")
    took_s = heard.since(at, "withdraw")
    if took_s is not None:
        print(f"noticed after {took_s * 1000:.0f} ms")
        assert took_s < SEEN_S
        assert any(reason in why for why in heard.reasons(at))
    poll(lambda: heard.latest()[0] == "announce", "announced again")
    poll(lambda: site.counter("data_plane_repairs") > 0, "repaired")


def test_the_tests_customer_is_nobodys_business(site: Office, heard: LeaseListener) -> None:
    status = site.status()
    assert status["cache"] == {"records": 0, "wanted": 0, "in_kernel": 0, "different": 0}
    assert status["counters"]["customers_installed"] == 0
    assert status["counters"]["tunnel_packets{source_check}"] == 0
    site.register()
    assert site.status()["cache"] == {"records": 1, "wanted": 1, "in_kernel": 1, "different": 0}


def test_churn_of_customers_never_fails_it(site: Office, heard: LeaseListener) -> None:
    site.register()
    began = time.monotonic()
    while time.monotonic() - began < 3.0:
        site.send(site.update(*both_lines()))
        site.ack()
    assert heard.since(began, "withdraw") is None


def test_a_second_home_agent_on_the_machine_is_refused_in_two_sentences(site: Office, tmp_path: Path) -> None:
    text = site.config.read_text().replace(f'run_directory = "{tmp_path}/run"', f'run_directory = "{tmp_path}/other"')
    other = tmp_path / "other.toml"
    other.write_text(text.replace('locator = "2001:db8:a::10"', 'locator = "::1"'))
    words = ["ip", "netns", "exec", site.net.name("ha"), sys.executable, "-m", "ha", "--config", str(other), "run"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 4
    assert "xsp-selftest is in use: another xsp-ha runs on this machine" in done.stderr
