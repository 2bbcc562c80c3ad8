"""TCP's segments are made to fit a tunnel, in IPv6 and IPv4, at either end of it, both ways, and only if asked to."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dataplane.linux import LinuxHomeAgent
from dataplane.router import LinuxRouter
from tests import tunnels
from tests.dataplane.test_ipv4_inside import BOTH4, ROUTER4, SITE4, ipv4_beside
from tests.dataplane.test_linux import HOME, UPLINKS, carry, everything
from tests.netns import Net
from tests.office import office

pytestmark = pytest.mark.netns

TCP_MAXSEG = 2
OFFICE, CORRESPONDENT = ("2001:db8:f100::10", "203.0.113.10"), ("2001:db8:e::99", "192.0.2.99")
FITS = {":": 1500 - 40 - 60 - 12, ".": 1500 - 40 - 40 - 12}  # less TCP's timestamps
WHOLE = {":": 1500 - 60 - 12, ".": 1500 - 40 - 12}
PORT = 8888


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        ipv4_beside(made)
        yield made


def prepared(net: Net, at_home_agent: int, at_router: int) -> tuple[LinuxHomeAgent, LinuxRouter]:
    def home_agent() -> LinuxHomeAgent:
        plane = tunnels.home_agent()
        plane.prepare(replace(SITE4, clamp_mtu=at_home_agent))
        assert plane.reconcile({HOME: BOTH4}) == {HOME: None}
        return plane

    def router() -> LinuxRouter:
        plane = tunnels.mobile_router()
        plane.prepare(replace(ROUTER4, clamp_mtu=at_router))
        carry(plane, UPLINKS)
        return plane

    return net.inside("ha", home_agent), net.inside("mr", router)


def segments(net: Net, client: str, server: str, address: str) -> tuple[int, int]:
    """The segment sizes that both ends of a TCP connection use: client's, server's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def listening() -> socket.socket:
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address, PORT))
        one.listen()
        one.settimeout(5.0)
        return one

    def connected() -> socket.socket:
        one = socket.socket(family, socket.SOCK_STREAM)
        one.settimeout(5.0)
        one.connect((address, PORT))
        return one

    with net.inside(server, listening) as listener:
        accepted: list[socket.socket] = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
        thread.start()
        with net.inside(client, connected) as one:
            thread.join()
            with accepted[0] as other:
                sizes = (size(one), size(other))
        return sizes


def size(one: socket.socket) -> int:
    return one.getsockopt(socket.IPPROTO_TCP, TCP_MAXSEG)


@pytest.mark.parametrize(("at_home_agent", "at_router"), [(1500, 0), (0, 1500), (1500, 1500)])
def test_segments_fit_wherever_they_are_clamped(net: Net, at_home_agent: int, at_router: int) -> None:
    prepared(net, at_home_agent, at_router)
    for office_address, correspondent in zip(OFFICE, CORRESPONDENT, strict=True):
        kind = ":" if ":" in correspondent else "."
        assert segments(net, "lan", "cn", correspondent) == (FITS[kind], FITS[kind])
        assert segments(net, "cn", "lan", office_address) == (FITS[kind], FITS[kind])


def test_nothing_is_clamped_that_nobody_asked_for_and_none_once_nobody_does(net: Net) -> None:
    home_agent, router = prepared(net, 0, 0)
    for correspondent in CORRESPONDENT:
        whole = WHOLE[":" if ":" in correspondent else "."]
        assert segments(net, "lan", "cn", correspondent) == (whole, whole)
    net.inside("ha", lambda: home_agent.prepare(replace(SITE4, clamp_mtu=1400)))
    assert max(segments(net, "lan", "cn", CORRESPONDENT[0])) == 1400 - 40 - 60 - 12
    net.inside("ha", lambda: home_agent.prepare(SITE4))
    assert min(segments(net, "lan", "cn", CORRESPONDENT[0])) == WHOLE[":"]
    assert "table ip xsp" not in net.run("ha", "nft", "list", "tables")
    assert router is not None


def test_a_segment_size_is_never_raised(net: Net) -> None:
    prepared(net, 1500, 1500)
    net.run("lan", "ip", "link", "set", "eth", "mtu", "1300")
    assert segments(net, "lan", "cn", CORRESPONDENT[0]) == (1300 - 60 - 12, 1300 - 60 - 12)


def test_purge_takes_the_rules_for_both_families(net: Net) -> None:
    before = everything(net, "ha"), everything(net, "mr")
    home_agent, router = prepared(net, 1500, 1500)
    assert "table ip xsp_ha" in net.run("ha", "nft", "list", "tables")
    net.inside("ha", home_agent.purge)
    net.inside("mr", router.purge)
    assert (everything(net, "ha"), everything(net, "mr")) == before
