"""What a customer sent and was sent: counted by the kernel for it alone, inside the tunnel, and kept."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from scapy.layers.inet6 import IPv6

from dataplane.accounting import volumes
from dataplane.entry import ForwardingEntry, Path, Prefix, Volume
from dataplane.linux import LinuxHomeAgent
from dataplane.router import LinuxRouter
from tests import tunnels
from tests.dataplane.stream import inner, limited, send
from tests.dataplane.test_linux import (
    BOTH,
    CARE_OF,
    HOME,
    MNP,
    SITE,
    UPLINKS,
    address,
    carry,
    prepared_home_agent,
    prepared_router,
    serve,
)
from tests.netns import Net
from tests.office import office, udp

pytestmark = pytest.mark.netns

OFFICE, CORRESPONDENT, OTHER = "2001:db8:f100::10", "2001:db8:e::99", address("2001:db8:f000::52")
OCTETS = 40 + 8 + 1  # of a datagram of one octet, inside


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    return net.inside("ha", prepared_home_agent)


@pytest.fixture
def router(net: Net) -> LinuxRouter:
    return net.inside("mr", prepared_router)


def counted(net: Net, prefix: Prefix = MNP) -> Volume:
    return net.inside("ha", volumes).get(prefix, Volume())


def test_each_direction_and_each_customer_is_counted_for_itself(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    other = ForwardingEntry(OTHER, (Prefix(address("2001:db8:f200::"), 56),), (Path(1, CARE_OF[1]),))
    net.inside("ha", lambda: home_agent.apply({OTHER: other}))
    assert counted(net) == Volume()
    assert udp(net, "cn", "lan", OFFICE, range(20000, 20030)) == 30
    assert counted(net) == Volume(0, 0, 30, 30 * OCTETS)
    assert udp(net, "lan", "cn", CORRESPONDENT, range(20000, 20020)) == 20
    assert counted(net) == Volume(20, 20 * OCTETS, 30, 30 * OCTETS)
    assert udp(net, "cn", "mr", "2001:db8:f000::51", range(20000, 20010)) == 10
    assert counted(net, Prefix(HOME, 128)) == Volume(0, 0, 10, 10 * OCTETS)
    assert counted(net, other.prefixes[0]) == Volume()
    site = net.inside("ha", home_agent.counters)
    assert [site[f"tunnel_packets{{tunnelled_{way}}}"] for way in ("in", "out")] == [20, 40]
    assert [site[f"tunnel_octets{{tunnelled_{way}}}"] for way in ("in", "out")] == [20 * OCTETS, 40 * OCTETS]


def test_the_site_is_counted_while_customers_go_in(net: Net, home_agent: LinuxHomeAgent) -> None:
    """Counters were asked for by the socket that changes elements: beside a change either got the other's answers."""
    first = int.from_bytes(HOME, "big") + 0x1000
    homes = [(first + number).to_bytes(16, "big") for number in range(3000)]
    entries = {home: ForwardingEntry(home, (), (Path(1, CARE_OF[1]),)) for home in homes}

    def work() -> list[int]:
        ended = threading.Event()

        def ask() -> list[int]:
            answers = []
            while not ended.is_set():
                answers.append(home_agent.counters()["check_elements"])
            return answers

        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask)  # its thread begins here, in the namespace of whoever submits
            try:
                assert home_agent.reconcile(entries) == dict.fromkeys(entries)
            finally:
                ended.set()
            return asking.result()

    asked = net.inside("ha", work)
    assert len(asked) > 3 and asked == sorted(asked)
    assert net.inside("ha", home_agent.counters)["check_elements"] == len(homes)


def test_prefixes_are_asked_for_one_by_one(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    assert udp(net, "cn", "lan", OFFICE, range(20000, 20030)) == 30
    wanted = [MNP, Prefix(HOME, 128), Prefix(address("2001:db8:f300::"), 48)]
    assert net.inside("ha", lambda: volumes(wanted)) == {MNP: Volume(0, 0, 30, 30 * OCTETS)}


def test_what_the_source_check_dropped_is_nobodys(net: Net, home_agent: LinuxHomeAgent) -> None:
    net.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
    net.inside("ha", lambda: home_agent.apply({HOME: BOTH}))
    before = net.inside("ha", home_agent.counters)["tunnel_packets{source_check}"]
    for source in ("2001:db8:1:c::66", "2001:db8:1:c::20"):
        send(net, "mr", IPv6(src=source, dst="2001:db8:f000::1") / inner("2001:db8:f200::1", CORRESPONDENT))
        send(net, "mr", IPv6(src="2001:db8:1:c::66", dst="2001:db8:f000::1") / inner(OFFICE, CORRESPONDENT))
    assert net.inside("ha", home_agent.counters)["tunnel_packets{source_check}"] == before + 4
    assert net.inside("ha", volumes) == {}


@pytest.mark.parametrize("length", [45, 56, 61, 128])
def test_counts_outlive_restarts_and_changes_of_lines(net: Net, home_agent: LinuxHomeAgent, length: int) -> None:
    """Whatever the prefix length, with and without an encapsulation limit option."""
    net.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
    host = int.from_bytes(address(OFFICE), "big")
    prefix = Prefix((host >> 128 - length << 128 - length).to_bytes(16, "big"), length)

    def sent() -> tuple[int, ...]:
        packet = inner(OFFICE, CORRESPONDENT)
        send(net, "mr", IPv6(src="2001:db8:1:c::20", dst="2001:db8:f000::1") / packet)
        send(net, "mr", IPv6(src="2001:db8:1:c::20", dst="2001:db8:f000::1") / limited(packet))
        return counted(net, prefix)[:2]

    entry = ForwardingEntry(HOME, (prefix,), (Path(1, CARE_OF[1]),))
    net.inside("ha", lambda: home_agent.apply({HOME: entry}))
    assert sent() == (2, 2 * OCTETS + 8)
    for other in (None, ForwardingEntry(HOME, (prefix,), (Path(1, CARE_OF[2]),)), entry):
        net.inside("ha", lambda other=other: home_agent.apply({HOME: other}))  # type: ignore[misc]
        net.inside("ha", lambda: home_agent.expire(0.0))
        net.inside("ha", lambda: home_agent.expire(9.0))

    def restart() -> None:
        again = tunnels.home_agent()
        again.prepare(SITE)
        assert again.reconcile({HOME: entry}) == {HOME: None}

    net.inside("ha", restart)
    assert sent() == (4, 2 * (2 * OCTETS + 8))


@pytest.mark.parametrize("length", [45, 56, 61, 128])
def test_whoever_has_a_prefix_next_is_counted_from_nothing(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter, length: int
) -> None:
    """The counts of a prefix stayed when it went to another customer, who was billed for both."""
    host = int.from_bytes(address(OFFICE), "big")
    mnp = Prefix((host >> 128 - length << 128 - length).to_bytes(16, "big"), length)
    assert net.inside("ha", lambda: home_agent.apply({HOME: replace(BOTH, prefixes=(mnp,))})) == {HOME: None}
    net.inside("mr", lambda: carry(router, UPLINKS))
    assert udp(net, "cn", "lan", OFFICE, range(20000, 20010)) == 10
    assert udp(net, "cn", "mr", "2001:db8:f000::51", range(20000, 20010)) == 10
    assert udp(net, "lan", "cn", CORRESPONDENT, range(20000, 20010)) == 10
    assert counted(net, mnp) == Volume(10, 10 * OCTETS, 10, 10 * OCTETS)
    never_seen = Prefix(address("2001:db8:f300::"), 48)
    net.inside("ha", lambda: home_agent.forget([mnp, never_seen]))
    assert counted(net, mnp) == Volume()
    assert counted(net, Prefix(HOME, 128)).received_packets == 10  # the others' stay
    assert udp(net, "cn", "lan", OFFICE, range(20000, 20005)) == 5
    assert counted(net, mnp) == Volume(0, 0, 5, 5 * OCTETS)
    assert net.inside("ha", home_agent.disturbances) == set()
