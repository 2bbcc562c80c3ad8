"""Sabotage changes what it says, at one site, and nothing without being asked."""

import pytest

from lab.faults import Fault, neighbour_block

BLOCK = """router bgp 64501
 neighbor 2001:db8:1:a::10 remote-as 64500
 neighbor 2001:db8:1:a::10 timers 1 3
 neighbor 2001:db8:1:a::10 bfd profile XSP
 address-family ipv6 unicast
  neighbor 2001:db8:1:a::10 activate
"""


def test_without_withdraw_the_isp_has_no_bfd_and_an_hour_of_patience() -> None:
    text = neighbour_block(Fault.NO_WITHDRAW, "site1", BLOCK)
    assert "bfd" not in text
    assert "timers 1200 3600" in text
    assert "remote-as 64500" in text
    assert "activate" in text


@pytest.mark.parametrize(
    ("fault", "site"), [(Fault.NONE, "site1"), (Fault.NO_LEASE, "site1"), (Fault.NO_WITHDRAW, "site2")]
)
def test_everything_else_stays_as_rendered(fault: Fault, site: str) -> None:
    assert neighbour_block(fault, site, BLOCK) == BLOCK
