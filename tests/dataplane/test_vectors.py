"""The tunnelled vectors through a real kernel: which of them come out, and how the others are counted."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.entry import Egress, ForwardingEntry, Prefix, SitePlan
from dataplane.entry import Path as Line
from dataplane.linux import LinuxHomeAgent
from tests.dataplane.test_linux import address
from tests.netns import Net, namespaces

pytestmark = pytest.mark.netns

VECTORS = Path(__file__).parents[1] / "mip6" / "vectors" / "others.json"
OCTETS = {one["id"]: bytes.fromhex(one["hex"]) for one in json.loads(VECTORS.read_text())}
HOME_AGENT, HOME = address("2001:db8:100::1"), address("2001:db8:100::51")
AGGREGATES = (Prefix(address("2001:db8:100::"), 40), Prefix(address("2001:db8:200::"), 40))
ENTRY = ForwardingEntry(HOME, (Prefix(address("2001:db8:200:5100::"), 56),), (Line(1, address("2001:db8:a::10")),))
SITE = SitePlan(HOME_AGENT, AGGREGATES, (Egress(address("2001:db8:ffff::1"), "isp"),))


@pytest.fixture
def net() -> Iterator[Net]:
    with namespaces() as made:
        made.add("ha", "isp")
        made.link("ha", "isp", "isp", "site")
        made.run("ha", "ip", "addr", "add", "2001:db8:ffff::2/64", "dev", "isp", "nodad")
        made.run("isp", "ip", "addr", "add", "2001:db8:ffff::1/64", "dev", "site", "nodad")
        made.run("isp", "ip", "addr", "add", "2001:db8:c::99/128", "dev", "lo")
        made.run("isp", "ip", "route", "add", "2001:db8:100::/40", "via", "2001:db8:ffff::2")
        yield made


@pytest.mark.parametrize(("name", "comes_out"), [("T01", True), ("T02", False), ("T03", False)])
def test_a_reverse_tunnelled_packet_needs_the_right_sources(net: Net, name: str, comes_out: bool) -> None:
    plane = net.inside("ha", LinuxHomeAgent)
    net.inside("ha", lambda: plane.prepare(SITE))
    assert net.inside("ha", lambda: plane.apply({HOME: ENTRY})) == {HOME: None}

    def listen() -> socket.socket:
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        listener.bind(("2001:db8:c::99", 2000))
        listener.settimeout(2.0 if comes_out else 0.3)
        return listener

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(OCTETS[name], ("2001:db8:100::1", 0))

    with net.inside("isp", listen) as listener:
        net.inside("isp", send)
        if comes_out:
            assert listener.recvfrom(100)[1][:2] == ("2001:db8:200:5100::7", 1000)
        else:
            with pytest.raises(TimeoutError):
                listener.recv(100)
    counters = net.inside("ha", plane.counters)
    assert counters["tunnel_packets{tunnelled_in}"] == comes_out
    assert counters["tunnel_packets{source_check}"] == (not comes_out)
