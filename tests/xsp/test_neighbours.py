"""BGP neighbours: from the operator's command to the files of the site and of the neighbour."""

import json
import re
import sqlite3
import stat
from ipaddress import ip_address
from pathlib import Path

import pytest

import bgp.config
from tests.xsp.operator import Office, add_site
from xsp import check, references
from xsp.errors import Refused
from xsp.model import File, Neighbour
from xsp.neighbours import check_neighbour
from xsp.tables import SiteRow

FIRST, SECOND, ROUTER = "2001:db8:1:a::1", "2001:db8:1:a::2", "2001:db8:1:a::3"
PASSWORD = "0123456789abcdef"  # ExaBGP would read this as base64 if it were not told


@pytest.fixture(scope="module")
def connected(founded: Office, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A site with an ISP, a second ISP with everything, and a router of our own; to be copied."""
    made = founded.copied(tmp_path_factory.mktemp("connected"))
    add_site(made, 1, "--mrai", "5")
    add_site(made, 2)
    password = made.directory / "password"
    password.write_text(PASSWORD + "\n")
    more = ["--community", "64500:1", "--community", "64500:1:2", "--prepend", "2", "--med", "7", "--mrai", "30"]
    more += ["--password-file", str(password), "--gtsm", "--no-bfd"]
    added = made.json("neighbour", "add", "site1", SECOND, "--as", "64502", *more)
    assert (added["md5"], added["communities"], added["med"]) == (True, ["64500:1", "64500:1:2"], 7)
    made.json("neighbour", "add", "site1", ROUTER, "--as", "64500", "--kind", "own-router")
    return made


@pytest.fixture
def site(connected: Office, tmp_path: Path) -> Office:
    """The site and its three neighbours."""
    return connected.copied(tmp_path)


def test_neighbours_are_listed_shown_and_deleted_and_the_last_one_stays(site: Office) -> None:
    assert [row["address"] for row in site.json("neighbour", "list", "site1")] == [FIRST, SECOND, ROUTER]
    assert site.json("site", "show", "site1")["mrai_s"] == 30
    assert site.json("neighbour", "show", "site1", SECOND)["prepend"] == 2
    assert PASSWORD not in json.dumps(site.json("neighbour", "list")) + "".join(site.dump())
    for address in (SECOND, ROUTER):
        site.json("neighbour", "delete", "site1", address)
    assert "last" in site.refused("neighbour", "delete", "site1", FIRST, status=5)
    assert [row["address"] for row in site.json("neighbour", "list", "site1")] == [FIRST]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["2001:db8:1:a::10", "--as", "64501"], 1, "locator"),
        (["2001:db8:1:A:0::1", "--as", "64501"], 5, "already"),
        (["fe80::1", "--as", "64501"], 2, "cannot be a neighbour"),
        (["2001:db8:1:a::9", "--as", "0"], 2, "AS number"),
        (["2001:db8:1:a::9", "--as", "23456"], 2, "AS number"),
        (["2001:db8:1:a::9", "--as", "64500"], 2, "our own"),
        (["2001:db8:1:a::9", "--as", "64500", "--kind", "own-router", "--prepend", "1"], 2, "prepended"),
        (["2001:db8:9::9", "--as", "64501", "--kind", "route-reflector"], 2, "our own AS"),
        (["2001:db8:9::9", "--as", "64500", "--kind", "route-reflector", "--gtsm"], 2, "GTSM"),
        (["2001:db8:9::9", "--as", "64500", "--kind", "route-reflector", "--bfd"], 2, "BFD"),
        (["2001:db8:1:a::9", "--as", "64501", "--community", "64500"], 2, "community"),
        (["2001:db8:1:a::9", "--as", "64501", "--prepend", "17"], 2, "prepend"),
        (["2001:db8:1:a::9", "--as", "64501", "--med", "4294967296"], 2, "MED"),
        (["2001:db8:1:a::9", "--as", "64501", "--mrai", "-1"], 2, "MRAI"),
        (["2001:db8:1:a::9", "--as", "64501", "--password-file", "/dev/null"], 1, "empty"),
        (["2001:db8:1:a::9", "--as", "64501", "--password-file", "setup.cfg"], 2, "cannot read"),
    ],
)
def test_a_neighbour_that_cannot_be_is_refused(office: Office, words: list[str], status: int, said: str) -> None:
    add_site(office, 1)
    before = office.dump()
    assert said in office.refused("neighbour", "add", "site1", *words, status=status)
    assert office.dump() == before


def test_the_files_of_a_site_with_three_neighbours(site: Office, tmp_path: Path) -> None:
    output = tmp_path / "etc"
    files = [Path(name) for name in site.render("site1", output)["files"]]
    config = bgp.config.load(output / "bgp.toml")
    assert [str(one.address) for one in config.neighbour] == [FIRST, SECOND, ROUTER]
    assert (config.neighbour[1].communities, config.neighbour[1].med) == (("64500:1", "64500:1:2"), 7)
    assert config.bfd_configuration == output / "bfdd.conf"
    assert config.fellows is not None
    assert [site.name for site in config.fellows.site] == ["site2"]
    assert SECOND not in (output / "bfdd.conf").read_text()
    secret = {path.name for path in files if PASSWORD in path.read_text()}
    assert secret == {"exabgp.conf", *(f"neighbour-2001-db8-1-a--2-{program}.conf" for program in ("frr", "bird"))}
    assert all(stat.S_IMODE((output / name).stat().st_mode) == 0o600 for name in secret)
    [roa] = json.loads((output / "roa.json").read_text())["roas"]
    assert roa == {"asn": "AS64500", "prefix": "2001:db8:f000::/36"}, "a maxLength, however tight, is not to be there"
    assert "route6:         2001:db8:f000::/36" in (output / "irr.txt").read_text()


def test_bgps_files_do_not_change_with_customers_and_keys(site: Office, tmp_path: Path) -> None:
    output = tmp_path / "etc"

    def rendered() -> dict[str, bytes]:
        site.render("site1", output)
        return {name: (output / name).read_bytes() for name in ("bgp.toml", "exabgp.conf")}

    before = rendered()
    site.add_customer("office1")
    site.json("table", "publish", "--output", str(output / "customers.jsonl"))
    site.json("customer", "suspend", "office1")
    assert rendered() == before
    site.json("neighbour", "delete", "site1", ROUTER)
    assert rendered() != before


@pytest.mark.parametrize("program", ["frr", "bird"])
def test_what_a_neighbour_would_not_accept_is_not_rendered(site: Office, tmp_path: Path, program: str) -> None:
    site.render("site1", tmp_path / "etc")
    name = f"neighbour-2001-db8-1-a--1-{program}.conf"
    text = (tmp_path / "etc" / name).read_text()
    check.check({name: File(text)})
    broken = text.replace("64500", "nonsense")
    with pytest.raises(Refused, match="would not be accepted"):
        check.check({name: File(broken)})


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("route-map XSP-OUT deny", "route-map XSP-OUT"),
        ("ipv6 prefix-list XSP-AGGREGATE seq", "ipv6 prefix-list XSP-AGGREGATE"),
        ("bgp community-list standard XSP-SHUTDOWN", "community-list XSP-SHUTDOWN"),
        (" profile XSP", "BFD profile XSP"),
    ],
)
def test_a_missing_definition_is_noticed(site: Office, tmp_path: Path, line: str, missing: str) -> None:
    site.render("site1", tmp_path / "etc")
    name = "neighbour-2001-db8-1-a--1-frr.conf"
    text = (tmp_path / "etc" / name).read_text()
    assert references.undefined(text) == []
    broken = text.replace("\n" + line, "\n! " + line)
    assert references.undefined(broken) == [missing]
    with pytest.raises(Refused, match=missing):
        check.check({name: File(broken)})


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_session_without_a_route_map_is_noticed(site: Office, tmp_path: Path, way: str) -> None:
    """Nothing was referred to, so nothing was missed: a block without its `route-map ... in` line went out."""
    site.render("site1", tmp_path / "etc")
    name = "neighbour-2001-db8-1-a--1-frr.conf"
    text = (tmp_path / "etc" / name).read_text()
    assert references.unfiltered(text) == []
    broken = re.sub(rf"\n  neighbor \S+ route-map \S+ {way}(?=\n)", "", text)
    [missing] = references.unfiltered(broken)
    assert missing.startswith(f"{way} ") and missing.endswith("2001:db8:1:a::10, ipv6 unicast")
    with pytest.raises(Refused, match="no route-map stands"):
        check.check({name: File(broken)})


def test_a_prefix_list_of_the_other_family_alone_is_noticed(site: Office, tmp_path: Path) -> None:
    """It has the same name, and FRR takes it for a match of everything all the same."""
    site.render("site1", tmp_path / "etc")
    text = (tmp_path / "etc" / "neighbour-2001-db8-1-a--1-frr.conf").read_text()
    broken = text.replace(
        "\nipv6 prefix-list XSP-AGGREGATE seq 5 permit", "\nip prefix-list XSP-AGGREGATE seq 5 permit"
    )
    assert references.undefined(broken) == ["ipv6 prefix-list XSP-AGGREGATE"]


# What no session shows while all is well: neither side would be the first to miss it.
SAID = {
    "frr": (
        " neighbor 2001:db8:1:a::10 passive",
        " neighbor 2001:db8:1:a::10 timers 1 3",
        " neighbor 2001:db8:1:a::10 timers connect 1",
        " neighbor 2001:db8:1:a::10 advertisement-interval 5",
        "  neighbor 2001:db8:1:a::10 maximum-prefix 2",
        "bgp route-map delay-timer 0",
        "! A change must be passed on within 5 s (your advertisement-interval): the site counts on it.",
    ),
    "bird": (
        "    passive on;",
        "    hold time 3;",
        "    keepalive time 1;",
        "    graceful restart off;    # a stale route would outlive a dead site",
        "        import limit 2 action disable;",
        "        export none;",
    ),
}


@pytest.mark.parametrize("program", ["frr", "bird"])
def test_a_neighbour_is_told_the_timers_the_limit_and_which_ingress_filter_would_harm(
    site: Office, tmp_path: Path, program: str
) -> None:
    """The note on uRPF advised the feasible-path mode, which needs a route that the site may have withdrawn."""
    site.render("site1", tmp_path / "etc")
    lines = (tmp_path / "etc" / f"neighbour-2001-db8-1-a--1-{program}.conf").read_text().splitlines()
    assert [line for line in SAID[program] if line not in lines] == []
    note = " ".join(line.lstrip("!# ") for line in lines)
    assert "also while it announces nothing" in note
    harm, remedy = note.partition("(strict or feasible-path, RFC 3704 2.2 and 2.3; enhanced, RFC 8704) drops them")[1:]
    assert harm and "use loose mode (RFC 3704 2.4), or an ACL that permits the aggregates" in remedy


IPV4, OURS_4 = "192.0.2.1", "192.0.2.10"


@pytest.mark.parametrize(
    ("address", "local", "hop", "said"),
    [
        (IPV4, None, None, "needs an IPv4 address of ours"),
        (IPV4, "2001:db8:1:a::10", None, "cannot be our end"),
        (IPV4, IPV4, None, "cannot be our end"),
        (IPV4, "127.0.0.1", None, "cannot be our end"),
        ("2001:db8:1:a::9", OURS_4, None, "cannot be our end"),
        (IPV4, OURS_4, OURS_4, "cannot be our next hop"),
        (IPV4, OURS_4, "fe80::1", "cannot be our next hop"),
        ("2001:db8:1:a::9", None, "2001:db8:1:a::10", "cannot be our next hop"),
        ("255.255.255.255", OURS_4, None, "cannot be a neighbour"),
    ],
)
def test_addresses_of_ours_that_do_not_fit_the_session_are_refused(
    address: str, local: str | None, hop: str | None, said: str
) -> None:
    ours = [None if one is None else ip_address(one) for one in (local, hop)]
    neighbour = Neighbour(ip_address(address), 64501, local_address=ours[0], next_hop=ours[1])
    with pytest.raises(Refused, match=said):
        check_neighbour(neighbour, SiteRow(name="site1", locator="2001:db8:1:a::10"), 64500)


def test_a_neighbour_of_ipv4_is_told_the_aggregates_of_ipv4_and_with_a_next_hop_the_others(
    office: Office, tmp_path: Path
) -> None:
    """Sessions of IPv4 could be had by hand only: `xsp render` wrote IPv6 whatever the registry held."""
    output = tmp_path / "etc"
    add_site(office, 1)
    office.json("aggregate", "add", "198.51.100.0/24")
    office.render("site1", output)
    assert "198.51.100.0/24" not in (output / "bgp.toml").read_text()  # nobody would be told
    over_4 = ["neighbour", "add", "site1", IPV4, "--as", "64501", "--local-address", OURS_4]
    assert office.json(*over_4)["local_address"] == OURS_4
    office.render("site1", output)
    config = bgp.config.load(output / "bgp.toml")
    assert [str(prefix) for prefix in config.prefixes] == ["2001:db8:f000::/36", "198.51.100.0/24"]
    assert [str(one.address) for one in config.neighbour] == [FIRST, IPV4]
    exabgp = (output / "exabgp.conf").read_text().partition(f"neighbor {IPV4} ")[2]
    assert f"local-address {OURS_4};" in exabgp
    assert ("ipv4 unicast" in exabgp, "ipv6 unicast" in exabgp) == (True, False)
    assert f"peer {IPV4} local-address {OURS_4} " in (output / "bfdd.conf").read_text()
    assert 'prefix = "198.51.100.0/24"' in (output / "ha.toml").read_text()
    assert "route:          198.51.100.0/24" in (output / "irr.txt").read_text()
    frr = (output / f"neighbour-{IPV4}-frr.conf").read_text()
    assert references.undefined(frr) == []
    assert ("2001:db8:f000::/36" in frr, "198.51.100.0/24" in frr) == (False, True)

    office.json("neighbour", "delete", "site1", IPV4)
    office.json(*over_4, "--next-hop", "2001:db8:1:a::10")
    office.json("neighbour", "delete", "site1", FIRST)
    office.render("site1", output)
    config = bgp.config.load(output / "bgp.toml")
    assert [str(one.next_hop) for one in config.neighbour] == ["2001:db8:1:a::10"]
    assert "2001:db8:f000::/36" in (output / f"neighbour-{IPV4}-bird.conf").read_text()


def test_a_route_reflector_is_hops_away_and_the_site_its_client(office: Office, tmp_path: Path) -> None:
    """Only a router on the site's own link could be had: BFD watched it there, and BIRD's block said `direct`."""
    add_site(office, 1)
    far = "2001:db8:9::9"
    added = office.json("neighbour", "add", "site1", far, "--as", "64500", "--kind", "route-reflector")
    assert (added["kind"], added["bfd"]) == ("route-reflector", False)
    office.render("site1", tmp_path / "etc")
    assert far not in (tmp_path / "etc" / "bfdd.conf").read_text()
    frr, bird = (
        (tmp_path / "etc" / f"neighbour-2001-db8-9--9-{program}.conf").read_text() for program in ("frr", "bird")
    )
    assert f" neighbor 2001:db8:1:a::10 update-source {far}\n" in frr
    assert "  neighbor 2001:db8:1:a::10 route-reflector-client\n" in frr
    assert ("    multihop;" in bird, "    rr client;" in bird, "    direct;" in bird) == (True, True, False)


def test_what_a_site_could_announce_to_nobody_is_not_rendered(office: Office, tmp_path: Path) -> None:
    words = ["--neighbour", IPV4, "--local-address", OURS_4]
    add_site(office, 1, *words)
    where = ["render", "--site", "site1", "--output", str(tmp_path / "etc"), "--program-directory"]
    said = office.refused(*where, str(office.programs), status=1)
    assert f"nothing can be announced to the neighbour {IPV4}" in said
    office.json("aggregate", "add", "198.51.100.0/24")
    assert "no neighbour of site1 is told" in office.refused(*where, str(office.programs), status=1)


def test_a_registry_from_before_sessions_had_addresses_of_their_own_takes_one_now(office: Office) -> None:
    add_site(office, 1)
    with sqlite3.connect(office.registry) as connection:
        connection.execute("DROP TABLE session")
        connection.execute("UPDATE setting SET value = '4' WHERE name = 'schema'")
    assert office.json("neighbour", "list", "site1")[0]["local_address"] is None
    office.json("neighbour", "add", "site1", IPV4, "--as", "64501", "--local-address", OURS_4)
    assert [row["local_address"] for row in office.json("neighbour", "list", "site1")] == [None, OURS_4]
