"""The reference topology as data: consistent with itself."""

from ipaddress import IPv6Interface, IPv6Network

from lab.isp import frr_configuration, ingress_filter
from lab.topology import AGGREGATE, SITES, lan_ends, locator, reference


def test_names_fit_into_the_kernels_limits() -> None:
    for link in reference().links:
        for end in (link.left, link.right):
            assert len(end.interface) <= 15
    for node in reference().nodes:
        assert len(f"x123456-{node.name}") <= 255


def test_both_ends_of_a_link_share_a_prefix_and_no_address_is_given_twice() -> None:
    seen: set[str] = set()
    for link in reference().links:
        if link.left.address is None or link.right.address is None:
            continue
        left, right = IPv6Interface(link.left.address), IPv6Interface(link.right.address)
        assert left.network == right.network
        assert not {str(left.ip), str(right.ip)} & seen
        seen |= {str(left.ip), str(right.ip)}


def test_every_gateway_is_at_the_other_end_of_the_nodes_link() -> None:
    topology = reference()
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


def test_router_and_host_live_on_the_first_lan_of_the_prefix() -> None:
    router, host = lan_ends("2001:db8:f000:100::/56")
    assert str(router) == "2001:db8:f000:100::1/64"
    assert str(host) == "2001:db8:f000:100::10/64"
