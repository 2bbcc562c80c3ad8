"""The Linux drivers on a real kernel: tunnels both ways, the source check, restarts, nothing foreign touched."""

import contextlib
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network

import pytest

from dataplane.driver import Driver
from dataplane.entry import Egress, ForwardingEntry, Path, Prefix, RouterPlan, SitePlan, UplinkPath
from dataplane.linux import LinuxHomeAgent
from dataplane.nfnetlink import SetElements
from dataplane.probe import probe
from dataplane.router import LinuxRouter
from dataplane.ruleset import HOME_AGENT_TABLE
from tests import tunnels
from tests.bgp.site_and_isp import wait_for
from tests.netns import Net
from tests.office import office, udp

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("each_driver")]


def address(text: str) -> bytes:
    return IPv6Address(text).packed


def prefix(text: str) -> Prefix:
    network = IPv6Network(text)
    return Prefix(network.network_address.packed, network.prefixlen)


HA = address("2001:db8:f000::1")
HOME = address("2001:db8:f000::51")
MNP = prefix("2001:db8:f100::/56")
CARE_OF = {1: address("2001:db8:1:c::20"), 2: address("2001:db8:2:c::20")}
GATEWAY = {1: address("2001:db8:1:c::1"), 2: address("2001:db8:2:c::1")}
SITE = SitePlan(HA, (prefix("2001:db8:f000::/36"),), (Egress(address("2001:db8:a::1"), "isp"),))
ROUTER = RouterPlan(HOME, (MNP,), HA, "lan")
BOTH = ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF[1]), Path(2, CARE_OF[2])))
UPLINKS = tuple(UplinkPath(bid, f"line{bid}", CARE_OF[bid], GATEWAY[bid]) for bid in (1, 2))


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    return net.inside("ha", lambda: prepared_home_agent())


@pytest.fixture
def router(net: Net) -> LinuxRouter:
    return net.inside("mr", lambda: prepared_router())


def prepared_home_agent() -> LinuxHomeAgent:
    plane = tunnels.home_agent()
    plane.prepare(SITE)
    assert plane.reconcile({}) == {}
    return plane


def prepared_router() -> LinuxRouter:
    plane = tunnels.mobile_router()
    plane.prepare(ROUTER)
    return plane


def serve(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    assert net.inside("ha", lambda: home_agent.apply({HOME: BOTH})) == {HOME: None}
    net.inside("mr", lambda: carry(router, UPLINKS))


def carry(router: LinuxRouter, uplinks: tuple[UplinkPath, ...]) -> None:
    router.set_lines(uplinks)
    router.apply(uplinks)


def test_the_kernel_offers_a_driver(net: Net) -> None:
    assert net.inside("ha", lambda: probe(tunnels.driver())) is (tunnels.driver() or Driver.SEG6)


def test_our_tunnel_is_the_one_that_ip_makes(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.inside("ha", lambda: home_agent.apply({HOME: BOTH}))
    encap = {
        Driver.SEG6: "seg6 mode encap.red segs 2001:db8:1:c::20 dev lo",
        Driver.IP6TNL: "ip6 id 0 dst 2001:db8:1:c::20 src 2001:db8:f000::1 hoplimit 64 dev xsp-tunnel",
    }[tunnels.driver() or Driver.SEG6]
    net.run("ha", *f"ip -6 nexthop add id 7 encap {encap} proto 208".split())
    ours = str(0x20000000 + 256 + 1)
    told = [net.run("ha", "ip", "nexthop", "show", "id", number).split() for number in (ours, "7")]
    assert (told[0][1], told[1][1]) == (ours, "7")
    assert told[0][2:] == told[1][2:]


def test_packets_pass_both_ways_over_both_lines(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    before = {bid: packets(net, f"line{bid}") for bid in (1, 2)}
    assert udp(net, "cn", "lan", "2001:db8:f100::10", range(20000, 20040)) == 40
    downward = {bid: packets(net, f"line{bid}") for bid in (1, 2)}
    assert all(downward[bid]["rx"] - before[bid]["rx"] >= 5 for bid in (1, 2))
    assert udp(net, "lan", "cn", "2001:db8:e::99", range(20000, 20040)) == 40
    upward = {bid: packets(net, f"line{bid}") for bid in (1, 2)}
    assert all(upward[bid]["tx"] - downward[bid]["tx"] >= 5 for bid in (1, 2))


def packets(net: Net, interface: str) -> dict[str, int]:
    [link] = net.json("mr", "ip", "-j", "-s", "link", "show", interface)
    return {way: link["stats64"][way]["packets"] for way in ("rx", "tx")}


def test_the_home_address_itself_is_reached(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    assert udp(net, "cn", "mr", "2001:db8:f000::51", range(25000, 25010)) == 10


def test_a_spoofed_inner_source_is_dropped_and_counted(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    net.run("lan", "ip", "addr", "add", "2001:db8:f200::66/128", "dev", "eth", "nodad")
    net.run("mr", "ip", "-6", "rule", "add", "from", "2001:db8:f200::66", "lookup", "41000", "pref", "21")
    assert udp(net, "lan", "cn", "2001:db8:e::99", range(21000, 21010), "2001:db8:f200::66") == 0
    assert net.inside("ha", home_agent.counters)["tunnel_packets{source_check}"] >= 10


def test_a_line_that_leaves_is_out_of_the_group_and_its_check_goes_last(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    one = ForwardingEntry(HOME, (MNP,), (Path(2, CARE_OF[2]),))
    net.inside("ha", lambda: home_agent.apply({HOME: one}))
    net.inside("mr", lambda: carry(router, UPLINKS[1:]))
    assert net.inside("ha", home_agent.counters)["check_elements_leaving"] == 2
    assert net.inside("ha", home_agent.read) == {HOME: one}
    assert udp(net, "cn", "lan", "2001:db8:f100::10", range(22000, 22020)) == 20
    assert net.inside("ha", lambda: home_agent.expire(0.0)) == 2.0
    assert net.inside("ha", lambda: home_agent.expire(2.0)) is None
    assert net.inside("ha", home_agent.counters)["check_elements"] == 2


def test_lines_gone_and_back_are_restored_from_whatever_the_kernel_left(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    net.run("mr", "ip", "link", "set", "line1", "down")
    net.inside("mr", lambda: carry(router, UPLINKS[1:]))
    net.run("mr", "ip", "link", "set", "line1", "up")
    net.run("mr", "ip", "addr", "add", "2001:db8:1:c::20/64", "dev", "line1", "nodad")
    net.inside("mr", lambda: carry(router, UPLINKS))
    assert udp(net, "lan", "cn", "2001:db8:e::99", range(23000, 23040)) == 40
    net.inside("mr", lambda: carry(router, ()))
    assert "unreachable" in net.run("mr", "ip", "-6", "route", "show", "table", "41000")


def test_a_restarted_driver_finds_everything_and_changes_nothing(net: Net, home_agent: LinuxHomeAgent) -> None:
    entries = {HOME: BOTH}
    other = address("2001:db8:f000::52")
    entries[other] = ForwardingEntry(
        other, (prefix("2001:db8:f200::/52"),), (Path(1, CARE_OF[1], 3), Path(300, CARE_OF[2], 1, 5))
    )
    assert net.inside("ha", lambda: home_agent.apply(entries)) == {HOME: None, other: None}
    before = everything(net, "ha")

    def restart() -> dict[bytes, ForwardingEntry]:
        again = tunnels.home_agent()
        again.prepare(SITE)
        assert again.reconcile(entries) == {HOME: None, other: None}
        return again.read()

    assert net.inside("ha", restart) == entries
    assert everything(net, "ha") == before


def test_strays_and_holes_are_repaired(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    net.run("ha", "ip", "-6", "route", "del", "2001:db8:f100::/56", "proto", "208")
    net.run("ha", "ip", "-6", "nexthop", "add", "id", str(0x20000000 + 77 * 256 + 3), "blackhole", "proto", "208")
    assert net.inside("ha", lambda: home_agent.reconcile({HOME: BOTH})) == {HOME: None}
    assert net.inside("ha", home_agent.read) == {HOME: BOTH}
    assert str(0x20000000 + 77 * 256 + 3) not in net.run("ha", "ip", "nexthop")
    assert udp(net, "cn", "lan", "2001:db8:f100::10", range(24000, 24020)) == 20
    net.inside("ha", lambda: home_agent.reconcile({}))
    assert net.inside("ha", home_agent.read) == {}


def test_what_the_kernel_refuses_is_reported_and_the_others_go_in(net: Net, home_agent: LinuxHomeAgent) -> None:
    """A foreign group with an id of ours as a member makes the kernel refuse to turn that id into a group."""
    other = address("2001:db8:f000::52")
    net.run("ha", "ip", "-6", "nexthop", "add", "id", str(0x20000000 + 256), "via", "2001:db8:a::1", "dev", "isp")
    net.run("ha", "ip", "nexthop", "add", "id", "7", "group", str(0x20000000 + 256))
    entry = ForwardingEntry(other, (), (Path(1, CARE_OF[1]),))
    results = net.inside("ha", lambda: home_agent.apply({HOME: BOTH, other: entry}))
    assert results[HOME] is not None and results[other] is None
    assert net.inside("ha", home_agent.read) == {other: entry}


def test_purge_leaves_everything_as_it_was(net: Net) -> None:
    net.run("ha", "ip", "-6", "route", "add", "2001:db8:77::/48", "via", "2001:db8:a::1")
    before = everything(net, "ha"), everything(net, "mr")
    home_agent, router = net.inside("ha", prepared_home_agent), net.inside("mr", prepared_router)
    serve(net, home_agent, router)
    assert (everything(net, "ha"), everything(net, "mr")) != before
    net.inside("ha", home_agent.purge)
    net.inside("mr", router.purge)
    assert (everything(net, "ha"), everything(net, "mr")) == before


def everything(net: Net, node: str) -> list[str]:
    # Forwarding stays on after a purge, and with it the kernel's subnet-router anycast addresses.
    commands = (
        "ip -6 route show table all type unicast",
        "ip -6 route show table all type unreachable",
        "ip -6 route show table all type local proto 208",
        "ip -6 rule",
        "ip nexthop",
        "nft -t list tables",  # without it nft reads all elements of all sets first
        "ip -6 addr",
        "ip sr tunsrc show",
    )
    return [net.run(node, *command.split()) for command in commands]


def believed() -> dict[str, set[bytes]]:
    """The elements of the source check by set, by the kernel's dump; to be called inside."""
    with contextlib.closing(SetElements(HOME_AGENT_TABLE)) as asking:
        return {name: set().union(*asking.keys(name)) for name in asking.names() if name.startswith("ok")}


def whole(net: Net) -> tuple[list[list[str]], dict[str, set[bytes]]]:
    """All that a home agent's kernel holds, elements too. What came back may be listed behind what stayed."""
    return [sorted(listed.splitlines()) for listed in everything(net, "ha")], net.inside("ha", believed)


def test_the_egress_is_seen_and_missed(net: Net, home_agent: LinuxHomeAgent) -> None:
    assert net.inside("ha", home_agent.egress_present)
    net.run("ha", "ip", "link", "set", "isp", "down")
    assert not net.inside("ha", home_agent.egress_present)


def test_a_line_that_dies_at_its_far_end_is_missed_at_once_although_other_links_just_changed(
    net: Net, home_agent: LinuxHomeAgent
) -> None:
    """The kernel tells routes of lost carriers once a second, for all links together: 1 s without a default route."""
    assert net.inside("ha", home_agent.egress_present)
    net.run("isp", "ip", "link", "set", "cn", "down")
    net.run("isp", "ip", "link", "set", "site", "down")
    assert not net.inside("ha", home_agent.egress_present)
    net.run("isp", "ip", "link", "set", "site", "up")
    wait_for("the egress is back", lambda: net.inside("ha", home_agent.egress_present))
