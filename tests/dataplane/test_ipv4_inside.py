"""Networks of IPv4 behind the same tunnels: both ways over both lines, checked, counted, and gone with the binding."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.packet import Packet

from dataplane.accounting import volumes
from dataplane.entry import ForwardingEntry, Path, Prefix, Volume
from dataplane.linux import LinuxHomeAgent
from dataplane.router import LinuxRouter
from dataplane.tunnel_end import tunnel_end
from tests import tunnels
from tests.dataplane.stream import limited, send
from tests.dataplane.test_linux import (
    BOTH,
    CARE_OF,
    HOME,
    MNP,
    ROUTER,
    SITE,
    UPLINKS,
    carry,
    everything,
    packets,
)
from tests.netns import Net
from tests.office import office, udp

pytestmark = pytest.mark.netns

OFFICE, CORRESPONDENT, PORT = "203.0.113.10", "192.0.2.99", 7777
IP_RECVERR = 11  # linux/in.h
HOME_AGENT, LINE_1 = "2001:db8:f000::1", "2001:db8:1:c::20"


def prefix(text: str) -> Prefix:
    network = IPv4Network(text)
    return Prefix(network.network_address.packed, network.prefixlen)


MNP4 = prefix("203.0.113.0/26")
SITE4 = replace(SITE, aggregates=(*SITE.aggregates, prefix("203.0.113.0/24")))
ROUTER4 = replace(ROUTER, prefixes=(MNP, MNP4))
BOTH4 = replace(BOTH, prefixes=(MNP, MNP4))


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        ipv4_beside(made)
        yield made


def ipv4_beside(made: Net) -> None:
    """Addresses and routes of IPv4 for the office, the correspondent and the Internet between."""
    for node, interface, text in (
        ("ha", "isp", "198.51.100.10/24"),
        ("isp", "site", "198.51.100.1/24"),
        ("isp", "cn", "192.0.2.1/24"),
        ("cn", "eth", "192.0.2.99/24"),
        ("mr", "lan", "203.0.113.1/26"),
        ("lan", "eth", "203.0.113.10/26"),
    ):
        made.run(node, "ip", "addr", "add", text, "dev", interface)
    made.run("isp", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for node, route in (
        ("isp", "203.0.113.0/24 via 198.51.100.10"),
        ("cn", "default via 192.0.2.1"),
        ("lan", "default via 203.0.113.1"),
        ("ha", "default via 198.51.100.1"),
    ):
        made.run(node, "ip", "route", "add", *route.split())


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    return net.inside("ha", prepared_home_agent)


@pytest.fixture
def router(net: Net) -> LinuxRouter:
    return net.inside("mr", prepared_router)


def prepared_home_agent() -> LinuxHomeAgent:
    plane = tunnels.home_agent()
    plane.prepare(SITE4)
    assert plane.reconcile({}) == {}
    return plane


def prepared_router() -> LinuxRouter:
    plane = tunnels.mobile_router()
    plane.prepare(ROUTER4)
    return plane


def serve(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    assert net.inside("ha", lambda: home_agent.apply({HOME: BOTH4})) == {HOME: None}
    net.inside("mr", lambda: carry(router, UPLINKS))


def arrived(net: Net, sender: str, receiver: str, destination: str, count: int = 40) -> int:
    """How many of so many flows' single datagrams arrive."""

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("", PORT))
        listener.settimeout(0.5)
        return listener

    def sent() -> None:
        for port in range(20000, 20000 + count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind(("", port))
                one.sendto(b"x", (destination, PORT))

    with net.inside(receiver, listen) as listener:
        net.inside(sender, sent)
        for number in range(count):
            try:
                listener.recv(10)
            except TimeoutError:
                return number
    return count


def test_packets_pass_both_ways_over_both_lines_and_are_counted(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    before = {bid: packets(net, f"line{bid}") for bid in (1, 2)}
    assert arrived(net, "cn", "lan", OFFICE) == 40
    downward = {bid: packets(net, f"line{bid}") for bid in (1, 2)}
    assert all(downward[bid]["rx"] - before[bid]["rx"] >= 5 for bid in (1, 2))
    assert arrived(net, "lan", "cn", CORRESPONDENT) == 40
    upward = {bid: packets(net, f"line{bid}") for bid in (1, 2)}
    assert all(upward[bid]["tx"] - downward[bid]["tx"] >= 5 for bid in (1, 2))
    assert net.inside("ha", volumes) == {MNP4: Volume(40, 40 * 29, 40, 40 * 29)}


@pytest.mark.parametrize("rp_filter", [0, 2])
def test_a_loose_reverse_path_filter_lets_them_pass(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter, rp_filter: int
) -> None:
    for node in ("ha", "mr"):
        for name in ("all", "default", "lo"):
            net.run(node, "sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter={rp_filter}")
    serve(net, home_agent, router)
    assert arrived(net, "cn", "lan", OFFICE) == 40
    assert arrived(net, "lan", "cn", CORRESPONDENT) == 40


def test_ipv6_goes_on_beside_it(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    assert udp(net, "cn", "lan", "2001:db8:f100::10", range(20000, 20040)) == 40
    assert udp(net, "lan", "cn", "2001:db8:e::99", range(20000, 20040)) == 40


def test_what_was_applied_is_read_and_a_restart_changes_nothing(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.inside("ha", lambda: home_agent.apply({HOME: BOTH4}))
    assert net.inside("ha", home_agent.read) == {HOME: BOTH4}
    before = everything(net, "ha"), net.run("ha", "ip", "-4", "route")

    def restart() -> dict[bytes, ForwardingEntry]:
        again = tunnels.home_agent()
        again.prepare(SITE4)
        assert again.reconcile({HOME: BOTH4}) == {HOME: None}
        return again.read()

    assert net.inside("ha", restart) == {HOME: BOTH4}
    assert (everything(net, "ha"), net.run("ha", "ip", "-4", "route")) == before


def test_a_route_taken_by_somebody_else_is_noticed_and_repaired(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    net.inside("ha", home_agent.disturbances)
    net.run("ha", "ip", "-4", "route", "del", "203.0.113.0/26", "proto", "208")
    assert net.inside("ha", home_agent.disturbances) == {"routes"}
    assert net.inside("ha", lambda: home_agent.reconcile({HOME: BOTH4})) == {HOME: None}
    assert arrived(net, "cn", "lan", OFFICE) == 40


def inner(source: str) -> Packet:
    return IP(src=source, dst=CORRESPONDENT) / UDP(sport=1234, dport=PORT) / b"x"


@pytest.mark.parametrize(
    ("source", "outer", "passes"),
    [
        ("203.0.113.0", LINE_1, True),
        ("203.0.113.63", LINE_1, True),
        ("203.0.113.64", LINE_1, False),
        ("203.0.112.255", LINE_1, False),
        ("203.0.113.10", "2001:db8:1:c::66", False),
    ],
)
def test_exactly_the_network_passes_and_only_from_its_line(
    net: Net, home_agent: LinuxHomeAgent, source: str, outer: str, passes: bool
) -> None:
    net.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
    net.inside("ha", lambda: home_agent.apply({HOME: BOTH4}))
    before = net.inside("ha", home_agent.counters)
    head = IPv6(src=outer, dst=HOME_AGENT)
    for packet in (head / inner(source), head / limited_ipv4(inner(source))):
        send(net, "mr", packet)
    after = net.inside("ha", home_agent.counters)
    verdicts = [name for name in after if "packets{" in name and name != "tunnel_packets{tunnelled_out}"]  # the answers
    grown = {name for name in verdicts if after[name] == before[name] + 2}
    assert grown == {"tunnel_packets{tunnelled_in}" if passes else "tunnel_packets{source_check}"}


def limited_ipv4(inside: Packet) -> Packet:
    packet = limited(inside)
    packet.nh = 4
    return packet


def test_ipv4_behind_any_other_header_is_dropped(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
    net.inside("ha", lambda: home_agent.apply({HOME: BOTH4}))
    send(net, "mr", IPv6(src=LINE_1, dst=HOME_AGENT) / IPv6ExtHdrHopByHop(nh=4) / inner("203.0.113.10"))
    counted = net.inside("ha", home_agent.counters)
    assert counted["tunnel_packets{source_check}"] == 1 and counted["tunnel_packets{tunnelled_in}"] == 0


def test_without_a_binding_the_sender_hears_that_it_is_unreachable(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.inside("ha", lambda: home_agent.apply({HOME: replace(BOTH4, paths=(Path(1, CARE_OF[1]),))}))
    net.inside("ha", lambda: home_agent.apply({HOME: None}))

    def refused() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(2.0)
            one.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            one.connect((OFFICE, PORT))
            one.send(b"x")
            try:
                one.recv(10)
            except OSError as error:
                return not isinstance(error, TimeoutError)
        return False

    assert net.inside("cn", refused)
    assert net.inside("ha", home_agent.read) == {}


def test_the_last_line_gone_is_unreachable_and_only_the_networks_use_the_tunnels(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    shown = net.run("mr", "ip", "-4", "route", "get", CORRESPONDENT, "from", "203.0.113.1")
    assert "table 41000" in shown
    assert net.run("mr", "ip", "-4", "route", "get", CORRESPONDENT, check=False) == ""  # no route of its own
    net.inside("mr", lambda: carry(router, ()))
    assert arrived(net, "lan", "cn", CORRESPONDENT, 5) == 0
    assert "unreachable default" in net.run("mr", "ip", "-4", "route", "show", "table", "41000")
    assert "nhid" not in net.run("mr", "ip", "-4", "route", "show", "table", "41000")
    net.inside("mr", lambda: carry(router, UPLINKS))
    assert arrived(net, "lan", "cn", CORRESPONDENT, 5) == 5


def test_purge_leaves_nothing_of_ipv4(net: Net) -> None:
    def state(node: str) -> list[str]:
        words = ("ip -4 route show table all", "ip -4 rule")
        return [*everything(net, node), *(net.run(node, *one.split()) for one in words)]

    before = state("ha"), state("mr")
    home_agent, router = net.inside("ha", prepared_home_agent), net.inside("mr", prepared_router)
    serve(net, home_agent, router)
    assert (state("ha"), state("mr")) != before
    net.inside("ha", home_agent.purge)
    net.inside("mr", router.purge)
    assert (state("ha"), state("mr")) == before


def test_a_site_that_no_longer_serves_ipv4_decapsulates_none(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.inside("ha", lambda: home_agent.prepare(SITE))
    end = IPv6Address(tunnel_end(SITE.home_agent_address, 4))
    assert str(end) not in net.run("ha", "ip", "-6", "route", "show", "table", "local")
    assert "203.0.113" not in net.run("ha", "ip", "-4", "route", "show", "proto", "208")


def test_a_site_without_ipv4_serves_the_rest_of_a_customer_that_has_it(net: Net) -> None:
    """Its table names all networks of a customer, and such a site may not have been rendered anew yet."""

    def prepared() -> LinuxHomeAgent:
        plane = tunnels.home_agent()
        plane.prepare(SITE)
        return plane

    home_agent = net.inside("ha", prepared)
    assert net.inside("ha", lambda: home_agent.apply({HOME: BOTH4})) == {HOME: None}
    listed = net.run("ha", "nft", "list", "table", "ip6", "xsp_ha")
    assert "@ok4_" not in listed and listed.count("@ok56 ") == 3
