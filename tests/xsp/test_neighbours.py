"""BGP neighbours: from the operator's command to the files of the site and of the neighbour."""

import json
import stat
from pathlib import Path

import pytest

import bgp.config
from tests.xsp.operator import Office, add_site
from xsp import check, references
from xsp.errors import Refused
from xsp.model import File

FIRST, SECOND, ROUTER = "2001:db8:1:a::1", "2001:db8:1:a::2", "2001:db8:1:a::3"
PASSWORD = "0123456789abcdef"  # ExaBGP would read this as base64 if it were not told


@pytest.fixture
def site(office: Office, tmp_path: Path) -> Office:
    """A site with an ISP, a second ISP with everything, and a router of our own."""
    add_site(office, 1, "--mrai", "5")
    add_site(office, 2)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    more = ["--community", "64500:1", "--community", "64500:1:2", "--prepend", "2", "--med", "7", "--mrai", "30"]
    more += ["--password-file", str(tmp_path / "password"), "--gtsm", "--no-bfd"]
    added = office.json("neighbour", "add", "site1", SECOND, "--as", "64502", *more)
    assert (added["md5"], added["communities"], added["med"]) == (True, ["64500:1", "64500:1:2"], 7)
    office.json("neighbour", "add", "site1", ROUTER, "--as", "64500", "--kind", "own-router")
    return office


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
    assert roa == {"asn": "AS64500", "prefix": "2001:db8:f000::/36", "maxLength": 36}
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
        ("ipv6 prefix-list XSP-AGGREGATE seq", "prefix-list XSP-AGGREGATE"),
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
