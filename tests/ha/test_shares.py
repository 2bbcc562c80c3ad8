"""How much each line of a customer carries: by the published table, and by what the router says of it (BID-PRI)."""

from dataclasses import replace

from ha.customer_table import UplinkRight
from mip6.options import BindingIdentifier
from tests.ha.cast import CARE_OF_1, CARE_OF_2, HOME, Router, Site, customer

NOW = 100.0
TABLE = {1: UplinkRight(1, "line1", 3, 0, ()), 2: UplinkRight(2, "line2", 1, 5, ())}


def shares(*bids: BindingIdentifier) -> list[tuple[int, int, int]]:
    """BID, weight and priority of each path in the kernel."""
    site = Site()
    site.load(customer(uplinks=TABLE, verify_care_of=False))
    site.feed(Router().update(NOW, bids), NOW)
    return [(path.bid, path.weight, path.priority) for path in site.plane.read()[HOME].paths]


ONE, TWO = BindingIdentifier(1, care_of=CARE_OF_1), BindingIdentifier(2, care_of=CARE_OF_2)


def test_weight_and_priority_are_those_of_the_table() -> None:
    assert shares(ONE, TWO) == [(1, 3, 0), (2, 1, 5)]


def test_a_priority_that_the_router_names_goes_before_the_tables() -> None:
    assert shares(replace(ONE, priority=9), replace(TWO, priority=2)) == [(1, 3, 9), (2, 1, 2)]


def test_a_line_that_the_table_does_not_name_shares_equally() -> None:
    assert shares(BindingIdentifier(7, care_of=CARE_OF_1)) == [(7, 1, 0)]
