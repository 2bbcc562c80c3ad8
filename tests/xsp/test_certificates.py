"""The xSP's own authority, by the commands that an operator types; `openssl` judges what comes of them."""

import shutil
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest

from ha import credentials
from ha.credentials import Credentials
from tests.xsp.operator import Office, add_site


def two_sites(office: Office) -> None:
    for number in (1, 2):
        add_site(office, number)


def rendered(office: Office, site: str, output: Path) -> Credentials:
    """What the home agent of the site makes of its files."""
    office.render(site, output)
    names = ("ca.pem", "site.pem", "site.key", "revoked.pem")
    authority, certificate, key, revoked = (output / name for name in names)
    return credentials.load(authority, certificate, key, revoked, site)


def good_serials(office: Office, site: str) -> list[str]:
    return [row["serial"] for row in office.json("site", "certificates", site) if row["state"] == "good"]


def test_a_new_site_has_a_certificate_that_it_accepts(office: Office, tmp_path: Path) -> None:
    two_sites(office)
    etc = tmp_path / "site1"
    proof = rendered(office, "site1", etc)
    assert [f"{proof.serial:x}"] == good_serials(office, "site1")
    assert stat.S_IMODE((etc / "site.key").stat().st_mode) == 0o600


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_accepts_the_certificate_of_a_new_site(office: Office, tmp_path: Path) -> None:
    two_sites(office)
    etc = tmp_path / "site1"
    rendered(office, "site1", etc)
    words: list[str | Path] = ["-CAfile", etc / "ca.pem", "-CRLfile", etc / "revoked.pem", "-crl_check", "-x509_strict"]
    for purpose in ("sslserver", "sslclient"):
        subprocess.run(["openssl", "verify", *words, "-purpose", purpose, etc / "site.pem"], check=True, timeout=30)


def test_the_same_registry_renders_the_same_files(office: Office, tmp_path: Path) -> None:
    two_sites(office)
    office.json("site", "revoke-certificate", "site2")
    for output in ("a", "b"):
        office.render("site1", tmp_path / output)
    for name in ("ca.pem", "site.pem", "site.key", "revoked.pem"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_new_certificate_replaces_the_old_one_in_the_files_and_revokes_nothing(
    office: Office, tmp_path: Path
) -> None:
    two_sites(office)
    before = rendered(office, "site1", tmp_path / "etc")
    made = office.json("site", "issue-certificate", "site1", "--days", "90")
    after = rendered(office, "site1", tmp_path / "etc")
    assert f"{after.serial:x}" == made["serial"] and after.serial != before.serial
    assert not after.revoked and len(good_serials(office, "site1")) == 2
    office.json("site", "revoke-certificate", "site1", "--serial", f"{before.serial:x}")
    assert rendered(office, "site1", tmp_path / "etc").revoked == {before.serial}
    assert good_serials(office, "site1") == [made["serial"]]


def test_a_revoked_site_is_on_the_others_lists_and_gets_no_files_before_a_new_certificate(
    office: Office, tmp_path: Path
) -> None:
    two_sites(office)
    revoked = rendered(office, "site2", tmp_path / "site2").serial
    office.json("site", "revoke-certificate", "site2", "--reason", "stolen")
    assert rendered(office, "site1", tmp_path / "site1").revoked == {revoked}
    words = ["render", "--site", "site2", "--output", str(tmp_path / "again")]
    said = office.refused(*words, "--program-directory", str(office.programs), status=1)
    assert "xsp site issue-certificate site2" in said
    office.json("site", "issue-certificate", "site2")
    assert rendered(office, "site2", tmp_path / "again").serial != revoked


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["issue-certificate", "site9"], 1),
        (["issue-certificate", "site1", "--days", "0"], 2),
        (["issue-certificate", "site1", "--days", "826"], 2),
        (["revoke-certificate", "site9"], 1),
        (["revoke-certificate", "site1", "--serial", "abc"], 1),
        (["certificates", "site9"], 1),
    ],
)
def test_a_refused_certificate_changes_nothing(office: Office, words: list[str], status: int) -> None:
    add_site(office, 1)
    before = office.dump()
    office.refused("site", *words, status=status)
    assert office.dump() == before


def test_a_dry_run_issues_nothing_and_no_command_and_no_database_shows_a_key(office: Office) -> None:
    add_site(office, 1)
    before = office.dump()
    office.json("site", "issue-certificate", "site1", "--dry-run")
    assert office.dump() == before
    issued = office.run("site", "issue-certificate", "site1", "--json")
    assert "PRIVATE" not in issued.stdout and "PRIVATE" not in "".join(office.dump())


def test_a_registry_from_before_there_were_certificates_gets_them_when_asked(office: Office, tmp_path: Path) -> None:
    two_sites(office)
    with sqlite3.connect(office.registry) as connection:
        connection.execute("DROP TABLE certificate")
        connection.execute("DELETE FROM setting WHERE name LIKE 'authority%'")
        connection.execute("UPDATE setting SET value = '2' WHERE name = 'schema'")
    words = ["render", "--site", "site1", "--output", str(tmp_path / "etc")]
    said = office.refused(*words, "--program-directory", str(office.programs), status=1)
    assert "xsp site issue-certificate site1" in said
    office.json("site", "issue-certificate", "site1")
    assert not rendered(office, "site1", tmp_path / "etc").revoked
