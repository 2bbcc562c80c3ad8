"""The raw sockets over a real link: each packet once, with the right addresses, and a kernel that keeps quiet."""

import contextlib
import secrets
import select
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from pyroute2 import netns

from mip6 import auth, header, packet
from mip6.errors import MalformedMessage
from mip6.messages import BindingAck, BindingError, BindingUpdate, Heartbeat
from mip6.mhsocket import Datagram, MobilitySocket
from mip6.numbers import BindingAckFlag
from mip6.options import BindingIdentifier
from tests.mip6.cast import CARE_OF_1, CARE_OF_2, HOME_ADDRESS, HOME_AGENT, HOME_REGISTRATION, OURS
from tests.mip6.describe import address

pytestmark = pytest.mark.netns
DEADLINE_S = 5.0
GATEWAY = address("2001:db8:1:c::1")
ICMPV6 = 58
LAST = 0xFFFFFFFF  # sequence number of the Heartbeat that ends a test's packets

UPDATE = BindingUpdate(
    1, HOME_REGISTRATION, 600, (BindingIdentifier(1, care_of=CARE_OF_1), BindingIdentifier(2, care_of=CARE_OF_2))
)
ACK = BindingAck(0, BindingAckFlag.MOBILE_ROUTER, 1, 600, (BindingIdentifier(1), BindingIdentifier(2)))


class Node:
    """One end of the link: its mobility sockets, and a socket that hears the ICMPv6 errors the other kernel sends."""

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        prepared = MobilitySocket.prepare(role)
        for key, value in prepared.sysctls:
            self.run("sysctl", "-qw", f"{key}={value}")
        if prepared.output_rules:
            rules = "\n".join(("type filter hook output priority 0", *prepared.output_rules))
            self.run("nft", "-f", "-", text=f"table ip6 quiet {{\nchain output {{\n{rules}\n}}\n}}\n")
        netns.pushns(name)
        try:
            self.mobility = MobilitySocket(role)
            self.icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, ICMPV6)
        finally:
            netns.popns()

    def run(self, *words: str, text: str = "") -> None:
        """Run a program inside, with `text` as its input."""
        subprocess.run(["ip", "netns", "exec", self.name, *words], input=text.encode(), check=True, capture_output=True)

    def send(self, octets: bytes) -> None:
        """Send a whole packet from its own source."""
        self.mobility.send(octets, octets[8:24])

    def received(self) -> list[Datagram]:
        """Everything up to the Heartbeat that ends a test."""
        found: list[Datagram] = []
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            ready, _, _ = select.select(self.mobility.sockets, [], [], deadline - time.monotonic())
            # The end comes over the second socket; what was sent before it waits on the first by now.
            for one in sorted(ready, key=self.mobility.sockets.index):
                found += self.mobility.receive(one)
            if any(datagram.octets[-4:] == LAST.to_bytes(4, "big") for datagram in found):
                found += self.mobility.receive(self.mobility.sockets[0])
                return [datagram for datagram in found if datagram.octets[-4:] != LAST.to_bytes(4, "big")]
        raise AssertionError("the last packet did not arrive")

    def complaints(self) -> list[int]:
        """Types of the ICMPv6 errors heard."""
        found: list[int] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                octets = self.icmp.recv(2048)
                if octets[0] < 128:
                    found.append(octets[0])
        return found

    def close(self) -> None:
        """Close the sockets."""
        self.mobility.close()
        self.icmp.close()


class Pair:
    """A home agent and a mobile router on one link."""

    def __init__(self, home_agent: Node, router: Node) -> None:
        self.home_agent = home_agent
        self.router = router

    def to_home_agent(self, *packets: bytes) -> list[Datagram]:
        """What the home agent receives of these."""
        for one in (*packets, packet.plain_packet(CARE_OF_1, HOME_AGENT, last(CARE_OF_1, HOME_AGENT))):
            self.router.send(one)
        return self.home_agent.received()

    def to_router(self, *packets: bytes) -> list[Datagram]:
        """What the mobile router receives of these."""
        for one in (*packets, packet.plain_packet(HOME_AGENT, CARE_OF_1, last(HOME_AGENT, CARE_OF_1))):
            self.home_agent.send(one)
        return self.router.received()


def last(source: bytes, destination: bytes) -> bytes:
    """The mobility header that ends a test; its sequence number stands at its end."""
    octets = header.encode(Heartbeat(0), source, destination)
    octets = octets[:4] + b"\0\0" + octets[6:12] + LAST.to_bytes(4, "big")
    return header.with_checksum(octets, source, destination)


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """2001:db8:1:c::/64 between the two; the anycast home agent address and the home address on lo."""
    token = secrets.token_hex(4)
    names = (f"x{token}-ha", f"x{token}-mr")
    nodes: list[Node] = []
    try:
        for name in names:
            ip("netns", "add", name)
        ip("-n", names[0], "link", "add", "line", "type", "veth", "peer", "name", "line", "netns", names[1])
        for name, on_link, own in ((names[0], "::1", "2001:db8:f000::1"), (names[1], "::20", "2001:db8:f000::51")):
            for device in ("lo", "line"):
                ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "address", "add", f"2001:db8:1:c{on_link}/64", "dev", "line", "nodad")
            ip("-n", name, "address", "add", f"{own}/128", "dev", "lo", "nodad")
        ip("-n", names[1], "-6", "route", "add", "default", "via", "2001:db8:1:c::1", "dev", "line")
        nodes.append(Node(names[0], "home-agent"))
        nodes.append(Node(names[1], "mobile-router"))
        yield Pair(*nodes)
    finally:
        for node in nodes:
            node.close()
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def test_an_update_with_a_home_address_option_arrives_once(pair: Pair) -> None:
    octets = auth.encode_signed(UPDATE, OURS, CARE_OF_1, HOME_ADDRESS, HOME_ADDRESS, HOME_AGENT)
    (datagram,) = pair.to_home_agent(packet.update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, octets))
    assert (datagram.source, datagram.destination) == (CARE_OF_1, HOME_AGENT)
    assert (datagram.home_address, datagram.error, datagram.next_header) == (HOME_ADDRESS, None, 135)
    assert datagram.interface_index > 0
    message = header.decode(datagram.octets, HOME_ADDRESS, datagram.destination)
    assert message.options[:2] == UPDATE.options
    assert auth.verify(datagram.octets, OURS, datagram.source, HOME_ADDRESS)
    assert pair.router.complaints() == []


def test_an_acknowledgement_with_a_routing_header_arrives_once(pair: Pair) -> None:
    octets = auth.encode_signed(ACK, OURS, CARE_OF_1, HOME_ADDRESS, HOME_AGENT, HOME_ADDRESS)
    (datagram,) = pair.to_router(packet.ack_packet(HOME_AGENT, CARE_OF_1, HOME_ADDRESS, octets))
    assert (datagram.source, datagram.destination) == (HOME_AGENT, CARE_OF_1)
    assert (datagram.home_address, datagram.error) == (HOME_ADDRESS, None)
    message = header.decode(datagram.octets, datagram.source, HOME_ADDRESS)
    assert message.options[:2] == ACK.options
    assert auth.verify(datagram.octets, OURS, datagram.destination, HOME_ADDRESS)
    assert pair.home_agent.complaints() == []


def test_a_burst_arrives_complete_and_in_order(pair: Pair) -> None:
    wanted = [header.encode(BindingUpdate(n, HOME_REGISTRATION, 600), HOME_ADDRESS, HOME_AGENT) for n in range(150)]
    packets = [packet.update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, octets) for octets in wanted]
    found = pair.to_home_agent(*packets)
    while more := pair.home_agent.mobility.receive(pair.home_agent.mobility.sockets[0]):
        found += more
    assert [datagram.octets for datagram in found] == wanted


def test_a_bare_mobility_header_arrives_at_either_role(pair: Pair) -> None:
    heartbeat = Heartbeat(5)
    there = packet.plain_packet(CARE_OF_1, HOME_AGENT, header.encode(heartbeat, CARE_OF_1, HOME_AGENT))
    back = packet.plain_packet(HOME_AGENT, CARE_OF_1, header.encode(heartbeat, HOME_AGENT, CARE_OF_1))
    for (datagram,) in (pair.to_home_agent(there), pair.to_router(back)):
        assert datagram.home_address is None
        assert header.decode(datagram.octets, datagram.source, datagram.destination) == heartbeat


def test_a_wrong_checksum_is_ours_to_find(pair: Pair) -> None:
    """The kernel's own test would use the wire addresses; both kinds of socket deliver and decoding refuses."""
    octets = bytearray(header.encode(UPDATE, HOME_ADDRESS, HOME_AGENT))
    octets[4] ^= 0xFF
    behind_option = packet.update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, bytes(octets))
    bare = packet.plain_packet(CARE_OF_1, HOME_AGENT, bytes(octets))
    found = pair.to_home_agent(behind_option, bare)
    assert len(found) == 2
    for datagram in found:
        with pytest.raises(MalformedMessage, match="checksum"):
            header.decode(datagram.octets, datagram.home_address or datagram.source, datagram.destination)


def test_a_mobility_header_behind_harmless_options_arrives_once(pair: Pair) -> None:
    """Both sockets of the kernel get it: the one for options must not report it a second time."""
    octets = header.encode(Heartbeat(6), CARE_OF_1, HOME_AGENT)
    plain = packet.plain_packet(CARE_OF_1, HOME_AGENT, octets)
    padded = plain[:4] + (len(octets) + 8).to_bytes(2, "big") + bytes((60,)) + plain[7:40]
    (datagram,) = pair.to_home_agent(padded + bytes.fromhex("8700010400000000") + octets)
    assert (datagram.octets, datagram.home_address) == (octets, None)


def test_a_home_address_option_before_something_else_is_reported_as_such(pair: Pair) -> None:
    """It is answered with a Binding Error if there is no binding (RFC 6275 9.3.1)."""
    echo = bytes.fromhex("800021d100010001")
    octets = bytearray(packet.update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, echo))
    octets[40] = ICMPV6
    (datagram,) = pair.to_home_agent(bytes(octets))
    assert (datagram.next_header, datagram.home_address, datagram.octets) == (ICMPV6, HOME_ADDRESS, echo)
    error = header.encode(BindingError(1, HOME_ADDRESS), HOME_AGENT, CARE_OF_1)
    (answer,) = pair.to_router(packet.plain_packet(HOME_AGENT, datagram.source, error))
    assert header.decode(answer.octets, HOME_AGENT, CARE_OF_1) == BindingError(1, HOME_ADDRESS)


def test_a_malformed_extension_header_is_reported_with_its_fault(pair: Pair) -> None:
    octets = header.encode(UPDATE, HOME_ADDRESS, HOME_AGENT)
    multicast = packet.update_packet(CARE_OF_1, HOME_AGENT, address("ff0e::51"), octets)
    (datagram,) = pair.to_home_agent(multicast)
    assert datagram.error is not None
    assert (datagram.error.reason, datagram.home_address) == ("home_address_not_unicast", None)
    routed = bytearray(packet.ack_packet(HOME_AGENT, CARE_OF_1, HOME_ADDRESS, octets))
    routed[43] = 2
    (back,) = pair.to_router(bytes(routed))
    assert back.error is not None
    assert back.error.reason == "routing_header_segments_left"


def test_a_pointed_fault_comes_back_as_a_parameter_problem_of_ours(pair: Pair) -> None:
    octets = bytearray(header.encode(UPDATE, HOME_ADDRESS, HOME_AGENT))
    octets[0] = 6
    octets[4:6] = bytes(2)
    wrong = header.with_checksum(bytes(octets), HOME_ADDRESS, HOME_AGENT)
    (datagram,) = pair.to_home_agent(packet.update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, wrong))
    with pytest.raises(MalformedMessage) as caught:
        header.decode(datagram.octets, HOME_ADDRESS, HOME_AGENT)
    assert caught.value.pointer is not None
    pair.home_agent.send(
        packet.parameter_problem(
            HOME_AGENT,
            datagram.source,
            datagram.destination,
            datagram.extension,
            datagram.octets,
            caught.value.pointer,
        )
    )
    deadline = time.monotonic() + DEADLINE_S
    while not (heard := pair.router.complaints()) and time.monotonic() < deadline:
        select.select([pair.router.icmp], [], [], deadline - time.monotonic())
    assert heard == [4]


def test_receiving_stops_at_the_limit(pair: Pair) -> None:
    octets = header.encode(Heartbeat(7), CARE_OF_1, HOME_AGENT)
    for _ in range(5):
        pair.router.send(packet.plain_packet(CARE_OF_1, HOME_AGENT, octets))
    bare = pair.home_agent.mobility.sockets[1]
    deadline = time.monotonic() + DEADLINE_S
    found: list[Datagram] = []
    while len(found) < 5 and time.monotonic() < deadline:
        select.select([bare], [], [], deadline - time.monotonic())
        some = pair.home_agent.mobility.receive(bare, limit=2)
        assert len(some) <= 2
        found += some
    assert len(found) == 5
    assert pair.home_agent.mobility.receive(bare) == []
