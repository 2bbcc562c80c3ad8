"""What xsp-ha answers besides Binding Updates, on real packets: Heartbeats, discovery, echo; and what never gets in."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6

from mip6 import auth, care_of_proof, discovery, header, ntp, packet
from mip6.messages import BindingRevocation, Heartbeat
from mip6.mhsocket import Datagram
from mip6.numbers import ICMPV6
from mip6.options import MessageIdentification, Option, RestartCounter
from mip6.wire import checksum
from tests.ha.cast import CARE_OF_1, CARE_OF_2, HOME, HOME_AGENT, KEY, address
from tests.topology.process import DEADLINE_S, ROOT, Office, poll

pytestmark = pytest.mark.netns

HOME_AGENTS = address("2001:db8:f000:0:fdff:ffff:ffff:fffe")
LINES = {CARE_OF_1: "2001:db8:1:c::1", CARE_OF_2: "2001:db8:2:c::1"}


def heard(place: Office, is_it: Callable[[Datagram], bool]) -> Datagram:
    """The first datagram at the mobile router that `is_it`."""

    def look() -> Datagram | None:
        arrived = (one for ready in place.sockets.sockets for one in place.sockets.receive(ready))
        return next((one for one in arrived if is_it(one)), None)

    found = poll(look, "a datagram")
    assert isinstance(found, Datagram)
    return found


def send(place: Office, octets: bytes, source: bytes) -> None:
    """Send from one of the lines, by its own ISP."""
    place.net.run("mr", "ip", "-6", "route", "replace", "default", "via", LINES[source])
    place.net.inside("mr", lambda: place.sockets.send(octets, source))


def beat(place: Office, source: bytes, *more: Option) -> Heartbeat:
    """One Heartbeat from `source` and its authentic answer."""
    stamp = MessageIdentification(ntp.to_timestamp(time.time()))
    message = Heartbeat(3, options=(care_of_proof.identifier(HOME), *more, stamp))
    octets = auth.encode_signed(message, KEY, source, HOME, source, HOME_AGENT)
    send(place, packet.plain_packet(source, HOME_AGENT, octets), source)
    got = heard(place, lambda one: one.octets[2:3] == bytes((13,)))
    assert auth.verify(got.octets, KEY, source, HOME) and got.destination == source
    answer = header.decode(got.octets, HOME_AGENT, source)
    assert isinstance(answer, Heartbeat) and answer.response and answer.first(MessageIdentification) == stamp
    return answer


def test_a_line_gets_its_traffic_by_proving_that_it_hears(place: Office) -> None:
    place.register()
    [before] = place.status()["bindings"]
    assert [line["verified"] for line in before["care_of"]] == [True, False]
    first = beat(place, CARE_OF_2)
    given = care_of_proof.cookie(first)
    assert given is not None and first.first(RestartCounter) is not None
    assert care_of_proof.cookie(beat(place, CARE_OF_2, care_of_proof.cookie_option(given))) is None
    [after] = place.status()["bindings"]
    assert [line["verified"] for line in after["care_of"]] == [True, True]
    group = place.net.run("ha", "ip", "nexthop", "show")
    assert any("group" in line and "/" in line for line in group.splitlines())


def test_an_operator_revokes_and_the_router_is_told(place: Office) -> None:
    place.register()
    words = [sys.executable, "-m", "ha", "--config", str(place.config), "revoke"]

    def revoke(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)

    refused = revoke("2001:db8:f000::52")
    assert (refused.returncode, "no such binding" in refused.stderr) == (1, True)
    assert revoke("--bid", "9", "2001:db8:f000::51").returncode == 1
    assert revoke("nonsense").returncode == 2
    assert place.status()["cache"]["in_kernel"] == 1
    done = revoke("2001:db8:f000::51")
    assert done.returncode == 0, done.stderr
    told = heard(place, lambda one: one.octets[2:3] == bytes((16,)))
    assert told.home_address == HOME and auth.verify(told.octets, KEY, CARE_OF_1, HOME)
    asked = header.decode(told.octets, HOME_AGENT, HOME)
    assert isinstance(asked, BindingRevocation)
    stamp = asked.first(MessageIdentification)
    assert stamp is not None
    answer = BindingRevocation(2, 0, asked.sequence, options=(stamp,))
    octets = auth.encode_signed(answer, KEY, CARE_OF_1, HOME, HOME, HOME_AGENT)
    send(place, packet.update_packet(CARE_OF_1, HOME_AGENT, HOME, octets), CARE_OF_1)
    poll(lambda: place.counter("revocations_acknowledged") == 1, "acknowledged")
    poll(lambda: place.status()["cache"]["in_kernel"] == 0, "nothing is forwarded any more")


def icmp_listener(*types: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    blocked = bytearray(b"\xff" * 32)
    for kind in types:
        blocked[kind // 32 * 4 + kind % 32 // 8] &= ~(1 << kind % 8)  # little-endian words
    listener.setsockopt(socket.IPPROTO_ICMPV6, 1, bytes(blocked))
    listener.settimeout(DEADLINE_S)
    return listener


@pytest.mark.parametrize("where", [HOME_AGENTS, HOME_AGENT], ids=["anycast of home agents", "home agent address"])
def test_home_agent_address_discovery_names_the_one_address(place: Office, where: bytes) -> None:
    listener = place.net.inside("mr", lambda: icmp_listener(discovery.HOME_AGENTS_TOLD))
    question = bytearray((discovery.HOME_AGENTS_ASKED, 0, 0, 0, 0x12, 0x34, 0x80, 0))
    question[2:4] = checksum(CARE_OF_1, where, ICMPV6, bytes(question)).to_bytes(2, "big")
    send(place, packet.plain_packet(CARE_OF_1, where, bytes(question), ICMPV6), CARE_OF_1)
    octets, sender = listener.recvfrom(2000)
    listener.close()
    assert sender[0] == "2001:db8:f000::1"
    assert (octets[0], octets[4:8].hex(), octets[8:]) == (145, "12348000", HOME_AGENT)


def test_a_registered_router_is_told_the_lifetimes_of_its_home_prefix(place: Office) -> None:
    place.register()
    question = bytearray((discovery.PREFIXES_ASKED, 0, 0, 0, 0x12, 0x34, 0, 0))
    question[2:4] = checksum(HOME, HOME_AGENT, ICMPV6, bytes(question)).to_bytes(2, "big")
    # The same octets as `update_packet` but for what follows the Destination Options header.
    whole = bytearray(packet.update_packet(CARE_OF_1, HOME_AGENT, HOME, bytes(question)))
    whole[40] = ICMPV6
    send(place, bytes(whole), CARE_OF_1)
    told = heard(place, lambda one: one.next_header == ICMPV6)
    assert told.home_address == HOME and checksum(HOME_AGENT, HOME, ICMPV6, told.octets) == 0
    option = told.octets[8:]
    assert (told.octets[0], option[:4].hex(), option[4:12].hex()) == (147, "03042400", "ff" * 8)
    assert option[16:] == address("2001:db8:f000::")


def test_an_echo_from_the_home_address_through_the_tunnel_comes_back_through_it(place: Office) -> None:
    place.register()

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 41)
        listener.settimeout(DEADLINE_S)
        return listener

    listener = place.net.inside("mr", listen)
    inner = IPv6(src="2001:db8:f000::51", dst="2001:db8:f000::1") / ICMPv6EchoRequest(id=7, seq=9)
    octets = bytes(IPv6(src="2001:db8:1:c::20", dst="2001:db8:f000::1") / inner)
    send(place, octets, CARE_OF_1)
    reply = IPv6(listener.recv(2000))
    listener.close()
    assert (reply.src, reply.dst) == ("2001:db8:f000::1", "2001:db8:f000::51")
    assert (reply[ICMPv6EchoReply].id, reply[ICMPv6EchoReply].seq) == (7, 9)


def test_a_flood_of_signalling_from_one_network_is_dropped_before_the_daemon_and_others_are_served(
    place: Office,
) -> None:
    garbage = header.encode(Heartbeat(1), CARE_OF_2, HOME_AGENT)
    flood = packet.plain_packet(CARE_OF_2, HOME_AGENT, garbage)
    place.net.run("mr", "ip", "-6", "route", "replace", "default", "via", LINES[CARE_OF_2])

    def pour() -> None:
        for _ in range(8000):
            place.sockets.send(flood, CARE_OF_2)

    place.net.inside("mr", pour)
    dropped = place.counter("signalling_dropped{signalling_of_one}")
    answered = place.counter("heartbeats_answered") + place.counter("answers_suppressed{strangers}")
    assert dropped > 1000 and answered + dropped == 8000
    for ready in place.sockets.sockets:
        while place.sockets.receive(ready):
            pass  # the answers to the flood
    place.net.run("mr", "ip", "-6", "route", "replace", "default", "via", LINES[CARE_OF_1])
    place.register()
