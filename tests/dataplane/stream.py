"""Packets for the data plane's tests: a stream that must not lose one, and hand-made tunnelled ones."""

import socket
import threading
from collections.abc import Callable

from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, PadN
from scapy.packet import Packet

from dataplane.driver import Driver
from tests import tunnels
from tests.netns import Net

PORT = 7777
SENDER_PORTS = range(30000, 30050)  # as many flows
RECEIVE_BUFFER_OCTETS = 64 << 20
SO_RCVBUFFORCE = 33
PATIENCE_S = 2.0


def lost_while(net: Net, sender: str, receiver: str, destination: str, count: int, work: Callable[[], None]) -> int:
    """How many of `count` datagrams from sender to receiver get lost while `work` runs again and again."""
    listener = net.inside(receiver, listen)
    ended = threading.Event()

    def send() -> None:
        flows = []
        for port in SENDER_PORTS:
            flow = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            flow.bind(("::", port))
            flows.append(flow)
        for number in range(count):
            flows[number % len(flows)].sendto(b"x", (destination, PORT))
        for flow in flows:
            flow.close()
        ended.set()

    thread = threading.Thread(target=lambda: net.inside(sender, send))
    thread.start()
    while not ended.is_set() and thread.is_alive():
        work()
    thread.join()
    with listener:
        return count - received(listener, count)


def spoiled_at_most(replacements: int) -> int:
    """How many datagrams the kernel may lose while the group of two lines is replaced so many times under them.

    Replacing a group releases the cached routes of all its members at once, and a packet that another processor is just
    taking along one of them is spoiled: dropped, or with an outer source of the machine's first network namespace.

    With seg6 it can be hit between lookup and encapsulation: one in 300 to 3,000 replacements (Linux 6.18 and 6.1).
    With ip6tnl until the device has it, which counts it as an error of sending: one in 8 to 18, with that processor
    always busy (6.1, emulated).
    """
    return replacements // 2 if tunnels.driver() is Driver.IP6TNL else replacements // 50


def listen() -> socket.socket:
    """A socket for datagrams, with room for all of a test."""
    listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_OCTETS)
    listener.bind(("::", PORT))
    listener.settimeout(PATIENCE_S)
    return listener


def received(listener: socket.socket, most: int) -> int:
    """How many datagrams arrive, `most` at most."""
    for arrived in range(most):
        try:
            listener.recv(100)
        except TimeoutError:
            return arrived
    return most


def inner(source: str, destination: str) -> Packet:
    """What goes into a tunnel."""
    return IPv6(src=source, dst=destination) / UDP(sport=1234, dport=PORT) / b"x"


def limited(inside: Packet) -> Packet:
    """Behind a Tunnel Encapsulation Limit option, as ip6_tunnel sends it (RFC 2473 4.1.1)."""
    limit = IPv6ExtHdrDestOpt(nh=41, autopad=0, options=[bytes((4, 1, 4)), PadN(optdata=b"\0")])
    return limit / inside


def send(net: Net, node: str, packet: Packet) -> None:
    """Send a packet as it is."""
    octets = bytes(packet)

    def out() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(octets, (packet.dst, 0))

    net.inside(node, out)
