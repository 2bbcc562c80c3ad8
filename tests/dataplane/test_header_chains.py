"""Chains of extension headers before a tunnelled packet: one form passes beside the plain one, and no disguise does."""

import random
import socket
from collections.abc import Iterator

import pytest

from dataplane.linux import LinuxHomeAgent
from tests.dataplane.stream import PORT, listen
from tests.dataplane.test_linux import BOTH, HA, HOME, address, prepared_home_agent
from tests.netns import Net
from tests.office import office

pytestmark = pytest.mark.netns

LINE_1, OFFICE, STRANGER, CORRESPONDENT = (
    address(text) for text in ("2001:db8:1:c::20", "2001:db8:f100::10", "2001:db8:f200::66", "2001:db8:e::99")
)
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, OPTIONS, TUNNEL = 0, 43, 44, 51, 60, 41
UNKNOWN = (59, 135, 139, 140, 253)  # no next header, mobility, HIP, Shim6, for experiments
LIMIT = bytes((4, 1, 4, 1, 1, 0))  # the encapsulation limit option, padded (RFC 2473 4.1.1)
CHAINS = 250


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        made.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
        yield made


def ipv6(next_header: int, source: bytes, destination: bytes, payload: bytes) -> bytes:
    return (
        (6 << 28).to_bytes(4, "big")
        + len(payload).to_bytes(2, "big")
        + bytes((next_header, 64))
        + source
        + destination
        + payload
    )


def tunnelled(source: bytes, number: int) -> bytes:
    """An inner packet whose UDP payload is `number`; without a checksum the receiver would drop it."""
    payload = number.to_bytes(4, "big")
    size = 8 + len(payload)
    datagram = (1234).to_bytes(2, "big") + PORT.to_bytes(2, "big") + size.to_bytes(2, "big") + bytes(2) + payload
    pseudo = source + CORRESPONDENT + size.to_bytes(4, "big") + bytes((0, 0, 0, 17)) + datagram
    total = sum(int.from_bytes(pseudo[at : at + 2], "big") for at in range(0, len(pseudo), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = (~total & 0xFFFF) or 0xFFFF
    datagram = datagram[:6] + checksum.to_bytes(2, "big") + datagram[8:]
    return ipv6(17, source, CORRESPONDENT, datagram)


def extension(kind: int, following: int, chance: random.Random) -> bytes:
    """An extension header, `following` in its first octet."""
    first = bytes((following,))
    if kind == FRAGMENT:
        return first + bytes((0,)) + bytes((0, chance.choice((0, 0, 1, 8)))) + chance.randbytes(4)
    if kind == ROUTING:
        return first + bytes((0, chance.choice((0, 2, 3, 4)), 0)) + bytes(4)
    if kind == AUTHENTICATION:
        return first + bytes((2,)) + bytes(2) + bytes(12)
    if kind == OPTIONS:
        return first + bytes((0,)) + chance.choice((LIMIT, bytes((1, 4, 0, 0, 0, 0)), bytes((0,) * 6)))
    return first + bytes((0, 1, 4, 0, 0, 0, 0))


def chain(chance: random.Random, inside: bytes) -> tuple[bytes, bool]:
    """A packet for the home agent, and whether its form is one of the two that may pass."""
    kinds = [
        chance.choice((HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, OPTIONS, *UNKNOWN))
        for _ in range(chance.randrange(4))
    ]
    payload, following = inside, TUNNEL
    for kind in reversed(kinds):
        payload = extension(kind, following, chance) + payload
        following = kind
    # An atomic fragment (RFC 6946) is what was inside it.
    form = [kind for kind in kinds if kind != FRAGMENT]
    return ipv6(following, LINE_1, HA, payload), form in ([], [OPTIONS])


@pytest.mark.parametrize("seed", range(2))
def test_no_chain_of_headers_carries_a_strangers_packet_through(net: Net, seed: int) -> None:
    chance = random.Random(seed)
    plane: LinuxHomeAgent = net.inside("ha", prepared_home_agent)
    assert net.inside("ha", lambda: plane.apply({HOME: BOTH})) == {HOME: None}
    may_pass, packets = set(), []
    for number in range(CHAINS):
        is_own = chance.random() < 0.5
        packet, good_form = chain(chance, tunnelled(OFFICE if is_own else STRANGER, number))
        packets.append(packet)
        if is_own and good_form:
            may_pass.add(number)
    last = CHAINS
    packets.append(ipv6(TUNNEL, LINE_1, HA, tunnelled(OFFICE, last)))

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for packet in packets:
                raw.sendto(packet, (socket.inet_ntop(socket.AF_INET6, HA), 0))

    arrived = set()
    with net.inside("cn", listen) as listener:
        net.inside("mr", send)
        while last not in arrived:
            arrived.add(int.from_bytes(listener.recv(100), "big"))
    assert arrived <= may_pass | {last}
    assert len(arrived) > 20
