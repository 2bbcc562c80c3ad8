"""The topologies as data: consistent with themselves."""

from ipaddress import IPv6Interface, IPv6Network

import pytest

from lab.isp import frr_configuration, ingress_filter
from lab.topology import AGGREGATE, ISPS, LINES, SITES, TOPOLOGIES, Topology, lan_ends, locator, reference

EVERY = pytest.mark.parametrize("topology", [make() for make in TOPOLOGIES.values()], ids=list(TOPOLOGIES))


@EVERY
def test_names_fit_into_the_kernels_limits(topology: Topology) -> None:
    for link in topology.links:
        for end in (link.left, link.right):
            assert len(end.interface) <= 15
    for node in topology.nodes:
        assert len(f"x123456-{node.name}") <= 255


@EVERY
def test_both_ends_of_a_link_share_a_prefix_and_no_address_is_given_twice(topology: Topology) -> None:
    seen: set[str] = set()
    for link in topology.links:
        if link.left.address is None or link.right.address is None:
            continue
        left, right = IPv6Interface(link.left.address), IPv6Interface(link.right.address)
        assert left.network == right.network
        assert not {str(left.ip), str(right.ip)} & seen
        seen |= {str(left.ip), str(right.ip)}


@EVERY
def test_every_gateway_is_at_the_other_end_of_the_nodes_link(topology: Topology) -> None:
    for node in topology.nodes:
        if node.gateway is not None:
            ends = [link for link in topology.links if link.right.node == node.name]
            assert node.gateway in [str(IPv6Interface(link.left.address or "").ip) for link in ends]


def test_locators_lie_outside_the_aggregate() -> None:
    assert not any(IPv6Interface(locator(site)).ip in IPv6Network(AGGREGATE) for site in SITES)


def test_a_line_may_not_send_the_aggregate_and_a_site_may() -> None:
    text = ingress_filter(reference().isps[0])
    line = next(row for row in text.splitlines() if '"line1"' in row)
    site = next(row for row in text.splitlines() if '"site1"' in row)
    assert AGGREGATE not in line
    assert AGGREGATE in site


def test_an_isp_peers_with_the_others_and_not_with_itself() -> None:
    text = frr_configuration(reference().isps[1])
    assert "remote-as 64501" in text
    assert "remote-as 64503" in text
    assert "remote-as 64502" not in text


@EVERY
def test_every_site_and_line_is_sold_by_one_isp_and_isps_agree_on_their_links(topology: Topology) -> None:
    sold = [access.interface for isp in topology.isps for access in isp.access]
    assert sorted(name for name in sold if not name.startswith("cn")) == sorted((*SITES, *LINES, *topology.hubs))
    assert {isp.site for isp in topology.isps if isp.number in ISPS} == set(SITES)
    by_number = {isp.number: isp for isp in topology.isps}
    assert all(isp.number in by_number[other].peers for isp in topology.isps for other in isp.peers)


def test_two_isps_stand_between_the_correspondent_and_every_site_in_the_failover_topologies() -> None:
    for name in ("failover", "failover-mesh"):
        topology = TOPOLOGIES[name]()
        at = topology.isp_of("cn4")
        assert at.site is None
        assert all(topology.isp_of(site).number in at.peers for site in SITES)


def test_an_isp_sends_updates_no_faster_than_its_advertisement_interval() -> None:
    assert "advertisement-interval 30" in frr_configuration(reference().isps[0], 30)


def test_router_and_host_live_on_the_first_lan_of_the_prefix() -> None:
    router, host = lan_ends("2001:db8:f000:100::/56")
    assert str(router) == "2001:db8:f000:100::1/64"
    assert str(host) == "2001:db8:f000:100::10/64"
