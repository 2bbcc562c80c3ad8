"""Packets too big for a line do not vanish: their senders are told, at both ends of the tunnel, and nobody else is."""

import socket
import time
from collections.abc import Iterator

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet

from dataplane.linux import LinuxHomeAgent
from dataplane.relay import A_HOST, PERIOD_S, ErrorRelay
from dataplane.router import LinuxRouter
from dataplane.tunnel_errors import answer, parse
from tests.bgp.site_and_isp import wait_for
from tests.dataplane.stream import PORT, listen
from tests.dataplane.test_linux import HA, prepared_home_agent, prepared_router, serve
from tests.netns import Net
from tests.office import office

HOME_AGENT, LINE_1, OFFICE, CORRESPONDENT = (
    "2001:db8:f000::1",
    "2001:db8:1:c::20",
    "2001:db8:f100::10",
    "2001:db8:e::99",
)
ROUTER = "2001:db8:1:c::1"
BIG = b"x" * 1452  # with UDP and IPv6 around it 1500 octets


def tunnelled(size: int = 1452, inside: Packet | None = None) -> Packet:
    inner = inside or IPv6(src=CORRESPONDENT, dst=OFFICE) / UDP(dport=PORT) / (b"x" * size)
    return IPv6(src=HOME_AGENT, dst=LINE_1) / inner


def error(about: Packet, kind: Packet) -> bytes:
    whole = IPv6(src=ROUTER, dst=HOME_AGENT) / kind / bytes(about)[:1232]
    return bytes(whole)[40:]


def told(octets: bytes) -> bytes | None:
    found = parse(octets)
    return answer(found) if found else None


@pytest.mark.parametrize(("outside", "inside"), [(1500, 1460), (1400, 1360), (1310, 1280), (100, 1280), (0, 1280)])
def test_a_size_becomes_the_size_inside_and_never_less_than_any_path_must_carry(outside: int, inside: int) -> None:
    octets = told(error(tunnelled(), ICMPv6PacketTooBig(mtu=outside)))
    assert octets is not None
    assert (octets[0], octets[1], int.from_bytes(octets[4:8], "big")) == (2, 0, inside)
    assert octets[8:] == bytes(tunnelled())[40:][: len(octets) - 8]
    assert len(octets) + 40 <= 1280


@pytest.mark.parametrize("kind", [ICMPv6DestUnreach(code=0), ICMPv6TimeExceeded()])
def test_other_failures_inside_the_tunnel_are_address_unreachable(kind: Packet) -> None:
    octets = told(error(tunnelled(), kind))
    assert octets is not None and (octets[0], octets[1]) == (1, 3)


@pytest.mark.parametrize(
    "about",
    [
        tunnelled(size=1000),  # it fits already
        tunnelled(inside=IPv6(src="ff02::1", dst=OFFICE) / UDP() / BIG),
        tunnelled(inside=IPv6(src="::", dst=OFFICE) / UDP() / BIG),
        tunnelled(inside=IPv6(src=CORRESPONDENT, dst=OFFICE) / ICMPv6PacketTooBig() / BIG),
    ],
)
def test_who_must_not_be_told_is_not(about: Packet) -> None:
    assert told(error(about, ICMPv6PacketTooBig(mtu=1400))) is None


def test_an_echo_request_is_no_error_and_its_sender_is_told() -> None:
    about = tunnelled(inside=IPv6(src=CORRESPONDENT, dst=OFFICE) / ICMPv6EchoRequest(data=BIG))
    assert told(error(about, ICMPv6PacketTooBig(mtu=1400))) is not None


def test_cut_and_strange_quotes_are_nothing() -> None:
    whole = error(tunnelled(), ICMPv6PacketTooBig(mtu=1400))
    assert all(parse(whole[:size]) is None for size in range(88))
    plain = IPv6(src=HOME_AGENT, dst=LINE_1) / UDP() / BIG
    assert parse(error(plain, ICMPv6PacketTooBig(mtu=1400))) is None


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


def pump(net: Net, relays: list[ErrorRelay], sender: str, receiver: str, destination: str) -> int:
    """Send big packets, eight flows, until one of each was received; how many rounds it took."""
    rounds, missing = 0, set(range(8))
    senders = net.inside(sender, flows)
    with net.inside(receiver, listen) as listener:
        listener.settimeout(0.15)
        while missing:
            rounds += 1
            assert rounds < 20
            for one in senders:
                one.sendto(BIG, (destination, PORT))
            try:
                while missing:
                    _, source = listener.recvfrom(2000)
                    missing.discard(source[1] - 31000)
            except TimeoutError:
                pass
            for relay in relays:
                relay.relay()
    for one in senders:
        one.close()
    return rounds


def flows() -> list[socket.socket]:
    """The kernel believes an error only while the socket is there that it is about."""
    opened = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(8)]
    for flow, one in enumerate(opened):
        one.bind(("::", 31000 + flow))
    return opened


@pytest.mark.netns
@pytest.mark.parametrize("line_mtu", [1500, 1400])
def test_big_packets_arrive_both_ways_once_their_senders_were_told(net: Net, line_mtu: int) -> None:
    for bid in (1, 2):
        net.run("isp", "ip", "link", "set", f"line{bid}", "mtu", str(line_mtu))
        net.run("mr", "ip", "link", "set", f"line{bid}", "mtu", str(line_mtu))
    home_agent: LinuxHomeAgent = net.inside("ha", prepared_home_agent)
    router: LinuxRouter = net.inside("mr", prepared_router)
    serve(net, home_agent, router)
    relays = [
        net.inside("ha", lambda: ErrorRelay(HA, home_agent.owns)),
        net.inside("mr", lambda: ErrorRelay(None, router.owns)),
    ]
    assert pump(net, relays, "cn", "lan", OFFICE) <= 6
    assert pump(net, relays, "lan", "cn", CORRESPONDENT) <= 6
    for relay in relays:
        assert relay.counters()["tunnel_errors{relayed}"] >= 1
        relay.close()


@pytest.mark.netns
def test_a_forged_error_must_name_a_tunnel_with_its_user_inside(net: Net) -> None:
    home_agent: LinuxHomeAgent = net.inside("ha", prepared_home_agent)
    router: LinuxRouter = net.inside("mr", prepared_router)
    serve(net, home_agent, router)
    relay: ErrorRelay = net.inside("ha", lambda: ErrorRelay(HA, home_agent.owns))
    other_user = IPv6(src=CORRESPONDENT, dst="2001:db8:f200::10") / UDP() / BIG
    other_line = IPv6(src=HOME_AGENT, dst="2001:db8:1:c::66") / IPv6(src=CORRESPONDENT, dst=OFFICE) / UDP() / BIG
    other_entry = IPv6(src="2001:db8:a::10", dst=LINE_1) / IPv6(src=CORRESPONDENT, dst=OFFICE) / UDP() / BIG
    abouts = [tunnelled(inside=other_user), other_line, other_entry, IPv6(src=HOME_AGENT, dst=LINE_1) / UDP() / BIG]
    abouts += [tunnelled()] * 3

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for about in abouts:
                whole = IPv6(src="2001:db8:e::99", dst=HOME_AGENT) / ICMPv6PacketTooBig(mtu=1400) / bytes(about)[:1232]
                raw.sendto(bytes(whole), (HOME_AGENT, 0))

    net.inside("cn", send)
    for _ in range(10):
        relay.relay()
    counted = relay.counters()
    relay.close()
    assert counted["tunnel_errors{not_ours}"] == 3
    assert counted["tunnel_errors{not_a_tunnel}"] == 1
    assert counted["tunnel_errors{relayed}"] + counted["tunnel_errors{limited}"] == 3
    assert counted["tunnel_errors{relayed}"] == 1


@pytest.mark.netns
def test_a_victim_hears_a_bounded_number_whatever_others_the_forged_errors_name(net: Net) -> None:
    """Errors were limited for each pair of hosts: whoever varied the inner destination had thousands sent to one."""
    home_agent: LinuxHomeAgent = net.inside("ha", prepared_home_agent)
    serve(net, home_agent, net.inside("mr", prepared_router))
    relay: ErrorRelay = net.inside("ha", lambda: ErrorRelay(HA, home_agent.owns))
    abouts = [IPv6(src=CORRESPONDENT, dst=f"2001:db8:f100::{number:x}") / UDP() / BIG for number in range(1, 501)]
    abouts.append(IPv6(src="2001:db8:e::98", dst=OFFICE) / UDP() / BIG)
    to_home_agent = IPv6(src="2001:db8:e::99", dst=HOME_AGENT) / ICMPv6PacketTooBig(mtu=1400)
    forged = [bytes(to_home_agent / bytes(tunnelled(inside=about))[:100]) for about in abouts]

    def send(some: list[bytes]) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for whole in some:
                raw.sendto(whole, (HOME_AGENT, 0))

    started = time.monotonic()
    for at in range(0, len(forged), 50):  # no more than the relay's socket holds
        net.inside("cn", lambda some=forged[at : at + 50]: send(some))  # type: ignore[misc]
        hear(relay, min(at + 50, len(forged)))
    periods = (time.monotonic() - started) / PERIOD_S + 2
    counted = relay.counters()
    relay.close()
    assert counted["tunnel_errors{limited}"] + counted["tunnel_errors{relayed}"] == len(forged)
    assert A_HOST < counted["tunnel_errors{relayed}"] <= A_HOST * periods + 1
    assert A_HOST * periods < len(forged) / 2, "this machine was too slow to show it"


def hear(relay: ErrorRelay, count: int) -> None:
    """Until it has heard so many in all."""

    def all_of_them() -> bool:
        relay.relay()
        return sum(relay.counters().values()) >= count

    wait_for("every error", all_of_them, pause_s=0.001)
