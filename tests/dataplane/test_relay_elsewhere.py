"""A tunnel's error that lands at another site than the one which sent: anycast takes it wherever it likes."""

from collections.abc import Iterator

import pytest

from dataplane.linux import LinuxHomeAgent
from dataplane.relay import ErrorRelay
from tests.dataplane.test_linux import BOTH, HA, HOME, prepared_home_agent, prepared_router, serve
from tests.dataplane.test_relay import OFFICE, pump
from tests.netns import Net
from tests.office import office

pytestmark = pytest.mark.netns

LINE_MTU = 1400


@pytest.fixture
def net() -> Iterator[Net]:
    """Two sites: packets for the office enter at the first, what is sent to the home agent address at the second."""
    with office() as made:
        made.add("ha2")
        made.link("ha2", "isp", "isp", "site2")
        made.run("ha2", "ip", "addr", "add", "2001:db8:b::10/64", "dev", "isp", "nodad")
        made.run("isp", "ip", "addr", "add", "2001:db8:b::1/64", "dev", "site2", "nodad")
        made.run("ha2", "ip", "-6", "route", "add", "default", "via", "2001:db8:b::1", "metric", "100")
        made.run("isp", "ip", "route", "add", "2001:db8:f000::1/128", "via", "2001:db8:b::10")
        for node, interface in (("ha", "isp"), ("isp", "site")):  # else the first site itself would say it first
            made.run(node, "ip", "link", "set", interface, "mtu", "1600")
        for bid in (1, 2):
            for node in ("isp", "mr"):
                made.run(node, "ip", "link", "set", f"line{bid}", "mtu", str(LINE_MTU))
        yield made


def test_the_other_site_tells_the_sender_and_the_packets_arrive(net: Net) -> None:
    first: LinuxHomeAgent = net.inside("ha", prepared_home_agent)
    second: LinuxHomeAgent = net.inside("ha2", prepared_home_agent)
    serve(net, first, net.inside("mr", prepared_router))
    assert net.inside("ha2", lambda: second.apply({HOME: BOTH})) == {HOME: None}
    relays: list[ErrorRelay] = [
        net.inside(node, lambda plane=plane: ErrorRelay(HA, plane.owns))  # type: ignore[misc]
        for node, plane in (("ha", first), ("ha2", second))
    ]
    assert pump(net, relays, "cn", "lan", OFFICE) <= 6
    told = [relay.counters()["tunnel_errors{relayed}"] for relay in relays]
    assert told[0] == 0 and told[1] >= 1
    route = net.run("cn", "ip", "-6", "route", "get", OFFICE)
    assert f"mtu {LINE_MTU - 40}" in route
    for relay in relays:
        relay.close()


def test_a_site_that_does_not_know_the_customer_tells_nobody(net: Net) -> None:
    first: LinuxHomeAgent = net.inside("ha", prepared_home_agent)
    second: LinuxHomeAgent = net.inside("ha2", prepared_home_agent)
    serve(net, first, net.inside("mr", prepared_router))
    relay: ErrorRelay = net.inside("ha2", lambda: ErrorRelay(HA, second.owns))
    with pytest.raises(AssertionError):
        pump(net, [relay], "cn", "lan", OFFICE)
    counted = relay.counters()
    assert counted["tunnel_errors{relayed}"] == 0 and counted["tunnel_errors{not_ours}"] >= 1
    relay.close()
