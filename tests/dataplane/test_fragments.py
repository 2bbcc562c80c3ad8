"""Tunnelled packets in fragments: made whole before they are judged; customers' own fragments stay as they are."""

import socket
from collections.abc import Iterator

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Packet

from dataplane.linux import LinuxHomeAgent
from dataplane.router import LinuxRouter
from tests.dataplane.stream import PORT, limited, listen, send
from tests.dataplane.test_linux import BOTH, HOME, prepared_home_agent, prepared_router, serve
from tests.netns import Net
from tests.office import office

pytestmark = pytest.mark.netns

IPV6_MTU = 24  # linux/in6.h

HOME_AGENT, LINE_1, OFFICE, CORRESPONDENT = (
    "2001:db8:f000::1",
    "2001:db8:1:c::20",
    "2001:db8:f100::10",
    "2001:db8:e::99",
)
PAYLOAD = bytes(range(256)) * 5  # too much for a line of 1280 octets once there is a tunnel around it


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        made.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
        yield made


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    plane = net.inside("ha", prepared_home_agent)
    net.inside("ha", lambda: plane.apply({HOME: BOTH}))
    return plane


def inner(source: str) -> Packet:
    return IPv6(src=source, dst=CORRESPONDENT) / UDP(sport=1234, dport=PORT) / PAYLOAD


def fragments(inside: Packet, id_: int) -> list[Packet]:
    """The tunnelled packet as a router between would not make it, but a tunnel entry may (RFC 2473 7.1)."""
    assert inside.name is not None
    octets, size = bytes(inside), 800
    header = 60 if inside.name.startswith("IPv6 Extension") else 41
    pieces: list[Packet] = []
    for start in range(0, len(octets), size):
        more = int(start + size < len(octets))
        head = IPv6ExtHdrFragment(nh=header, offset=start // 8, m=more, id=id_)
        pieces.append(IPv6(src=LINE_1, dst=HOME_AGENT) / head / octets[start : start + size])
    return pieces


def heard(net: Net, packets: list[Packet]) -> bytes | None:
    with net.inside("cn", listen) as listener:
        listener.settimeout(0.3)
        for packet in packets:
            send(net, "mr", packet)
        try:
            return listener.recv(9000)
        except TimeoutError:
            return None


def counted(net: Net, plane: LinuxHomeAgent, name: str) -> int:
    return net.inside("ha", plane.counters)[f"tunnel_packets{{{name}}}"]


def test_a_packet_in_fragments_passes_whole_in_any_order(net: Net, home_agent: LinuxHomeAgent) -> None:
    assert net.inside("ha", home_agent.counters)["fragments_reassembled"] == 1
    pieces = fragments(inner(OFFICE), 7)
    assert len(pieces) == 2
    assert heard(net, pieces) == PAYLOAD
    assert heard(net, fragments(inner(OFFICE), 8)[::-1]) == PAYLOAD
    assert heard(net, fragments(limited(inner(OFFICE)), 9)) == PAYLOAD
    assert counted(net, home_agent, "tunnelled_in") == 3


def test_the_source_is_checked_behind_the_fragments(net: Net, home_agent: LinuxHomeAgent) -> None:
    assert heard(net, fragments(inner("2001:db8:f200::66"), 7)) is None
    assert counted(net, home_agent, "source_check") == 1


def test_what_lacks_a_fragment_never_passes(net: Net, home_agent: LinuxHomeAgent) -> None:
    first, last = fragments(inner(OFFICE), 7)
    assert heard(net, [first]) is None
    assert heard(net, fragments(inner(OFFICE), 8)[1:]) is None
    assert counted(net, home_agent, "tunnelled_in") == 0
    assert heard(net, [last]) == PAYLOAD


def test_a_customers_own_fragments_arrive_and_no_connection_is_tracked(net: Net, home_agent: LinuxHomeAgent) -> None:
    """Were they put together at the home agent, they would be too big for a line of 1500 octets."""
    router: LinuxRouter = net.inside("mr", prepared_router)
    serve(net, home_agent, router)
    big = b"x" * 4000
    for sender, receiver, destination in (("cn", "lan", OFFICE), ("lan", "cn", CORRESPONDENT)):
        with net.inside(receiver, listen) as listener:

            def sent(destination: str = destination) -> None:
                with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
                    # Smaller fragments than the link's: they must fit a line with a tunnel's header as well.
                    one.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU, 1400)
                    one.sendto(big, (destination, PORT))

            net.inside(sender, sent)
            assert listener.recv(9000) == big
    tracked = net.run("ha", "sysctl", "-n", "net.netfilter.nf_conntrack_count", check=False).strip()
    assert tracked in ("", "0")
