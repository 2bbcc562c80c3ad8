"""Packets of IPv4 too big for a line: senders hear "fragmentation needed", and never less than a line must carry."""

import socket
from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, UDP, icmptypes
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet

from dataplane.relay import ErrorRelay
from dataplane.tunnel_errors import answer, parse
from tests.dataplane.stream import limited
from tests.dataplane.test_ipv4_inside import (
    CORRESPONDENT,
    HOME_AGENT,
    LINE_1,
    OFFICE,
    PORT,
    ipv4_beside,
    prepared_home_agent,
    prepared_router,
    serve,
)
from tests.dataplane.test_linux import HA
from tests.dataplane.test_relay import error
from tests.netns import Net
from tests.office import office

BIG = b"x" * 1472  # with UDP and IPv4 around it 1500 octets
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2  # linux/in.h


def inside(source: str = CORRESPONDENT, flags: str = "DF", more: Packet | None = None, fragment: int = 0) -> Packet:
    return IP(src=source, dst=OFFICE, flags=flags, frag=fragment) / (more or UDP(dport=PORT)) / BIG


def told(about: Packet, kind: Packet) -> Packet | None:
    found = parse(error(about, kind))
    octets = answer(found) if found else None
    return ICMP(octets) if octets else None


def tunnelled(inner: Packet) -> Packet:
    return IPv6(src=HOME_AGENT, dst=LINE_1) / inner


@pytest.mark.parametrize(("outside", "mtu"), [(1500, 1460), (1400, 1360), (1280, 1240), (600, 1240), (0, 1240)])
def test_a_size_becomes_the_size_inside_and_never_less_than_a_line_must_carry(outside: int, mtu: int) -> None:
    heard = told(tunnelled(inside()), ICMPv6PacketTooBig(mtu=outside))
    assert heard is not None
    assert (icmptypes[heard.type], heard.code, heard.nexthopmtu) == ("dest-unreach", 4, mtu)
    assert bytes(heard)[8:] == bytes(inside())[: 576 - 28]
    given = heard.chksum
    del heard.chksum
    assert ICMP(bytes(heard)).chksum == given


def test_behind_an_option_there_is_less_room() -> None:
    option = limited(inside())
    option.nh = 4
    heard = told(tunnelled(option), ICMPv6PacketTooBig(mtu=1400))
    assert heard is not None and heard.nexthopmtu == 1352


def test_another_failure_is_host_unreachable() -> None:
    heard = told(tunnelled(inside()), ICMPv6DestUnreach(code=0))
    assert heard is not None and (heard.type, heard.code) == (3, 1)


@pytest.mark.parametrize(
    "inner",
    [
        inside(source="224.0.0.1"),
        inside(source="0.0.0.0"),
        inside(source="127.0.0.1"),
        inside(flags=""),
        inside(fragment=100),
        inside(more=ICMP(type=3, code=1)),
        inside(more=ICMP(type=11)),
    ],
    ids=["multicast", "nobody", "loopback", "may be fragmented", "later fragment", "unreachable", "time exceeded"],
)
def test_who_must_not_be_told_is_not(inner: Packet) -> None:
    assert told(tunnelled(inner), ICMPv6PacketTooBig(mtu=1400)) is None


def test_cut_and_strange_quotes_are_nothing() -> None:
    whole = error(tunnelled(inside()), ICMPv6PacketTooBig(mtu=1400))
    assert all(parse(whole[:size]) is None for size in range(68))
    assert parse(whole[:68]) is not None
    crossed = IPv6(src=HOME_AGENT, dst=LINE_1, nh=41) / bytes(inside())
    assert parse(error(crossed, ICMPv6PacketTooBig(mtu=1400))) is None


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        ipv4_beside(made)
        yield made


@pytest.mark.netns
def test_big_packets_arrive_both_ways_once_their_senders_were_told(net: Net) -> None:
    for bid in (1, 2):
        for node in ("isp", "mr"):
            net.run(node, "ip", "link", "set", f"line{bid}", "mtu", "1400")
    home_agent, router = net.inside("ha", prepared_home_agent), net.inside("mr", prepared_router)
    serve(net, home_agent, router)
    relays: list[ErrorRelay] = [
        net.inside("ha", lambda: ErrorRelay(HA, home_agent.owns)),
        net.inside("mr", lambda: ErrorRelay(None, router.owns)),
    ]
    for sender, receiver, destination in (("cn", "lan", OFFICE), ("lan", "cn", CORRESPONDENT)):
        with net.inside(receiver, listening) as listener, net.inside(sender, careful) as one:
            for _ in range(20):
                if _sent(net, sender, one, destination) and _heard(listener):
                    break
                for relay in relays:
                    relay.relay()
            else:
                pytest.fail(f"nothing arrives at {destination}")
    for relay in relays:
        assert relay.counters()["tunnel_errors{relayed}"] >= 1
        relay.close()


def listening() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", PORT))
    one.settimeout(0.2)
    return one


def careful() -> socket.socket:
    """Its packets are never fragmented, and it learns what fits."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    return one


def _sent(net: Net, node: str, one: socket.socket, destination: str) -> bool:
    """Send what fits by what is known now; False if an error about an earlier packet came up instead."""
    [route] = net.json(node, "ip", "-j", "route", "get", destination)
    mtu = route.get("metrics", [{}])[0].get("mtu", 1500)
    try:
        one.sendto(BIG[: mtu - 28], (destination, PORT))
    except OSError:
        return False
    return True


def _heard(listener: socket.socket) -> bool:
    try:
        listener.recv(2000)
    except TimeoutError:
        return False
    return True
