"""Where tunnels end with seg6: who gets there, and what if it is gone, or what an earlier version had is there."""

import re
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet, Raw

from dataplane.driver import Driver
from dataplane.linux import LinuxHomeAgent
from dataplane.tunnel_end import tunnel_end
from tests import tunnels
from tests.dataplane.stream import inner, limited, send
from tests.dataplane.test_linux import HOME, SITE
from tests.dataplane.test_source_check import (
    CORRESPONDENT,
    HOME_AGENT,
    LINE_1,
    OFFICE,
    apply,
    counted,
    customer,
    outer,
    passed,
)
from tests.netns import Net
from tests.office import office

END = str(IPv6Address(tunnel_end(IPv6Address(HOME_AGENT).packed, 6)))
NETNS = pytest.mark.netns
FORMER = (
    "nexthop replace id 536870912 encap seg6local action End.DT6 table 254 dev lo proto 208",
    "route replace 2001:db8:f000::1 nhid 536870912 table 41000 proto 208",
    "rule add pref 0 to 2001:db8:f000::1 ipproto 41 lookup 41000 proto 208",
    "rule add pref 100 lookup local proto 208",
    "rule del pref 0 lookup local",
)


@pytest.fixture
def net() -> Iterator[Net]:
    with tunnels.using(Driver.SEG6), office() as made:
        made.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
        made.run("isp", "ip", "-6", "route", "add", f"{END}/128", "via", "2001:db8:a::10")
        yield made


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    made = net.inside("ha", prepared)
    apply(net, made, customer())
    return made


def prepared() -> LinuxHomeAgent:
    plane = tunnels.home_agent()
    plane.prepare(SITE)
    return plane


def count_what_leaves(net: Net) -> None:
    """... the home agent for where tunnels end, behind all rules of ours."""
    hook = "{ type filter hook postrouting priority 10; }"
    for words in ("table ip6 t", f"chain ip6 t out {hook}", "rule ip6 t out ip6 daddr 100::/64 counter"):
        net.run("ha", "nft", "add", *words.split())


def leaves(net: Net) -> int:
    [found] = re.findall(r"counter packets (\d+)", net.run("ha", "nft", "list", "chain", "ip6", "t", "out"))
    return int(found)


def rules(net: Net) -> list[str]:
    return net.run("ha", "ip", "-6", "rule").splitlines()


@given(st.binary(min_size=16, max_size=16))
def test_a_sum_over_the_packet_stays_right(home_agent_address: bytes) -> None:
    def total(address: bytes) -> int:
        return sum(int.from_bytes(address[at : at + 2], "big") for at in range(0, 16, 2)) % 0xFFFF

    ends = [tunnel_end(home_agent_address, version) for version in (6, 4)]
    assert [total(end) for end in ends] == [total(home_agent_address)] * 2
    assert ends[0] != ends[1] and all(end.startswith(bytes.fromhex("0100000000000000")) for end in ends)


@NETNS
def test_no_policy_rule_is_needed(net: Net, home_agent: LinuxHomeAgent) -> None:
    """With one the kernel looks up the route of each packet of a batch anew."""
    assert rules(net) == net.run("cn", "ip", "-6", "rule").splitlines()
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 1


@NETNS
def test_nobody_else_sends_there(net: Net, home_agent: LinuxHomeAgent) -> None:
    """Not even what would have been believed, whole or in pieces; and the kernel drops what is no tunnel."""
    inside = inner(OFFICE, CORRESPONDENT)
    there = IPv6(src=LINE_1, dst=END)
    first, second = bytes(inside)[:48], bytes(inside)[48:]
    pieces: list[Packet] = [
        there / IPv6ExtHdrFragment(nh=41, offset=0, m=1, id=79) / Raw(first),
        there / IPv6ExtHdrFragment(nh=41, offset=6, m=0, id=79) / Raw(second),
    ]
    bad: list[list[Packet]] = [[there / inside], [there / limited(inside)], [there / ICMPv6EchoRequest()], pieces]
    for number, packets in enumerate(bad, 1):
        assert passed(net, packets) == 0
        assert counted(net, home_agent, "elsewhere") == number
    count_what_leaves(net)
    send(net, "mr", there / UDP(dport=9))
    send(net, "mr", outer(inner(OFFICE, CORRESPONDENT)))
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 1  # behind it
    assert leaves(net) == 0


@NETNS
def test_what_was_believed_and_is_not_decapsulated_goes_nowhere(net: Net, home_agent: LinuxHomeAgent) -> None:
    """It would have followed the default route, with the address of where the tunnel ends."""
    packet = outer(inner(OFFICE, CORRESPONDENT))
    net.run("ha", "ip", "-6", "route", "flush", "table", "local", "proto", "208")
    count_what_leaves(net)
    assert passed(net, [packet]) == 0
    assert (counted(net, home_agent, "elsewhere"), leaves(net)) == (1, 0)
    assert net.inside("ha", home_agent.disturbances) == {"routes"}
    net.inside("ha", lambda: home_agent.prepare(SITE))
    assert passed(net, [packet]) == 1


@NETNS
def test_without_the_source_check_no_tunnel_ends(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.run("ha", "nft", "delete", "table", "ip6", "xsp_ha")
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 0


@NETNS
def test_what_an_earlier_version_left_goes(net: Net, home_agent: LinuxHomeAgent) -> None:
    """Its rules led to decapsulation whatever nftables said, and had moved the kernel's for local addresses."""
    fresh = rules(net)
    for words in FORMER:
        net.run("ha", "ip", "-6", *words.split())
    assert len(rules(net)) == len(fresh) + 1
    again = net.inside("ha", prepared)
    assert rules(net) == fresh
    left = net.run("ha", "ip", "-6", "route", "show", "table", "41000") + net.run("ha", "ip", "nexthop")
    assert "seg6local" not in left and "536870912 " not in left
    assert net.inside("ha", lambda: again.reconcile({HOME: customer()})) == {HOME: None}
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 1


@NETNS
def test_who_has_a_rule_of_his_own_for_local_addresses_keeps_it(net: Net, home_agent: LinuxHomeAgent) -> None:
    """As with VRF, where the kernel's stands before that for its devices."""
    for words in ("add pref 2000 lookup local", "add pref 5 iif lo lookup local", "del pref 0"):
        net.run("ha", "ip", "-6", "rule", *words.split())
    moved = rules(net)
    net.inside("ha", prepared)
    assert rules(net) == moved
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 1
    net.inside("ha", home_agent.purge)
    assert rules(net) == moved


@NETNS
@pytest.mark.parametrize("words", ["iif isp", "from 2001:db8:7::/64", "fwmark 7", "ipproto udp"])
def test_a_rule_for_some_packets_is_not_the_one_for_local_addresses(
    net: Net, home_agent: LinuxHomeAgent, words: str
) -> None:
    """It had been taken for that, and nothing at all was delivered here any more."""
    net.run("ha", "ip", "-6", "rule", "add", "pref", "5", *words.split(), "lookup", "local")
    net.run("ha", "ip", "-6", "rule", "del", "pref", "0")
    assert net.inside("ha", home_agent.disturbances) == {"rules"}
    net.inside("ha", prepared)
    assert "0:\tfrom all lookup local" in rules(net)
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 1
