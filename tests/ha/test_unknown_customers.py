"""A site whose customer table is older than its peers': what it hears of customers it does not know yet."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from dataplane.entry import Prefix
from ha.customer_table import CustomerTable, UplinkRight
from ha.events import TableLoaded
from ha.record import same
from mip6.numbers import Status
from tests.ha.cast import CARE_OF_1, HOME, MNP, OVERWRITE, Router, address, both_lines, customer
from tests.ha.mesh import Mesh

NOW = 100.0
ELSEWHERE = (Prefix(address("2001:db8:9::"), 48),)
OTHER = customer(name="office2", home_address=address("2001:db8:f000::52"), prefixes=())


def without_the_customer(mesh: Mesh, name: str) -> None:
    older = CustomerTable(1, {OTHER.home_address: OTHER})
    mesh.feed(name, TableLoaded(older), NOW)


def test_a_record_of_an_unknown_customer_is_kept_and_not_installed_until_the_table_names_him() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    without_the_customer(mesh, "site2")
    mesh.feed("site1", router.update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    one, two = mesh.sites["site1"], mesh.sites["site2"]
    assert same(one.agent.cache.records[HOME], two.agent.cache.records[HOME])
    assert HOME in one.plane.read()
    assert two.plane.read() == {}
    two.load(customer(), OTHER, now=NOW + 1)
    assert two.plane.read()[HOME].paths[0].care_of == CARE_OF_1


@pytest.mark.parametrize("acknowledge", ["any", "all"])
@pytest.mark.parametrize("older", [("site2",), ("site2", "site3")])
def test_a_site_that_does_not_know_the_customer_does_not_vouch_for_him(acknowledge: str, older: Sequence[str]) -> None:
    """Symptom: a table reached one site first; routers registered there, it died, and nobody else forwarded to them."""
    mesh, router = Mesh(acknowledge), Router()
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    for name in older:
        without_the_customer(mesh, name)
    mesh.feed("site1", router.update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.step(("site1", "site2"), NOW)
    mesh.step(("site2*", "site1"), NOW)
    assert mesh.acks == []
    mesh.settle(NOW)
    [(name, ack)] = mesh.acks
    assert (name, ack.ack.status) == ("site1", Status.ACCEPTED)
    counted = mesh.sites["site1"].agent.counters.as_dict()
    enough = acknowledge == "any" and "site3" not in older
    assert counted.get("acknowledged_degraded{not_installed}", 0) == (0 if enough else 1)


@pytest.mark.parametrize("acknowledge", ["any", "all"])
@pytest.mark.parametrize("hello_s_ago", [0.1, 1.0])
def test_a_home_agent_that_only_merged_is_not_enough_because_no_other_is_heard(
    hello_s_ago: float, acknowledge: str
) -> None:
    """With every HELLO too old nobody was hoped for, and a site that did not forward was taken for a reflector."""
    mesh, router = Mesh(acknowledge), Router()
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    without_the_customer(mesh, "site2")
    mesh.gone("site3", NOW)
    now = NOW + hello_s_ago
    mesh.tick(now)
    mesh.feed("site1", router.update(now, both_lines(), flags=OVERWRITE), now)
    mesh.settle(now)
    assert HOME not in mesh.sites["site2"].plane.read()
    [(_, ack)] = mesh.acks
    assert ack.ack.status == Status.ACCEPTED
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "not_installed") == 1


def test_a_deletion_needs_no_customer_to_be_in_force() -> None:
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    mesh.feed("site1", router.update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    for name in ("site2", "site3"):
        without_the_customer(mesh, name)
    mesh.feed("site1", router.update(NOW + 1, (), lifetime_s=0), NOW + 1)
    mesh.settle(NOW + 1)
    assert len(mesh.acks) == 2
    assert "acknowledged_degraded{not_installed}" not in mesh.sites["site1"].agent.counters.as_dict()


@pytest.mark.parametrize(
    "narrower",
    [
        {"uplinks": {**customer().uplinks, 1: UplinkRight(1, "line1", 1, 0, ELSEWHERE)}},
        {"uplinks": {**customer().uplinks, 2: UplinkRight(2, "line2", 1, 0, ELSEWHERE)}},
        {"prefixes": ()},
        {"active": False},
    ],
)
def test_a_site_that_forwards_less_than_the_record_wants_does_not_vouch_for_it(narrower: dict[str, Any]) -> None:
    """Symptom: a line's ISP was renumbered, the table reached one site first, and the other dropped the line and said
    that it had it.
    """
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.say_hello(NOW)
    mesh.tick(NOW)
    mesh.settle(NOW)
    for name in ("site2", "site3"):
        mesh.feed(name, TableLoaded(CustomerTable(2, {HOME: dataclasses.replace(customer(), **narrower)})), NOW)
    mesh.feed("site1", router.update(NOW, both_lines(), flags=OVERWRITE, prefixes=(MNP,)), NOW)
    mesh.settle(NOW)
    assert [ack.ack.status for _, ack in mesh.acks] == [Status.ACCEPTED]
    assert mesh.sites["site1"].counters.get("acknowledged_degraded", "not_installed") == 1


def test_what_a_peers_table_grants_is_not_installed_where_ours_does_not() -> None:
    """The network is another customer's here, by a newer table or a peer's mistake: ours says what is forwarded."""
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mine = dataclasses.replace(customer(), prefixes=())
    mesh.feed("site2", TableLoaded(CustomerTable(2, {HOME: mine})), NOW)
    mesh.feed("site1", router.update(NOW, both_lines(), flags=OVERWRITE), NOW)
    mesh.settle(NOW)
    assert list(mesh.sites["site1"].plane.read()[HOME].prefixes) == [MNP]
    assert list(mesh.sites["site2"].plane.read()[HOME].prefixes) == []
