"""Neighbours configured by what `xsp render` gave them, against the real ExaBGP: what gets in, and what does not."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.bgp.reflected import ReflectedSite
from tests.bgp.rendered import (
    AGGREGATE_4,
    FIRST,
    ISP_4,
    LONGER,
    LONGER_4,
    OURS_4,
    OVER_4,
    PASSWORD,
    PATH,
    BirdSite,
    BirdSiteOfIpv4,
    RenderedSite,
    SessionOfIpv4,
    internal,
)
from tests.bgp.site_and_isp import AGGREGATE, GRACEFUL_SHUTDOWN, ISP, LOCATOR, run, throughout, wait_for
from xsp.model import Neighbour

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
    pytest.mark.timeout(90),
]
Built = TypeVar("Built", bound=RenderedSite)
SECURED = replace(FIRST, md5=True, gtsm=True)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="xsp-bgp-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def built(site: Built) -> Iterator[Built]:
    """Everything of a site but its own programs; gone afterwards."""
    try:
        site.build()
        yield site
    finally:
        site.close()


def is_preferred_least(site: BirdSite, prefix: str) -> bool:
    return site.route(prefix).get("local_pref") == "0"


@pytest.fixture
def frr(place: Path) -> Iterator[RenderedSite]:
    with built(RenderedSite(place)) as site:
        yield site


def test_frr_takes_the_aggregate_alone_with_what_it_was_announced_with(frr: RenderedSite) -> None:
    frr.run_site()
    path = wait_for("the aggregate is heard", frr.heard)
    assert path["community"]["list"] == ["64500:7", "64500:9"]
    assert path["largeCommunity"]["list"] == ["64500:1:2"]
    assert (path["metric"], path["aspath"]["string"]) == (7, PATH)
    assert frr.heard(LONGER) is None
    frr.wish(frr.holder, "depreference")
    wait_for("GRACEFUL_SHUTDOWN is heard", frr.is_depreferenced)
    heard = frr.heard()
    assert heard is not None
    assert heard["locPrf"] == 0


@pytest.mark.parametrize("neighbour", [SECURED, internal(SECURED)], ids=["EBGP", "IBGP"])
def test_an_frr_session_with_md5_and_gtsm_comes_up(place: Path, neighbour: Neighbour) -> None:
    with built(RenderedSite(place, neighbour, passwords=(PASSWORD, PASSWORD))) as site:
        site.run_site()
        path = wait_for("the aggregate is heard", site.heard)
        external = neighbour.autonomous_system != 64500
        assert path["aspath"]["string"] == (PATH if external else "Local")
        assert external or path["locPrf"] == 99  # the site's load, in IBGP's words
        assert site.heard(LONGER) is None


@pytest.mark.parametrize("neighbour", [SECURED, internal(FIRST)], ids=["EBGP", "IBGP"])
def test_bird_takes_the_aggregate_alone_and_obeys_graceful_shutdown(place: Path, neighbour: Neighbour) -> None:
    password = PASSWORD if neighbour.md5 else ""
    with built(BirdSite(place, replace(neighbour, bfd=True), passwords=(password, password))) as site:
        site.run_site()
        route = wait_for("the aggregate is heard", lambda: site.route(AGGREGATE))
        external = neighbour.autonomous_system != 64500
        assert (route["community"], route["med"]) == ("(64500,7) (64500,9)", "7")
        assert (route["large_community"], route["as_path"]) == ("(64500, 1, 2)", PATH if external else "")
        assert route["local_pref"] == ("100" if external else "99")
        assert site.route(LONGER) == {}
        wait_for("BFD is up", lambda: site.status()["bfd"] == [{"address": ISP, "state": "up"}], 20, 0.1)
        site.wish(site.holder, "depreference")
        wait_for("it is preferred least", partial(is_preferred_least, site, AGGREGATE))


def test_frr_takes_both_families_over_a_session_of_ipv4(place: Path) -> None:
    with built(SessionOfIpv4(place, replace(OVER_4, gtsm=True))) as site:
        site.run_site()
        path = wait_for("the aggregate of IPv4 is heard", lambda: site.heard(AGGREGATE_4, "ipv4"))
        assert ([hop["ip"] for hop in path["nexthops"]], path["metric"]) == ([OURS_4], 7)
        path = wait_for("the aggregate of IPv6 is heard", site.heard)
        assert LOCATOR in [hop["ip"] for hop in path["nexthops"]]
        assert site.heard(LONGER_4, "ipv4") is None
        assert site.heard(LONGER) is None
        site.wish(site.holder, "depreference")
        wait_for("GRACEFUL_SHUTDOWN is heard for IPv6", site.is_depreferenced)
        wait_for(
            "GRACEFUL_SHUTDOWN is heard for IPv4",
            lambda: GRACEFUL_SHUTDOWN in (site.heard(AGGREGATE_4, "ipv4") or {}).get("community", {}).get("list", []),
        )
        heard = site.heard(AGGREGATE_4, "ipv4")
        assert heard is not None
        assert heard["locPrf"] == 0


def test_bird_takes_both_families_over_a_session_of_ipv4_with_bfd(place: Path) -> None:
    with built(BirdSiteOfIpv4(place, replace(OVER_4, bfd=True))) as site:
        site.run_site()
        for aggregate in (AGGREGATE_4, AGGREGATE):
            wait_for(f"{aggregate} is heard", partial(site.route, aggregate))
        assert (site.route(LONGER_4), site.route(LONGER)) == ({}, {})
        wait_for("BFD is up", lambda: site.status()["bfd"] == [{"address": ISP_4, "state": "up"}], 20, 0.1)
        site.wish(site.holder, "depreference")
        for aggregate in (AGGREGATE_4, AGGREGATE):
            wait_for("it is preferred least", partial(is_preferred_least, site, aggregate))


@pytest.mark.parametrize("bird", [False, True], ids=["FRR", "BIRD"])
def test_a_third_router_hears_of_the_site_from_a_route_reflector_two_hops_away(place: Path, bird: bool) -> None:
    """An operator's reflector could not be used: the blocks made no client of the site, and asked for its link."""
    with built(ReflectedSite(place, bird)) as site:
        site.run_site()
        path = wait_for("the third router hears of it", site.heard, 20, 0.1)
        assert (path["originatorId"], path["clusterList"]["list"]) == ("192.0.2.1", [path["peer"]["routerId"]])
        assert [hop["ip"] for hop in path["nexthops"] if hop["accessible"]] == [LOCATOR]
        assert (path["valid"], path["aspath"]["string"], path["community"]["list"]) == (
            True,
            "Local",
            ["64500:7", "64500:9"],
        )
        assert site.heard(LONGER) is None
        site.wish(site.holder, "depreference")
        wait_for("GRACEFUL_SHUTDOWN is heard there", lambda: (site.heard() or {}).get("locPrf") == 0)
        site.wish(site.holder, "withdraw")
        wait_for("the withdraw is heard there", site.is_withdrawn)


def test_a_bfdd_that_hangs_is_replaced_and_its_session_is_back(place: Path) -> None:
    """It stayed, and with it a site whose silence nobody would notice before the hold time."""
    with built(BirdSite(place, replace(FIRST, bfd=True))) as site:
        site.run_site()
        up = [{"address": ISP, "state": "up"}]
        wait_for("BFD is up", lambda: site.status()["bfd"] == up, 20, 0.1)
        wait_for("the history has that, too", lambda: bfd_states(site)[-1:] == ["up"], 5, 0.1)
        file = place / "run" / "bfd" / "bfdd.pid"
        before = file.read_text()
        os.kill(int(before), signal.SIGSTOP)
        wait_for("another bfdd runs", lambda: file.read_text() not in ("", before), 20, 0.1)
        wait_for("BFD is up again", lambda: site.status()["bfd"] == up, 20, 0.1)
        wait_for("the history has it", lambda: bfd_states(site)[-3:] == ["up", "none", "up"], 5, 0.1)
        wait_for("the aggregate is heard", lambda: site.route(AGGREGATE), 10, 0.1)

        files = [place / "run" / "bfd" / f"{name}.pid" for name in ("bfdd", "zebra")]
        left = [int(one.read_text()) for one in files]
        site.supervisor.kill()  # FRR's change of user lets them outlive it
        site.supervisor.wait()
        assert all(Path(f"/proc/{pid}").exists() for pid in left), "nothing is left to end"
        site.start_supervisor()
        wait_for("what it left is ended", lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), 10, 0.1)
        wait_for("BFD is up once more", lambda: site.status()["bfd"] == up, 20, 0.1)


@pytest.mark.parametrize("kind", [RenderedSite, BirdSite], ids=["FRR", "BIRD"])
def test_a_neighbour_whose_filter_was_opened_ends_a_session_that_brings_too_much(
    place: Path, kind: type[RenderedSite]
) -> None:
    """The limit is for the day on which somebody edits the filter. FRR looks before it adds: one more than too many."""
    site = kind(place)
    site.opened, site.longer = True, (LONGER, "2001:db8:f200::/40", "2001:db8:f300::/40")
    with built(site):
        site.start_supervisor()
        wait_for("the session is up", site.is_connected, 20, 0.1)
        site.start_holder(1000, *site.aggregates, *site.longer)
        wait_for("the neighbour ends the session", site.over_the_limit, 10, 0.1)


@pytest.mark.parametrize("kind", [RenderedSite, BirdSite], ids=["FRR", "BIRD"])
@pytest.mark.parametrize("guard", ["neighbour", "site"])
def test_packets_that_came_over_hops_are_no_session_to_who_asks_for_gtsm(
    place: Path, kind: type[RenderedSite], guard: str
) -> None:
    """One side alone guards itself: what the other sends has no hop limit of 255, and the kernel drops it."""
    guarded = replace(FIRST, gtsm=True)
    neighbour, here = (guarded, FIRST) if guard == "neighbour" else (FIRST, guarded)
    with built(kind(place, neighbour, here)) as site:
        site.start_supervisor()
        namespace = site.isp if guard == "neighbour" else site.site
        wait_for("its kernel drops them", lambda: site.tcp_counter(namespace, "TCPMinTTLDrop") > 1, 20, 0.1)
        assert "state='established'" not in site.log.read_text()


def test_a_bird_that_missed_a_site_for_a_moment_takes_it_back_in_seconds(place: Path) -> None:
    """BIRD's own pause after an error, such as a hold time that ran out, is a minute: so long the site stayed away."""
    with built(BirdSite(place, FIRST)) as site:
        site.run_site()
        wait_for("the aggregate is heard", lambda: site.route(AGGREGATE))
        inside = ("ip", "netns", "exec", site.site, "nft")
        run(
            *inside,
            "add table inet silent; add chain inet silent out { type filter hook output priority 0; policy drop; }",
        )
        wait_for("it is gone", lambda: site.route(AGGREGATE) == {}, 10)
        run(*inside, "delete table inet silent")
        wait_for("it is back", lambda: site.route(AGGREGATE), 25, 0.1)


def bfd_states(site: RenderedSite) -> list[str]:
    """As they followed each other, those at the way up aside."""
    entries = [one for one in site.status()["history"] if one["what"] == f"BFD with {ISP}" and one["by"] == "bfdd"]
    return [one["after"] for one in entries if one["after"] in ("none", "up")]


def told(site: RenderedSite) -> str:
    """All complaints."""
    return "; ".join(site.status().get("reasons", []))


def routes_sent(site: RenderedSite) -> str:
    """The metric."""
    return run(str(site.program), "metrics", "--config", str(site.config)).partition("_routes_sent{")[2].split()[1]


def test_a_wrong_password_is_told_in_one_sentence(place: Path) -> None:
    """It said no more than that the session is not established, as with a cut cable; and that routes were sent."""
    with built(RenderedSite(place, SECURED, passwords=(PASSWORD, PASSWORD + "x"))) as site:
        site.start_supervisor()
        site.start_holder(1000)
        wait_for("the ISP's kernel refuses packets", lambda: site.tcp_counter(site.isp, "TCPMD5Failure") > 1, 20)
        complaint = f"the session with {ISP} (AS 64501) is not established; its TCP connection is not answered: "
        wait_for("the status names it", lambda: complaint in told(site), 20, 0.1)
        assert told(site).partition(complaint)[2].startswith("no way there, nobody listens, or it has another MD5 pass")
        wait_for("ExaBGP has the route", lambda: site.status()["confirmed"] == [AGGREGATE], 10, 0.1)
        assert site.status()["neighbours"][0]["sent"] == []
        assert "state='established'" not in site.log.read_text()


def test_a_wrong_as_is_told_in_one_sentence(place: Path) -> None:
    """It said no more than that the session is not established; and that routes were sent, which never were."""
    with built(RenderedSite(place, here=replace(FIRST, autonomous_system=64509))) as site:
        site.start_supervisor()
        site.start_holder(1000)
        # Who refuses first, and so who is told to have ended it, is a matter of microseconds.
        wait_for("they talked, and parted", lambda: site.log.read_text().count("state='down'") >= 3, 20)
        complaint = f"the session with {ISP} (AS 64509) is not established; ended "
        wait_for("the status names it", lambda: complaint in told(site), 20, 0.1)
        wait_for("and why", lambda: "Bad Peer AS (NOTIFICATION 2/2)" in told(site), 20, 0.1)
        assert "compare the AS numbers at both ends" in told(site)
        wait_for("ExaBGP has the route", lambda: site.status()["confirmed"] == [AGGREGATE], 10, 0.1)
        throughout(1.0, lambda: site.status()["neighbours"][0]["sent"] == [])  # it is asked for its routes meanwhile
        assert float(routes_sent(site)) == 0
        history = [one for one in site.status()["history"] if one["what"] == ISP and one["after"] == "down"]
        assert any("Bad Peer AS" in one["reason"] for one in history)
        assert "state='established'" not in site.log.read_text()
