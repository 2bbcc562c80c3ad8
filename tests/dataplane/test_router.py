"""The mobile router's driver on a real kernel: lines that fail and return, what is refused, what is silenced."""

import time
from collections.abc import Callable, Iterator

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrRouting
from scapy.packet import Raw

from dataplane import ruleset
from dataplane.driver import Driver
from dataplane.entry import RouterPlan, UplinkPath
from dataplane.errors import DataPlaneError
from dataplane.linux import LinuxHomeAgent
from dataplane.router import LinuxRouter
from tests import tunnels
from tests.dataplane.stream import inner, limited, listen, send
from tests.dataplane.test_linux import (
    CARE_OF,
    GATEWAY,
    HA,
    UPLINKS,
    address,
    carry,
    everything,
    prefix,
    prepared_home_agent,
    prepared_router,
    serve,
)
from tests.netns import Net
from tests.office import office, udp

pytestmark = pytest.mark.netns

CORRESPONDENT = "2001:db8:e::99"
DEADLINE_S = 5.0


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    return net.inside("ha", prepared_home_agent)


@pytest.fixture
def router(net: Net) -> LinuxRouter:
    return net.inside("mr", prepared_router)


def until(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def shown(net: Net) -> str:
    return net.run("mr", "ip", "-6", "route", "show", "table", "41000") + net.run("mr", "ip", "nexthop")


def upward(net: Net, first: int) -> int:
    return udp(net, "lan", "cn", CORRESPONDENT, range(first, first + 20))


def test_a_line_without_carrier_is_refused_by_name_while_the_other_carries(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    """The kernel takes away what leads over a line without carrier; the rest goes on, and all of it comes back."""
    serve(net, home_agent, router)
    net.run("isp", "ip", "link", "set", "line1", "down")
    until(lambda: "dev line1" not in net.run("mr", "ip", "nexthop"))
    assert upward(net, 20000) == 20
    with pytest.raises(DataPlaneError, match="tunnel over line1: Network is down"):
        net.inside("mr", lambda: router.apply(UPLINKS))
    assert upward(net, 20100) == 20
    net.run("isp", "ip", "link", "set", "line1", "up")
    net.run("isp", "ip", "addr", "replace", "2001:db8:1:c::1/64", "dev", "line1", "nodad")
    until(lambda: "LOWER_UP" in net.run("mr", "ip", "link", "show", "line1"))
    net.inside("mr", lambda: carry(router, UPLINKS))
    present = shown(net)
    assert "dev line1" in present and "dev line2" in present
    assert upward(net, 20200) == 20


def test_the_last_line_gone_is_unreachable_and_its_return_is_traffic(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    net.inside("mr", lambda: carry(router, UPLINKS[:1]))
    net.run("isp", "ip", "link", "set", "line1", "down")
    until(lambda: "nhid" not in net.run("mr", "ip", "-6", "route", "show", "table", "41000"))
    assert "unreachable default" in shown(net)
    net.run("isp", "ip", "link", "set", "line1", "up")
    net.run("isp", "ip", "addr", "replace", "2001:db8:1:c::1/64", "dev", "line1", "nodad")
    until(lambda: "LOWER_UP" in net.run("mr", "ip", "link", "show", "line1"))
    net.inside("mr", lambda: carry(router, UPLINKS[:1]))
    until(lambda: upward(net, 20000) == 20)  # the ISP's side of the link may come up a moment later


def test_weights_spread_and_a_changed_weight_replaces_the_group_alone(net: Net, router: LinuxRouter) -> None:
    net.inside("mr", lambda: carry(router, UPLINKS))
    heavy = (UPLINKS[0]._replace(weight=5), UPLINKS[1])
    net.inside("mr", lambda: router.apply(heavy))
    assert "group 805306369,5/805306370" in shown(net)


def test_a_line_that_is_no_more_leaves_nothing_behind(net: Net, router: LinuxRouter) -> None:
    net.inside("mr", lambda: carry(router, UPLINKS))
    net.inside("mr", lambda: carry(router, UPLINKS[1:]))
    assert "41001" not in net.run("mr", "ip", "-6", "rule") + net.run("mr", "ip", "-6", "route", "show", "table", "all")
    assert "dev line1" not in net.run("mr", "ip", "nexthop")


def test_a_changed_care_of_address_and_gateway_replace_the_old(net: Net, router: LinuxRouter) -> None:
    net.inside("mr", lambda: carry(router, UPLINKS))
    net.run("mr", "ip", "addr", "add", "2001:db8:3:c::20/64", "dev", "line1", "nodad")
    moved = UPLINKS[0]._replace(care_of=address("2001:db8:3:c::20"), gateway=address("2001:db8:3:c::1"))
    net.inside("mr", lambda: carry(router, (moved, UPLINKS[1])))
    rules, routes = net.run("mr", "ip", "-6", "rule"), net.run("mr", "ip", "-6", "route", "show", "table", "41001")
    assert "2001:db8:3:c::20" in rules and "2001:db8:1:c::20" not in rules
    assert "via 2001:db8:3:c::1" in routes and len(routes.splitlines()) == 1


def test_what_each_line_says_leaves_by_that_line(net: Net, router: LinuxRouter) -> None:
    net.inside("mr", lambda: router.set_lines(UPLINKS))
    for bid, own in CARE_OF.items():
        [route] = net.json("mr", "ip", "-j", "-6", "route", "get", CORRESPONDENT, "from", text(own))
        assert route["dev"] == f"line{bid}"


def text(octets: bytes) -> str:
    return ":".join(octets[at : at + 2].hex() for at in range(0, 16, 2))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (UplinkPath(1, "nowhere", CARE_OF[1], GATEWAY[1]), "no such interface"),
        (UplinkPath(999, "line1", CARE_OF[1], GATEWAY[1]), "BID is not in 1..998"),
        (UplinkPath(0, "line1", CARE_OF[1], GATEWAY[1]), "BID is not in 1..998"),
        (UplinkPath(1, "line1", CARE_OF[1], GATEWAY[1], 0), "weight is not in 1..256"),
        (UplinkPath(1, "line1", CARE_OF[1], address("2001:db8:9::1")), "default route of line1: No route"),
    ],
)
def test_a_line_that_cannot_be_is_refused_with_a_reason(
    net: Net, router: LinuxRouter, line: UplinkPath, why: str
) -> None:
    with pytest.raises(DataPlaneError, match=why):
        net.inside("mr", lambda: carry(router, (line,)))


def test_tunnels_without_preparation_are_refused(net: Net) -> None:
    with pytest.raises(DataPlaneError, match="not prepared"):
        net.inside("mr", lambda: tunnels.mobile_router().apply(UPLINKS))


def test_what_an_earlier_configuration_made_is_gone(net: Net, router: LinuxRouter) -> None:
    moved = RouterPlan(address("2001:db8:f000::77"), (prefix("2001:db8:f300::/56"),), HA, "lan")
    net.inside("mr", lambda: tunnels.mobile_router().prepare(moved))
    shown = "".join(everything(net, "mr"))
    assert "2001:db8:f000::77" in shown and "2001:db8:f000::51" not in shown
    assert "f100::/56" not in net.run("mr", "ip", "-6", "rule")


def test_a_purge_by_another_process_leaves_nothing(net: Net) -> None:
    before = everything(net, "mr")
    router = net.inside("mr", prepared_router)
    net.inside("mr", lambda: carry(router, UPLINKS))
    net.inside("mr", lambda: tunnels.mobile_router().purge())
    assert everything(net, "mr") == before


def test_a_tunnel_source_that_is_not_ours_stays(net: Net, router: LinuxRouter) -> None:
    """A mobile router, which sets none, and a home agent's purge unset whatever tunnel source they found."""
    net.run("mr", "ip", "sr", "tunsrc", "set", "2001:db8:77::1")
    net.inside("mr", router.purge)
    assert "2001:db8:77::1" in net.run("mr", "ip", "sr", "tunsrc", "show")
    home_agent = net.inside("ha", prepared_home_agent)
    net.run("ha", "ip", "sr", "tunsrc", "set", "2001:db8:77::1")
    net.inside("ha", home_agent.purge)
    assert "2001:db8:77::1" in net.run("ha", "ip", "sr", "tunsrc", "show")
    net.inside("ha", prepared_home_agent)
    net.inside("ha", lambda: tunnels.home_agent().purge())  # as another process does
    assert net.run("ha", "ip", "sr", "tunsrc", "show").split() == ["tunsrc", "addr", "::"]


def test_only_the_home_agent_is_decapsulated(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    inside = IPv6(src=CORRESPONDENT, dst="2001:db8:f100::10") / b"nothing"
    net.run("lan", "nft", "add table ip6 t; add chain ip6 t c { type filter hook prerouting priority 0; }")
    net.run("lan", "nft", f"add rule ip6 t c ip6 saddr {CORRESPONDENT} counter")
    for source, arrived in (("2001:db8:1:c::1", 0), ("2001:db8:f000::1", 1)):
        send(net, "isp", IPv6(src=source, dst="2001:db8:1:c::20") / inside)
        until(lambda n=arrived: f"packets {n} " in net.run("lan", "nft", "list", "chain", "ip6", "t", "c"))  # type: ignore[misc]


def test_the_kernel_keeps_quiet_about_type_2_routing_headers(net: Net) -> None:
    net.run("isp", "nft", "add table ip6 t; add chain ip6 t c { type filter hook input priority 0; }")
    for kind in ("parameter-problem", "destination-unreachable"):
        net.run("isp", "nft", f"add rule ip6 t c icmpv6 type {kind} counter")
    to_router = IPv6(src="2001:db8:1:c::1", dst="2001:db8:1:c::20")
    routed = to_router / IPv6ExtHdrRouting(type=2, segleft=1, nh=59, addresses=["2001:db8:f000::51"])
    closed_port = to_router / UDP(sport=1, dport=1) / b"x"

    def heard(kind: str, count: int) -> bool:
        return f"{kind} counter packets {count} " in net.run("isp", "nft", "list", "chain", "ip6", "t", "c")

    send(net, "isp", routed)
    until(lambda: heard("parameter-problem", 1))
    net.inside("mr", prepared_router)
    send(net, "isp", routed)
    send(net, "isp", closed_port)  # what answers this comes after any answer to the one before
    until(lambda: heard("destination-unreachable", 1))
    assert heard("parameter-problem", 1)


def test_where_a_device_ends_every_tunnel_only_the_home_agent_may_send_through_one(net: Net) -> None:
    """With ip6tnl whoever sent IPv6 in IPv6 to a line's address sent straight into the office."""
    inside = inner("2001:db8:e::99", "2001:db8:f100::10")
    router = net.inside("mr", prepared_router)
    net.run("mr", "nft", "-f", "-", stdin=ruleset.router(HA, Driver.IP6TNL))
    line = "2001:db8:1:c::20"
    stranger = IPv6(src="2001:db8:1:c::1", dst=line)
    packets = [
        stranger / inside,
        stranger / limited(inside),
        IPv6(src="2001:db8:1:c::1", dst=line, nh=4) / Raw(b"E" * 40),
    ]
    # Neither piece says that it is one of a tunnelled packet.
    whole = bytes((60,)) + bytes(limited(limited(inside)))[1:]
    for offset, more, some in ((0, 1, whole[:8]), (1, 0, whole[8:])):
        packets.append(stranger / IPv6ExtHdrFragment(nh=60, offset=offset, m=more, id=7) / Raw(some))

    def dropped(count: int) -> bool:
        return net.inside("mr", router.counters) == {"tunnel_packets{elsewhere}": count}

    for number, packet in enumerate(packets, 1):
        send(net, "isp", packet)
        until(lambda n=number: dropped(n))  # type: ignore[misc]
    with net.inside("lan", listen) as listener:
        send(net, "isp", IPv6(src=text(HA), dst=line) / inside)
        assert listener.recv(100) == b"x"
    assert dropped(len(packets))


def test_with_seg6_the_offices_own_tunnels_are_left_alone() -> None:
    assert "elsewhere drop" not in ruleset.router(HA, Driver.SEG6)
