"""A site, an office with two lines and a correspondent, in namespaces: the smallest network that shows everything.

ha -- isp -- mr (line1, line2) -- lan          cn -- isp
"""

import contextlib
import socket
from collections.abc import Iterator

from tests.netns import Net, namespaces


@contextlib.contextmanager
def office() -> Iterator[Net]:
    """The namespaces, with addresses and the ISP's routes; gone afterwards."""
    with namespaces() as made:
        made.add("ha", "isp", "mr", "lan", "cn")
        made.link("ha", "isp", "isp", "site")
        made.link("cn", "eth", "isp", "cn")
        made.link("mr", "lan", "lan", "eth")
        for bid in (1, 2):
            made.link("isp", f"line{bid}", "mr", f"line{bid}")
        for node, interface, text in (
            ("ha", "isp", "2001:db8:a::10/64"),
            ("isp", "site", "2001:db8:a::1/64"),
            ("isp", "cn", "2001:db8:e::1/64"),
            ("cn", "eth", "2001:db8:e::99/64"),
            ("isp", "line1", "2001:db8:1:c::1/64"),
            ("isp", "line2", "2001:db8:2:c::1/64"),
            ("mr", "line1", "2001:db8:1:c::20/64"),
            ("mr", "line2", "2001:db8:2:c::20/64"),
            ("mr", "lan", "2001:db8:f100::1/64"),
            ("lan", "eth", "2001:db8:f100::10/64"),
        ):
            made.run(node, "ip", "addr", "add", text, "dev", interface, "nodad")
        made.run("isp", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        made.run("isp", "ip", "route", "add", "2001:db8:f000::/36", "via", "2001:db8:a::10")
        made.run("cn", "ip", "route", "add", "default", "via", "2001:db8:e::1")
        made.run("lan", "ip", "route", "add", "default", "via", "2001:db8:f100::1")
        yield made


def udp(net: Net, sender: str, receiver: str, destination: str, ports: range, source: str = "::") -> int:
    """How many of the datagrams, one from each source port, arrive."""

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        listener.bind(("::", 7777))
        listener.settimeout(1.0)
        return listener

    def send() -> None:
        for port in ports:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
                one.bind((source, port))
                one.sendto(b"x", (destination, 7777))

    listener = net.inside(receiver, listen)
    net.inside(sender, send)
    arrived = 0
    try:
        while arrived < len(ports):
            listener.recv(10)
            arrived += 1
    except TimeoutError:
        pass
    listener.close()
    return arrived
