"""Changes under traffic lose nothing, and what is right is not touched: counted in packets and in kernel notices."""

import errno
import socket
from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from dataplane.driver import Driver
from dataplane.entry import ForwardingEntry, Path, SitePlan
from dataplane.linux import LinuxHomeAgent
from dataplane.plan import nexthop_id
from dataplane.router import LinuxRouter
from tests import tunnels
from tests.dataplane.stream import lost_while, spoiled_at_most
from tests.dataplane.test_linux import (
    BOTH,
    CARE_OF,
    HOME,
    MNP,
    SITE,
    address,
    carry,
    everything,
    prefix,
    prepared_home_agent,
    prepared_router,
    serve,
)
from tests.dataplane.test_linux import UPLINKS as LINES
from tests.netns import Net
from tests.office import office, udp

pytestmark = pytest.mark.netns

OFFICE, CORRESPONDENT = "2001:db8:f100::10", "2001:db8:e::99"
OTHER_CARE_OF = address("2001:db8:1:c::21")
OTHER = address("2001:db8:f000::52")
STREAM = 20000
SOL_NETLINK, ADD_MEMBERSHIP, IPV6_RECVERR = 270, 1, 25  # linux/netlink.h, linux/in6.h
NOTICES = (7, 8, 11, 19, 32)  # rtnetlink groups: IPv4 and IPv6 routes, IPv6 rules, nexthops (linux/rtnetlink.h)
NFT_NOTICES = (7,)  # NFNLGRP_NFTABLES


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        # A second address to be reached at; deprecated, or the kernel might take it as the outer source.
        words = "ip addr add 2001:db8:1:c::21/64 dev line1 nodad preferred_lft 0"
        made.run("mr", *words.split())
        yield made


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    return net.inside("ha", prepared_home_agent)


@pytest.fixture
def router(net: Net) -> LinuxRouter:
    return net.inside("mr", prepared_router)


def notices(net: Net, node: str, work: Callable[[], object]) -> int:
    """How many changes of routes, rules, nexthops and nftables the kernel announces while `work` runs in the node."""

    def watched() -> int:
        heard = 0
        with (
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as routes,
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as filters,
        ):
            for watching, groups in ((routes, NOTICES), (filters, NFT_NOTICES)):
                watching.bind((0, 0))
                watching.setblocking(False)
                for group in groups:
                    watching.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
            work()
            for watching in (routes, filters):
                while True:
                    try:
                        watching.recv(1 << 16)
                    except BlockingIOError:
                        break
                    heard += 1
        return heard

    return net.inside(node, watched)


def test_a_care_of_address_change_is_one_nexthop_and_loses_nothing(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    moved = ForwardingEntry(HOME, (MNP,), (Path(1, OTHER_CARE_OF), Path(2, CARE_OF[2])))
    assert net.inside("ha", lambda: home_agent.apply({HOME: moved})) == {HOME: None}
    [nexthop] = net.run("ha", "ip", "nexthop", "show", "id", str(nexthop_id(1, 1))).splitlines()
    assert "2001:db8:1:c::21" in nexthop.split()
    entries, changes = cycle([BOTH, moved]), 0

    def change() -> None:
        nonlocal changes
        entry = next(entries)
        assert net.inside("ha", lambda: home_agent.apply({HOME: entry})) == {HOME: None}
        changes += 1

    assert lost_while(net, "cn", "lan", OFFICE, STREAM, change) == 0
    assert changes >= 10


def test_a_line_that_leaves_and_comes_back_loses_what_was_between_two_processors_at_most(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    one = ForwardingEntry(HOME, (MNP,), (Path(2, CARE_OF[2]),))
    entries, changes = cycle([one, BOTH]), 0

    def change() -> None:
        nonlocal changes
        entry = next(entries)
        assert net.inside("ha", lambda: home_agent.apply({HOME: entry})) == {HOME: None}
        changes += 1

    assert lost_while(net, "cn", "lan", OFFICE, STREAM, change) <= spoiled_at_most(changes)
    assert lost_while(net, "lan", "cn", CORRESPONDENT, STREAM, change) == 0  # the check lingers


def test_a_restart_of_the_home_agent_loses_nothing_either_way(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    planes = [home_agent]

    def restart() -> None:
        def again() -> None:
            planes.append(tunnels.home_agent())
            planes[-1].prepare(SITE)
            assert planes[-1].reconcile({HOME: BOTH}) == {HOME: None}

        net.inside("ha", again)

    assert lost_while(net, "cn", "lan", OFFICE, STREAM, restart) == 0
    assert lost_while(net, "lan", "cn", CORRESPONDENT, STREAM, restart) == 0
    assert len(planes) >= 3


def test_a_restart_of_the_mobile_router_loses_nothing(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    routers = [router]

    def restart() -> None:
        routers.append(net.inside("mr", prepared_router))
        net.inside("mr", lambda: carry(routers[-1], LINES))

    assert lost_while(net, "lan", "cn", CORRESPONDENT, STREAM, restart) == 0
    assert lost_while(net, "cn", "lan", OFFICE, STREAM, restart) == 0


def test_what_is_right_is_not_touched(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    other = ForwardingEntry(
        OTHER, (prefix("2001:db8:f200::/52"),), (Path(1, CARE_OF[1], 3), Path(300, CARE_OF[2], 1, 5))
    )
    entries = {HOME: BOTH, OTHER: other}
    net.inside("ha", lambda: home_agent.apply(entries))
    net.inside("mr", lambda: carry(router, LINES))
    again = net.inside("ha", tunnels.home_agent)
    net.inside("ha", lambda: again.prepare(SITE))
    before = everything(net, "ha")
    assert notices(net, "ha", lambda: again.reconcile(entries)) == 0
    assert notices(net, "ha", lambda: again.apply(entries)) == 0
    assert notices(net, "ha", again.egress_present) == 0
    assert notices(net, "mr", lambda: carry(router, LINES)) == 0
    assert everything(net, "ha") == before
    assert notices(net, "ha", lambda: again.reconcile({HOME: BOTH})) > 0


def test_one_change_is_few_notices(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.inside("ha", lambda: home_agent.apply({HOME: BOTH}))
    heavier = ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF[1], 3), Path(2, CARE_OF[2])))
    # The group, and in compatibility mode (net.ipv4.nexthop_compat_mode) one for each of the two routes through it.
    assert notices(net, "ha", lambda: home_agent.apply({HOME: heavier})) <= 3


def test_a_line_that_the_kernel_refuses_in_place_of_the_only_one_loses_nothing(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    """The old line was removed all the same, with it its group and its routes, which came back only afterwards."""
    only = ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF[1]),))
    assert net.inside("ha", lambda: home_agent.apply({HOME: only})) == {HOME: None}
    net.inside("mr", lambda: carry(router, LINES))
    # A group in the place of the new line, which the kernel turns into no tunnel.
    for words in ("id 7 blackhole", f"id {nexthop_id(1, 2)} group 7"):
        net.run("ha", "ip", "nexthop", "add", *words.split())
    changed, changes = ForwardingEntry(HOME, (MNP,), (Path(2, CARE_OF[2]),)), 0

    def change() -> None:
        nonlocal changes
        assert net.inside("ha", lambda: home_agent.apply({HOME: changed}))[HOME] is not None
        changes += 1

    assert lost_while(net, "cn", "lan", OFFICE, STREAM, change) <= spoiled_at_most(changes)
    assert changes >= 10
    assert net.inside("ha", home_agent.read) == {HOME: only}


def test_a_lost_route_comes_back_and_nothing_else_is_touched(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    """The route of the home address is what a customer is known by: without it the network's still tells."""
    serve(net, home_agent, router)
    net.run("ha", "ip", "-6", "route", "del", "2001:db8:f000::51", "proto", "208")
    again = net.inside("ha", tunnels.home_agent)
    net.inside("ha", lambda: again.prepare(SITE))
    assert net.inside("ha", again.read) == {}
    assert notices(net, "ha", lambda: again.reconcile({HOME: BOTH})) == 1
    assert net.inside("ha", again.read) == {HOME: BOTH}


def test_everything_comes_back_after_the_loopback_was_down(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    net.run("ha", "ip", "link", "set", "lo", "down")
    if tunnels.driver() is not Driver.IP6TNL:  # whose tunnels are on a device of their own
        assert net.inside("ha", home_agent.read) == {}
    net.run("ha", "ip", "link", "set", "lo", "up")
    net.inside("ha", lambda: home_agent.prepare(SITE))
    assert net.inside("ha", lambda: home_agent.reconcile({HOME: BOTH})) == {HOME: None}
    assert udp(net, "cn", "lan", OFFICE, range(25000, 25020)) == 20
    assert udp(net, "lan", "cn", CORRESPONDENT, range(25000, 25020)) == 20


def test_an_unbound_customer_is_answered_unreachable(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    net.inside("ha", lambda: home_agent.apply({HOME: None}))

    def answered() -> int | None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            one.settimeout(2)
            one.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
            one.connect((OFFICE, 7))
            one.send(b"x")
            try:
                one.recv(1)
            except OSError as error:
                return error.errno
        return 0

    assert net.inside("cn", answered) == errno.ENETUNREACH


def test_what_an_earlier_configuration_made_is_gone(net: Net, home_agent: LinuxHomeAgent) -> None:
    moved = SitePlan(address("2001:db8:e000::1"), (prefix("2001:db8:e000::/36"),), SITE.egresses)
    net.inside("ha", lambda: tunnels.home_agent().prepare(moved))
    assert "f000" not in "".join(everything(net, "ha")).replace("fe80", "")
    assert "2001:db8:f000" not in net.run("ha", "nft", "list", "table", "ip6", "xsp_ha")


def test_the_outer_hop_limit_is_a_tunnels_own_in_both_directions(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    net.run("isp", "nft", "add table ip6 t; add chain ip6 t c { type filter hook prerouting priority 0; }")
    for limit in ("64", "!= 64"):
        net.run("isp", "nft", f"add rule ip6 t c ip6 nexthdr 41 ip6 hoplimit {limit} counter")
    udp(net, "cn", "lan", OFFICE, range(26000, 26005))
    udp(net, "lan", "cn", CORRESPONDENT, range(26000, 26005))
    rules = net.run("isp", "nft", "list", "chain", "ip6", "t", "c")
    assert "hoplimit 64 counter packets 10" in rules and "hoplimit != 64 counter packets 0" in rules
