"""Certificates in a running lab: renewed, revoked and issued anew by the operator's commands, while sites serve."""

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab import build
from lab.build import Ready
from lab.lab import Lab
from lab.poll import wait_until
from lab.topology import SITES

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
DEADLINE_S = 20.0


@pytest.fixture
def ready() -> Iterator[Ready]:
    with Lab() as lab:
        yield build.raise_up(lab, lambda text: None, lambda text: None)


def status(ready: Ready, site: str) -> dict[str, Any]:
    config = str(ready.lab.layout.etc(site) / "ha.toml")
    words = [ready.lab.programs.path("xsp-ha"), "--config", config, "status", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def connected(ready: Ready, site: str) -> list[str]:
    return [row["site"] for row in status(ready, site)["peers"] if row["connected"]]


def until(condition: Callable[[], bool], what: str) -> None:
    wait_until(lambda: None if condition() else what, DEADLINE_S)


def test_a_site_gets_a_new_certificate_and_another_is_shut_out_while_both_serve(ready: Ready) -> None:
    office = ready.office
    assert {site: status(ready, site)["credentials"]["transport"] for site in SITES} == dict.fromkeys(SITES, "tls")

    made = json.loads(office.xsp("site", "issue-certificate", "site2", "--days", "20", "--json"))
    office.render(["site2"])
    until(
        lambda: status(ready, "site2")["credentials"]["certificate"] == made["serial"], "site2 has no new certificate"
    )
    late = status(ready, "site2")
    assert (
        late["credentials"]["days_left"] == 19 and late["healthy"] and "over in 19 days" in "; ".join(late["reasons"])
    )
    for site in ("site1", "site3"):
        assert "site2" in connected(ready, site)
        # Who is busy may hang up while somebody greets him, and be dialed again; but nobody is cut off or shut out.
        wrong = ("peers_cut_off", "peers_refused{revoked", "peers_refused{certificate", "peers_refused{another_name")
        assert not [name for name in status(ready, site)["counters"] if name.startswith(wrong)]

    office.xsp("site", "revoke-certificate", "site3", "--reason", "stolen")
    office.render(["site1", "site2"])
    for site, other in (("site1", "site2"), ("site2", "site1")):
        until(lambda site=site, other=other: connected(ready, site) == [other], f"{site} talks to others")  # type: ignore[misc]
        until(
            lambda site=site: "peers_refused{revoked}" in status(ready, site)["counters"],  # type: ignore[misc]
            f"{site} refuses nobody",
        )
    assert connected(ready, "site3") == []

    office.xsp("site", "issue-certificate", "site3")
    office.render(["site3"])
    for site in SITES:
        until(lambda site=site: len(connected(ready, site)) == 2, f"{site} misses a peer")  # type: ignore[misc]
        until(lambda site=site: status(ready, site)["healthy"], f"{site} does not serve")  # type: ignore[misc]
