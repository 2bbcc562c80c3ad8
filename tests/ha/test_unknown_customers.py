"""A site whose customer table is older than its peers': what it hears of customers it does not know yet."""

import dataclasses

from ha.customer_table import CustomerTable
from ha.events import TableLoaded
from ha.record import same
from tests.ha.cast import CARE_OF_1, HOME, MNP, OVERWRITE, Router, address, both_lines, customer
from tests.ha.mesh import Mesh

NOW = 100.0
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
