"""Reflectors in the office: who is told of whom, what is refused, and the files that the programs then accept."""

import sqlite3
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import bgp.config
import ha.config
from ha.config import Config, Reflector
from tests.xsp.operator import Office, add_site
from xsp import topology
from xsp.model import Role, Site


def site(name: str, role: Role = Role.HOME_AGENT) -> Site:
    return Site(name, "default", IPv6Address("2001:db8:1:a::10"), "isp", None, "192.0.2.1", (), role)


def told(here: Site, *others: Site) -> dict[str, str]:
    """What each of the others is to a site."""
    return {
        peer.site.name: "reflector" if peer.reflects else "beyond" if peer.beyond else "peer"
        for peer in topology.peers(here, others)
    }


def test_without_a_reflector_everybody_is_a_peer() -> None:
    assert told(site("a"), site("b"), site("c")) == {"b": "peer", "c": "peer"}


def test_clients_talk_to_reflectors_alone_and_these_to_everybody() -> None:
    hub, both = site("hub", Role.REFLECTOR), site("r", Role.BOTH)
    assert told(site("a"), site("b"), hub, both) == {"b": "beyond", "hub": "reflector", "r": "reflector"}
    assert told(hub, site("a"), both) == {"a": "peer", "r": "reflector"}
    assert told(both, site("a"), hub) == {"a": "peer", "hub": "reflector"}


def test_a_star_is_rendered_and_read_by_home_agents_and_reflectors(office: Office, tmp_path: Path) -> None:
    add_site(office, 1)
    add_site(office, 2)
    office.json("site", "add", "hub", "--locator", "2001:db8:9:a::10", "--role", "reflector")
    files = {name: office.render(name, tmp_path / name)["files"] for name in ("site1", "hub")}
    assert [Path(file).name for file in files["hub"]] == ["ha.toml", "ca.pem", "site.pem", "site.key", "revoked.pem"]
    client, hub = (ha.config.load(tmp_path / name / "ha.toml") for name in ("site1", "hub"))
    assert isinstance(client, Config)
    assert isinstance(hub, Reflector)
    assert (client.topology.peers, client.topology.beyond) == (("hub",), ("site2",))
    assert client.topology.reflectors == {"hub"}
    assert (hub.topology.peers, hub.topology.reflects) == (("site1", "site2"), True)
    fellows = bgp.config.load(tmp_path / "site1" / "bgp.toml").fellows
    assert fellows is not None
    assert [one.name for one in fellows.site] == ["site2"]  # a reflector has no xsp-bgp

    office.json("site", "role", "site2", "both")
    office.render("site2", tmp_path / "site2")
    both = ha.config.load(tmp_path / "site2" / "ha.toml")
    assert both.topology.reflects
    assert office.json("site", "show", "site2")["role"] == "both"
    office.refused("site", "role", "hub", "both", status=1)
    office.json("site", "role", "site2", "home-agent")
    assert office.json("site", "show", "site2")["role"] == "home-agent"


@pytest.mark.parametrize(
    "words",
    [
        ("site", "add", "x", "--locator", "2001:db8:9:a::11"),
        ("site", "add", "x", "--locator", "2001:db8:9:a::11", "--role", "reflector", "--neighbour-as", "64501"),
    ],
)
def test_a_role_without_what_it_needs_is_refused(office: Office, words: tuple[str, ...]) -> None:
    before = office.dump()
    office.refused(*words, status=2)
    assert office.dump() == before


def test_a_registry_from_before_there_were_reflectors_has_home_agents(office: Office) -> None:
    add_site(office, 1)
    with sqlite3.connect(office.registry) as connection:
        connection.execute("DROP TABLE reflector")
        connection.execute("UPDATE setting SET value = '3' WHERE name = 'schema'")
    assert office.json("site", "show", "site1")["role"] == "home-agent"
