"""Where forwarding is measured: a home agent's namespace with everything on, and one that forwards plainly.

    isp == ha       inside: frames are received here, as if from the wire      (see live_frames.py)
        == plain    isp:    here they leave; a program at the far end counts and drops them

The plain router has the same interfaces and, for each customer, an ordinary route to its network by way of the ISP's
router. Packets are UDP in 64 octets of IPv6 from random ports; with many customers each packet takes one at random.
To generate, receive and send a packet costs both routers the same, and would cost no less with a network card.
"""

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from dataplane.entry import Prefix
from dataplane.netlink import NetlinkSocket
from dataplane.rtnetlink import Route, put_route
from tests.bench.live_frames import Field, Generator, Receiver
from tests.bench.loaded import SITE, LoadedSite, loaded_site
from tests.bench.population import care_of, prefix
from tests.ha.cast import HOME_AGENT, address

# Everything that may cost a packet something is switched on.
EVERYTHING = replace(
    SITE,
    aggregates=(*SITE.aggregates, Prefix(bytes((198, 51, 100, 0)), 24)),
    closed=(Prefix(address("2001:db8:a::"), 64), Prefix(address("2001:db8:b::"), 64)),
    clamp_mtu=1500,
)
CORRESPONDENT, GATEWAY = address("2001:db8:e::99"), address("2001:db8:a::1")
TO_CUSTOMERS, FROM_CUSTOMERS = "to customers", "from customers"
WAYS = (TO_CUSTOMERS, FROM_CUSTOMERS)
PORT, UDP, IPV6_IN_IPV6 = 7777, 17, 41
FAR_ENDS = {"ha": "site", "plain": "site-of-plain"}  # of the routers' interfaces `isp`
RTPROT_STATIC = 4
_IPV6_OCTETS, _PAYLOAD_OCTETS = 40, 16
_FIRST, _SECOND = 14, 14 + _IPV6_OCTETS  # where the outer header of a frame begins, and the inner one
_SOURCE, _DESTINATION = 8, 24  # in an IPv6 header
# What stands for customer 0 in octets 4..8 of its network and 12..16 of its care-of addresses (population.py).
_NETWORK_BASE, _CARE_OF_BASE = 0xF1000000, 0x10000


class Way(NamedTuple):
    """Packets of one direction through one router: who makes them, and by what they are known when they have left."""

    generator: Generator
    markers: tuple[tuple[int, bytes], ...]
    pair: tuple[tuple[int, int, int], ...] = ()


class Arrived(NamedTuple):
    """Packets that left a router: as they should, or for another customer's care-of address."""

    right: int
    wrong: int


class Ground:
    """Both routers. Packets are those of `customers`, who are in both."""

    def __init__(self, site: LoadedSite, customers: range) -> None:
        self.site, self._net = site, site.net
        self._build()
        self._net.inside("plain", lambda: _plain_routes(customers), 600)
        self._inside = {one: self._index(one, "inside") for one in FAR_ENDS}
        self._ways = {
            (router, way): of_way(self._mac(router, "inside"), customers)
            for router, directions in (("ha", TUNNELLED), ("plain", PLAIN))
            for way, of_way in directions.items()
        }

    def measure(self, router: str, way: str, count: int) -> float:
        """Nanoseconds that each of so many packets takes. Raises: RuntimeError if not all leave as they should."""
        with self.receiving(router, way) as arrived:
            took_s = self.send(router, way, count)
            if arrived() != (count, 0):
                raise RuntimeError(f"{router}, {way}: of {count} packets {arrived()} came out")
        return took_s / count * 1e9

    def send(self, router: str, way: str, count: int) -> float:
        """Seconds that it takes to have so many received and forwarded."""
        generator, interface = self._ways[router, way].generator, self._inside[router]
        return self._net.inside(router, lambda: generator.send(count, interface), 600)

    @contextlib.contextmanager
    def receiving(self, router: str, way: str) -> Iterator[Callable[[], Arrived]]:
        """Count and drop what leaves; gives a function that tells how much it was."""
        interface, (_, markers, pair) = self._index("isp", FAR_ENDS[router]), self._ways[router, way]
        receiver = self._net.inside("isp", lambda: Receiver(interface, markers, pair))
        try:
            yield lambda: Arrived(*receiver.counts())
        finally:
            receiver.close()

    def close(self) -> None:
        """Free the programs."""
        for way in self._ways.values():
            way.generator.close()

    def _build(self) -> None:
        net = self._net
        net.add("plain")
        net.link("plain", "isp", "isp", FAR_ENDS["plain"])
        net.run("plain", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        net.run("plain", "ip", "addr", "add", "2001:db8:a::11/64", "dev", "isp", "nodad")
        for router, far_end in FAR_ENDS.items():
            net.link(router, "inside", "isp", f"in-{router}")
            words = f"ip neigh replace 2001:db8:a::1 lladdr {self._mac('isp', far_end).hex(':')} dev isp nud permanent"
            net.run(router, *words.split())

    def _index(self, node: str, interface: str) -> int:
        return self._net.inside(node, lambda: socket.if_nametoindex(interface))

    def _mac(self, node: str, interface: str) -> bytes:
        [link] = self._net.json(node, "ip", "-j", "link", "show", interface)
        return bytes.fromhex(link["address"].replace(":", ""))


@contextlib.contextmanager
def ground(customers: int, silent: int = 0) -> Iterator[Ground]:
    """Both routers with that many customers, the first few `silent`, alone on this machine; gone afterwards."""
    with loaded_site(customers, EVERYTHING) as site:
        made = Ground(site, range(silent, customers))
        try:
            yield made
        finally:
            made.close()


def _plain_routes(customers: range) -> None:
    index, netlink = socket.if_nametoindex("isp"), NetlinkSocket(socket.NETLINK_ROUTE)
    prefixes = [(bytes(16), 0), *(prefix(one) for one in customers)]
    routes = [Route(one, RTPROT_STATIC, gateway=GATEWAY, interface=index) for one in prefixes]
    netlink.settle(list(map(put_route, routes)), "plain routes")
    netlink.close()


# --- packets ----------------------------------------------------------------------------------------------------------


def _to_customers(mac: bytes, customers: range) -> tuple[bytes, list[Field]]:
    frame = _ethernet(mac) + _packet(CORRESPONDENT, _of_network(0))
    return frame, [_network_field(_FIRST + _DESTINATION, customers), _ports_field(_FIRST)]


def _plain_to(mac: bytes, customers: range) -> Way:
    return Way(Generator(*_to_customers(mac, customers)), _marks(_FIRST + _SOURCE, CORRESPONDENT))


def _tunnelled_to(mac: bytes, customers: range) -> Way:
    """Which care-of address a packet is sent to must fit the network that it is for."""
    pair = ((_FIRST + _DESTINATION + 12, _CARE_OF_BASE, 0), (_SECOND + _DESTINATION + 4, _NETWORK_BASE, 8))
    return Way(Generator(*_to_customers(mac, customers)), _marks(_FIRST + _SOURCE, HOME_AGENT), pair)


def _plain_from(mac: bytes, customers: range) -> Way:
    frame = _ethernet(mac) + _packet(_of_network(0), CORRESPONDENT)
    fields = [_network_field(_FIRST + _SOURCE, customers), _ports_field(_FIRST)]
    return Way(Generator(frame, fields), _marks(_FIRST + _DESTINATION, CORRESPONDENT))


def _tunnelled_from(mac: bytes, customers: range) -> Way:
    inside = _packet(_of_network(0), CORRESPONDENT)
    frame = _ethernet(mac) + _header(care_of(0, 1), HOME_AGENT, len(inside), IPV6_IN_IPV6) + inside
    fields = [
        Field(_FIRST + _SOURCE + 4, 0x1000C, 2, 16, other=True),  # of line 1 or 2
        Field(_FIRST + _SOURCE + 12, _CARE_OF_BASE + customers.start, len(customers)),
        _network_field(_SECOND + _SOURCE, customers),
        _ports_field(_SECOND),
    ]
    return Way(Generator(frame, fields), _marks(_FIRST + _DESTINATION, CORRESPONDENT))


PLAIN = {TO_CUSTOMERS: _plain_to, FROM_CUSTOMERS: _plain_from}
TUNNELLED = {TO_CUSTOMERS: _tunnelled_to, FROM_CUSTOMERS: _tunnelled_from}


def _ethernet(mac: bytes) -> bytes:
    return mac + b"\x02\0\0\0\0\1" + b"\x86\xdd"


def _packet(source: bytes, destination: bytes) -> bytes:
    datagram = struct.pack("!HHHH", 1, PORT, 8 + _PAYLOAD_OCTETS, 0) + bytes(_PAYLOAD_OCTETS)
    return _header(source, destination, len(datagram), UDP) + datagram


def _header(source: bytes, destination: bytes, octets: int, kind: int) -> bytes:
    return struct.pack("!IHBB", 6 << 28, octets, kind, 64) + source + destination


def _of_network(customer: int) -> bytes:
    return prefix(customer)[0][:15] + b"\x10"


def _network_field(at: int, customers: range) -> Field:
    return Field(at + 4, _NETWORK_BASE + (customers.start << 8), len(customers), 8)


def _ports_field(header: int) -> Field:
    return Field(header + _IPV6_OCTETS, PORT, 1 << 16, 16, other=True)


def _marks(at: int, of_address: bytes) -> tuple[tuple[int, bytes], ...]:
    return (at, of_address[:4]), (at + 4, of_address[4:8])
