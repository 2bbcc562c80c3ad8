"""The xsp command as an operator uses it: real processes, a real database, real readers of what it writes."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from ha import customer_table
from ha.customer_table import TableRefused
from tests.ha import configuration
from tests.xsp.operator import ROOT, Office, add_site


def test_a_customer_gets_a_home_address_a_prefix_and_a_key_that_is_never_shown(office: Office) -> None:
    added = office.add_customer("office1")
    assert added["prefixes"] == ["2001:db8:f000:100::/56"]
    assert added["home_address"] == "2001:db8:f000::50"
    assert added == office.json("customer", "show", "office1")
    second = office.add_customer("office2", "--prefix-length", "60")
    assert not IPv6Network(second["prefixes"][0]).overlaps(IPv6Network(added["prefixes"][0]))
    assert "secret" not in json.dumps([added, office.json("customer", "list"), office.json("audit", "list")])


def test_a_customer_may_get_a_network_of_ipv4_that_sites_forward_and_nobody_announces(
    office: Office, tmp_path: Path
) -> None:
    said = office.refused("customer", "add", "office1", "--uplink", "a", "--ipv4-length", "26", status=1)
    assert "/26 is free in no aggregate" in said
    office.json("aggregate", "add", "203.0.113.0/24")
    office.refused("aggregate", "add", "203.0.113.128/25", status=5)
    first = office.add_customer("office1", "--ipv4-length", "26")
    second = office.add_customer("office2", "--ipv4-length", "25")
    assert first["prefixes"] == ["2001:db8:f000:100::/56", "203.0.113.0/26"]
    assert second["prefixes"][1] == "203.0.113.128/25"
    add_site(office, 1)
    office.render("site1", tmp_path / "site1")
    config = configuration.load(tmp_path / "site1" / "ha.toml")
    assert [str(prefix) for prefix in config.aggregates] == ["2001:db8:f000::/36", "203.0.113.0/24"]
    assert [str(route.prefix) for route in config.bgp.route] == ["2001:db8:f000::/36"]
    assert "203.0.113" not in (tmp_path / "site1" / "roa.json").read_text()
    office.json("render", "--customer", "office1", "--output", str(tmp_path / "office1"))
    assert "203.0.113.0/26" in (tmp_path / "office1" / "mr.toml").read_text()


def test_parallel_operators_never_get_the_same_prefix(office: Office) -> None:
    with ThreadPoolExecutor(6) as operators:
        added = list(operators.map(lambda n: office.add_customer(f"office{n}"), range(12)))
    prefixes = [customer["prefixes"][0] for customer in added]
    assert len(set(prefixes)) == 12
    assert len({customer["home_address"] for customer in added}) == 12
    assert len({customer["spi"] for customer in added}) == 12


def test_a_dry_run_says_what_would_be_and_changes_nothing(office: Office) -> None:
    before = office.dump()
    tried = office.add_customer("office1", "--dry-run")
    assert office.dump() == before
    assert office.add_customer("office1")["prefixes"] == tried["prefixes"]


def test_an_idempotency_key_makes_the_same_command_again_harmless(office: Office) -> None:
    words = ("--idempotency-key", "ticket-7", "--reason", "order 7")
    first = office.add_customer("office1", *words)
    before = office.dump()
    assert office.add_customer("office1", *words) == first
    assert office.dump() == before
    said = office.refused("customer", "add", "office2", "--uplink", "a", "--idempotency-key", "ticket-7", status=5)
    assert "ticket-7" in said
    assert office.json("audit", "list")[0]["reason"] == "order 7"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["customer", "add", "office1", "--uplink", "a"], 5),
        (["customer", "add", "bad/name", "--uplink", "a"], 2),
        (["customer", "add", "x", "--uplink", "a", "--uplink", "a"], 2),
        (["customer", "add", "x", "--uplink", "a", "--prefix-length", "12"], 2),
        (["customer", "show", "nobody"], 1),
        (["site", "show", "nowhere"], 1),
        (["aggregate", "add", "2001:db8:f800::/40"], 5),
        (["aggregate", "add", "fe80::/16"], 2),
        (["render", "--output", "out"], 2),
        (["render", "--site", "nowhere", "--output", "out", "--program-directory", "/nowhere"], 4),
        (["init", "--as", "64500"], 5),
        (["table", "publish", "--output", "/proc/nothing/customers.jsonl"], 1),
    ],
)
def test_a_refusal_is_two_sentences_and_changes_nothing(office: Office, words: Sequence[str], status: int) -> None:
    office.add_customer("office1")
    before = office.dump()
    office.refused(*words, status=status)
    if "publish" not in words:  # a version may be used up, never used twice
        assert office.dump() == before


def test_wrong_words_are_usage_errors(office: Office) -> None:
    for words in (
        ["customer", "add"],
        ["aggregate", "add", "nonsense"],
        ["fly"],
        ["customer", "add", "x", "--uplink", "a:b=c"],
    ):
        done = office.run(*words)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_a_registry_that_is_missing_broken_locked_or_foreign_is_said_so(office: Office, tmp_path: Path) -> None:
    missing = office.run("customer", "list", database=f"sqlite:///{tmp_path}/none.db")
    assert (missing.returncode, (tmp_path / "none.db").exists()) == (3, False)
    (tmp_path / "broken.db").write_bytes(b"not a database at all" * 100)
    assert office.run("customer", "list", database=f"sqlite:///{tmp_path}/broken.db").returncode == 3
    sqlite3.connect(tmp_path / "foreign.db").execute("CREATE TABLE x (y)").connection.close()
    assert office.run("customer", "list", database=f"sqlite:///{tmp_path}/foreign.db").returncode == 3
    assert office.run("customer", "list", database="postgresql://nowhere/x").returncode == 2
    holder = sqlite3.connect(office.registry, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    locked = office.run("customer", "add", "x", "--uplink", "a")
    holder.close()
    assert (locked.returncode, "locked" in locked.stderr) == (3, True)
    Path(f"{office.registry}.key").unlink()
    assert "key file" in office.refused("customer", "list", status=3)


def test_a_published_table_is_what_a_home_agent_believes(office: Office, tmp_path: Path) -> None:
    office.add_customer("office1", "--uplink", "line2:bid=7,weight=3,allowed=2001:db8:2::/48")
    add_site(office, 1)
    office.render("site1", tmp_path / "etc")
    config = configuration.load(tmp_path / "etc" / "ha.toml")
    outputs = [tmp_path / "etc" / "customers.jsonl", tmp_path / "other.jsonl"]
    published = office.json("table", "publish", *(word for path in outputs for word in ("--output", str(path))))
    assert stat.S_IMODE(outputs[0].stat().st_mode) == 0o600
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    table = customer_table.parse(outputs[0].read_bytes(), config.public_key_octets(), config.set)
    [customer] = table.customers.values()
    assert (table.version, customer.name, customer.uplinks[7].weight) == (published["version"], "office1", 3)
    assert office.json("table", "publish", "--output", str(outputs[0]))["version"] > published["version"]
    office.json("customer", "suspend", "office1", "--reason", "unpaid")
    office.json("table", "publish", "--output", str(outputs[0]))
    table = customer_table.parse(outputs[0].read_bytes(), config.public_key_octets(), config.set)
    assert not next(iter(table.customers.values())).active
    with pytest.raises(TableRefused, match="signature"):
        customer_table.parse(outputs[0].read_bytes(), bytes(32), config.set)


def test_rendered_files_are_accepted_by_those_who_read_them(office: Office, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        add_site(office, number)
    office.add_customer("office1")
    files = office.render("site1", tmp_path / "site1")["files"]
    for_isp = [f"neighbour-2001-db8-1-a--1-{program}.conf" for program in ("frr", "bird")]
    names = ["ha.toml", "bgp.toml", "exabgp.conf", "bfdd.conf", *for_isp, "roa.json", "irr.txt", "cookie.key"]
    names += ["ca.pem", "site.pem", "site.key", "revoked.pem"]
    assert [Path(file).name for file in files] == names
    config = configuration.load(tmp_path / "site1" / "ha.toml")
    assert [peer.site for peer in config.peer] == ["site2", "site3"]
    office.json("render", "--customer", "office1", "--output", str(tmp_path / "office1"))
    assert stat.S_IMODE((tmp_path / "office1" / "mr.key").stat().st_mode) == 0o600


def test_nothing_is_rendered_where_something_cannot_be_written(office: Office, tmp_path: Path) -> None:
    add_site(office, 1)
    output = tmp_path / "etc"
    output.mkdir()
    (output / "bfdd.conf").mkdir()
    (output / "bfdd.conf" / "in-the-way").write_text("")
    before = sorted(os.listdir(output))
    words = ["--output", str(output), "--program-directory", str(office.programs)]
    done = office.run("render", "--site", "site1", *words)
    assert done.returncode == 1
    assert not any(name.startswith(".") for name in os.listdir(output))
    assert sorted(os.listdir(output)) == before


def test_help_needs_no_database_library() -> None:
    code = (
        "import sys, xsp.cli.main as m\ntry: m.app(['--help'])\nexcept SystemExit: print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip().endswith("False")
