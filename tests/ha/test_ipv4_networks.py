"""A customer's networks of IPv4: forwarded with its binding, named in no Binding Update, mixed up with nothing."""

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from dataplane.entry import Prefix
from ha import care_of
from ha.prefix import prefix_text
from ha.site_plan import site_plan
from mip6.numbers import Status
from tests.ha import configuration
from tests.ha.cast import HOME, MNP, Router, Site, both_lines, customer
from tests.ha.test_files import CONFIG, written

NOW = 100.0


def prefix(text: str) -> Prefix:
    network = IPv4Network(text)
    return Prefix(network.network_address.packed, network.prefixlen)


MNP4 = prefix("203.0.113.0/26")


def test_networks_of_ipv4_go_with_every_binding_named_or_not() -> None:
    for named, forwarded in (([MNP], (MNP, MNP4)), ([], (MNP, MNP4))):
        site = Site()
        site.load(customer(prefixes=(MNP, MNP4)))
        [ack] = site.acks(Router().update(NOW, both_lines(), prefixes=named), NOW)
        assert ack.ack.status == Status.ACCEPTED
        assert site.plane.read()[HOME].prefixes == forwarded


def test_a_care_of_address_whose_first_octets_are_those_of_a_network_of_ipv4_is_good() -> None:
    row = customer(prefixes=(prefix("32.1.13.0/24"),))  # 2001:db8 begins with 32.1.13.184
    site = Site()
    address = bytes.fromhex("20010d00000100000000000000000020")
    assert care_of.refusal(address, 9, replace(row, uplinks={}), site.policy) is None


def test_a_prefix_of_ipv4_is_printed_as_one() -> None:
    assert prefix_text(MNP4) == "203.0.113.0/26"


def test_an_aggregate_of_ipv4_is_for_the_data_plane_and_none_that_home_addresses_lie_in(tmp_path: Path) -> None:
    both = 'aggregates = ["2001:db8:f000::/36", "203.0.113.0/24"]'
    read = configuration.load(written(tmp_path, CONFIG.replace('aggregates = ["2001:db8:f000::/36"]', both)))
    assert len(read.policy(b"").aggregates) == 1
    assert site_plan(read).aggregates[1] == prefix("203.0.113.0/24")
