"""The source check in the kernel: what passes, what is dropped, under which counter, and for how long."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrSegmentRouting,
    PadN,
)
from scapy.layers.l2 import GRE
from scapy.packet import Packet, Raw

from dataplane.driver import Driver
from dataplane.element import combine
from dataplane.entry import ForwardingEntry, Path, Prefix, SelfTestLine
from dataplane.errors import DataPlaneError
from dataplane.filter import SourceCheck
from dataplane.linux import LinuxHomeAgent
from tests import tunnels
from tests.dataplane.stream import PATIENCE_S, inner, limited, listen, received, send
from tests.dataplane.test_linux import CARE_OF, HA, HOME, MNP, SITE, address, prefix
from tests.netns import Net
from tests.office import office

pytestmark = [pytest.mark.netns, pytest.mark.usefixtures("each_driver")]

HOME_AGENT, LINE_1, LINE_2 = "2001:db8:f000::1", "2001:db8:1:c::20", "2001:db8:2:c::20"
CORRESPONDENT, LOCATOR = "2001:db8:e::99", "2001:db8:a::10"
OFFICE = "2001:db8:f100::10"
OTHER_HOME = address("2001:db8:f000::52")
ECHO_REPLY, PARAMETER_PROBLEM = 129, 4
MANY = ("2001:db8:b::/64", "2001:db8:b:4000::/55", "2001:db8:e::98/127", "2001:db8:e::/96")


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        made.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
        yield made


@pytest.fixture
def home_agent(net: Net) -> LinuxHomeAgent:
    def prepared() -> LinuxHomeAgent:
        plane = tunnels.home_agent()
        plane.prepare(SITE)
        return plane

    return net.inside("ha", prepared)


def apply(net: Net, plane: LinuxHomeAgent, *entries: ForwardingEntry) -> None:
    wanted = {entry.home_address: entry for entry in entries}
    assert net.inside("ha", lambda: plane.apply(wanted)) == dict.fromkeys(wanted)


def customer(mnp: Prefix = MNP, bid: int = 1) -> ForwardingEntry:
    return ForwardingEntry(HOME, (mnp,), (Path(bid, CARE_OF[bid]),))


def counted(net: Net, plane: LinuxHomeAgent, name: str) -> int:
    return net.inside("ha", plane.counters)[f"tunnel_packets{{{name}}}"]


def passed(net: Net, packets: list[Packet], node: str = "cn") -> int:
    """How many of the packets that the mobile router sends come out at the other end."""
    with net.inside(node, listen) as listener:
        listener.settimeout(0.3)
        for packet in packets:
            send(net, "mr", packet)
        return received(listener, len(packets))


def outer(inside: Packet, source: str = LINE_1) -> Packet:
    return IPv6(src=source, dst=HOME_AGENT) / inside


def test_exactly_the_prefix_passes_whatever_its_length(net: Net, home_agent: LinuxHomeAgent) -> None:
    for length in (36, 45, 48, 52, 56, 57, 60, 61, 63, 64, 65, 100, 127, 128):
        network = IPv6Network(f"2001:db8:f5a3:96c5:a55a:3c96:69c3:5aa5/{length}", strict=False)
        apply(net, home_agent, customer(Prefix(network.network_address.packed, length)))
        for now in (length * 10.0, length * 10.0 + 5):  # the one before is gone
            net.inside("ha", lambda at=now: home_agent.expire(at))  # type: ignore[misc]
        first, last = network.network_address, network.broadcast_address
        good = [outer(form(inner(str(source), CORRESPONDENT))) for source in (first, last) for form in (plain, limited)]
        bad = [
            outer(form(inner(str(source), CORRESPONDENT)))
            for source in (first - 1, last + 1)
            for form in (plain, limited)
        ]
        assert passed(net, good) == len(good), length
        assert passed(net, bad) == 0, length


def plain(inside: Packet) -> Packet:
    return inside


def test_the_home_address_passes_and_its_neighbour_does_not(net: Net, home_agent: LinuxHomeAgent) -> None:
    apply(net, home_agent, customer())
    assert passed(net, [outer(inner("2001:db8:f000::51", CORRESPONDENT))]) == 1
    assert passed(net, [outer(inner("2001:db8:f000::52", CORRESPONDENT))]) == 0


def test_a_care_of_address_opens_its_own_customer_only(net: Net, home_agent: LinuxHomeAgent) -> None:
    theirs = ForwardingEntry(OTHER_HOME, (Prefix(address("2001:db8:f200::"), 56),), (Path(1, CARE_OF[2]),))
    apply(net, home_agent, customer(), theirs)
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT), LINE_2)]) == 0
    assert passed(net, [outer(inner("2001:db8:f200::1", CORRESPONDENT), LINE_1)]) == 0
    assert counted(net, home_agent, "source_check") == 2
    assert passed(net, [outer(inner("2001:db8:f200::1", CORRESPONDENT), LINE_2)]) == 1
    assert counted(net, home_agent, "tunnelled_in") == 1


@pytest.mark.parametrize(
    ("inside", "counter"),
    [
        (IPv6ExtHdrHopByHop() / inner(OFFICE, CORRESPONDENT), "source_check"),
        (IPv6ExtHdrSegmentRouting(addresses=[HOME_AGENT], segleft=0) / inner(OFFICE, CORRESPONDENT), "source_check"),
        (limited(limited(inner(OFFICE, CORRESPONDENT))), "source_check"),
        (IP(src="192.0.2.1", dst="192.0.2.2") / b"x", "source_check"),
        (GRE() / inner(OFFICE, CORRESPONDENT), "tunnel_payload"),
    ],
    ids=["hop by hop", "routing", "two options", "IPv4", "GRE"],
)
def test_any_other_tunnelled_packet_is_dropped_and_counted(
    net: Net, home_agent: LinuxHomeAgent, inside: Packet, counter: str
) -> None:
    apply(net, home_agent, customer())
    assert passed(net, [outer(inside)]) == 0
    assert counted(net, home_agent, counter) == 1
    assert counted(net, home_agent, "tunnelled_in") == 0


@pytest.mark.parametrize("protocol", [50, 97, 115, 132, 143, 253])
def test_the_home_agent_address_takes_no_other_protocol(net: Net, home_agent: LinuxHomeAgent, protocol: int) -> None:
    """L2TP, EtherIP and Ethernet in IPv6 went to the local stack, to be unpacked by whatever tunnel was there."""
    net.run("ha", "nft", "add table ip6 t; add chain ip6 t c { type filter hook input priority 0; }")
    net.run("ha", "nft", f"add rule ip6 t c ip6 nexthdr {protocol} counter")
    assert passed(net, [IPv6(src=LINE_1, dst=HOME_AGENT, nh=protocol) / Raw(b"x" * 40)]) == 0
    assert counted(net, home_agent, "tunnel_payload") == 1
    assert "packets 0 " in net.run("ha", "nft", "list", "chain", "ip6", "t", "c")
    options = IPv6ExtHdrDestOpt(nh=protocol, options=[PadN(optdata=bytes(4))])
    assert passed(net, [outer(options / Raw(b"x" * 40))]) == 0
    assert counted(net, home_agent, "tunnel_payload") == (2 if protocol in (97, 115, 143) else 1)


def hidden(destination: str, source: str = LINE_1) -> list[Packet]:
    """A tunnelled packet in two fragments of which neither says what it is: the first ends before the second option."""
    octets = bytes((60,)) + bytes(limited(limited(inner(OFFICE, CORRESPONDENT))))[1:]
    pieces = [(0, 1, octets[:8]), (1, 0, octets[8:])]
    return [
        IPv6(src=source, dst=destination) / IPv6ExtHdrFragment(nh=60, offset=offset, m=more, id=77) / Raw(some)
        for offset, more, some in pieces
    ]


def test_no_address_but_the_home_agents_ends_a_tunnel(net: Net, home_agent: LinuxHomeAgent) -> None:
    """With ip6tnl a packet tunnelled to the locator was unpacked without a source check, closed list or counter."""
    apply(net, home_agent, customer())
    inside = inner(OFFICE, CORRESPONDENT)
    to_locator = IPv6(src=LINE_1, dst=LOCATOR)
    in_ipv4 = IP(src="192.0.2.1", dst="192.0.2.2") / b"x"
    bad = [to_locator / inside, to_locator / limited(inside), to_locator / in_ipv4]
    for number, packet in enumerate(bad, 1):
        assert passed(net, [packet]) == 0
        assert counted(net, home_agent, "elsewhere") == number
    assert passed(net, hidden(LOCATOR)) == 0
    assert counted(net, home_agent, "elsewhere") == 4
    to_all_nodes = "nft", "insert", "rule", "ip6", "xsp_ha", "prerouting", "ip6", "daddr", LOCATOR, "ip6", "daddr"
    net.run("ha", *to_all_nodes, "set", "ff02::1")  # the kernel of the other driver ends tunnels to groups as well
    assert passed(net, [to_locator / inside]) == 0
    assert counted(net, home_agent, "elsewhere") == 5
    assert counted(net, home_agent, "tunnelled_in") == 0
    assert passed(net, [outer(inside)]) == 1


def listen_for_icmpv6() -> socket.socket:
    listener = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    listener.settimeout(PATIENCE_S)
    return listener


@pytest.mark.parametrize("destination", [LOCATOR, HOME_AGENT])
def test_a_piece_that_does_not_say_of_what_is_dropped_where_nothing_puts_pieces_together(
    net: Net, home_agent: LinuxHomeAgent, destination: str
) -> None:
    apply(net, home_agent, customer())
    net.run("ha", "nft", "delete", "chain", "ip6", "xsp_ha", "reassembly")
    assert passed(net, hidden(destination)) == 0
    assert counted(net, home_agent, "fragment") == 2
    whole = IPv6(src=LINE_1, dst=destination) / IPv6ExtHdrFragment(nh=58, m=0, id=78) / ICMPv6EchoRequest()
    with net.inside("mr", listen_for_icmpv6) as listener:
        send(net, "mr", whole)
        while listener.recv(2000)[0] != ECHO_REPLY:
            pass
    assert counted(net, home_agent, "fragment") == 2


def test_what_is_not_believed_is_not_answered(net: Net, home_agent: LinuxHomeAgent) -> None:
    """The kernel would tell the source, which may be anybody's address, that nobody here takes tunnels."""
    apply(net, home_agent, customer())
    with net.inside("mr", listen_for_icmpv6) as listener:
        send(net, "mr", outer(inner("2001:db8:f200::1", CORRESPONDENT)))
        send(net, "mr", IPv6(src=LINE_1, dst=HOME_AGENT) / ICMPv6EchoRequest())
        heard = [listener.recv(2000)[0]]
        while heard[-1] != ECHO_REPLY:
            heard.append(listener.recv(2000)[0])
    assert PARAMETER_PROBLEM not in heard


def test_a_tunnelled_packet_to_the_home_agent_itself_arrives(net: Net, home_agent: LinuxHomeAgent) -> None:
    apply(net, home_agent, customer())
    assert passed(net, [outer(inner(OFFICE, HOME_AGENT))], "ha") == 1


@pytest.mark.parametrize("form", [plain, limited])
@pytest.mark.parametrize(
    ("destination", "passes"),
    [
        ("2001:db8:e::99", True),
        ("2001:db8:a::10", False),
        ("2001:db8:a::ffff", False),
        ("2001:db8:b::", False),
        ("ff02::1", False),
        ("fe80::1", False),
        ("::1", False),
        ("::", False),
    ],
)
def test_nothing_out_of_a_tunnel_goes_to_the_operators_own(
    net: Net, home_agent: LinuxHomeAgent, destination: str, passes: bool, form: Callable[[Packet], Packet]
) -> None:
    closed = (prefix("2001:db8:a::/64"), prefix("2001:db8:a::10/128"), prefix("2001:db8:b::/128"))
    apply(net, home_agent, customer())
    net.inside("ha", lambda: home_agent.prepare(replace(SITE, closed=closed)))
    assert passed(net, [outer(form(inner(OFFICE, destination)))]) == int(passes)
    assert counted(net, home_agent, "inner_destination") == int(not passes)
    net.inside("ha", lambda: home_agent.prepare(SITE))
    assert "0x20010db8000b" not in net.run("ha", "nft", "list", "set", "ip6", "xsp_ha", "closed6")


@pytest.mark.parametrize(
    "closed",
    [
        ("2001:db8:e::/55",),
        ("2001:db8:e::/48",),
        ("2001:db8::/29", "fc00::/7"),
        ("2001::/16",),
        ("::/0",),
        ("::/2",),
        MANY,
    ],
)
def test_closed_networks_of_any_length_are_closed(
    net: Net, home_agent: LinuxHomeAgent, closed: tuple[str, ...]
) -> None:
    apply(net, home_agent, customer())
    net.inside("ha", lambda: home_agent.prepare(replace(SITE, closed=tuple(map(prefix, closed)))))
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 0
    assert counted(net, home_agent, "inner_destination") == 1


def test_a_customer_whose_check_the_kernel_refuses_gets_no_tunnel(net: Net, home_agent: LinuxHomeAgent) -> None:
    """The check goes in first: else there is a moment in which a customer is served whose packets are dropped."""
    net.run("ha", "nft", "add", "set", "ip6", "xsp_ha", "ok57", "{ type inet_service; }")  # in the way of ours
    results = net.inside("ha", lambda: home_agent.apply({HOME: customer(prefix("2001:db8:f100::/57"))}))
    assert results[HOME] is not None
    assert net.inside("ha", home_agent.read) == {}
    assert "2001:db8:f100::" not in net.run("ha", "ip", "-6", "route")
    apply(net, home_agent, customer())


def test_a_table_that_is_not_as_we_made_it_is_named_and_stays_in_force(net: Net, home_agent: LinuxHomeAgent) -> None:
    apply(net, home_agent, customer())
    net.run("ha", "nft", "add", "set", "ip6", "xsp_ha", "ok57", "{ type inet_service; }")
    with pytest.raises(DataPlaneError, match="datatype mismatch"):
        net.inside("ha", lambda: home_agent.prepare(SITE))
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 1
    assert passed(net, [outer(inner("2001:db8:f200::1", CORRESPONDENT))]) == 0


def test_packets_under_way_pass_until_the_linger_is_over(net: Net, home_agent: LinuxHomeAgent) -> None:
    apply(net, home_agent, customer())
    net.inside("ha", lambda: home_agent.apply({HOME: None}))
    packet = outer(inner(OFFICE, CORRESPONDENT))
    assert net.inside("ha", lambda: home_agent.expire(10.0)) == 12.0
    assert net.inside("ha", lambda: home_agent.expire(11.9)) == 12.0
    assert passed(net, [packet]) == 1
    assert net.inside("ha", lambda: home_agent.expire(12.0)) is None
    assert passed(net, [packet]) == 0


def test_a_line_that_comes_back_within_the_linger_stays(net: Net, home_agent: LinuxHomeAgent) -> None:
    apply(net, home_agent, customer())
    net.inside("ha", lambda: home_agent.apply({HOME: None}))
    net.inside("ha", lambda: home_agent.expire(10.0))
    apply(net, home_agent, customer())
    assert net.inside("ha", lambda: home_agent.expire(20.0)) is None
    assert passed(net, [outer(inner(OFFICE, CORRESPONDENT))]) == 1


def test_an_element_taken_out_by_somebody_else_does_not_stop_the_others(net: Net, home_agent: LinuxHomeAgent) -> None:
    apply(net, home_agent, customer())
    net.inside("ha", lambda: home_agent.apply({HOME: None}))
    net.run("ha", "nft", "flush", "set", "ip6", "xsp_ha", "ok56")
    net.inside("ha", lambda: home_agent.expire(10.0))
    assert net.inside("ha", lambda: home_agent.expire(12.0)) is None
    assert net.inside("ha", home_agent.counters)["check_elements"] == 0
    assert "elements" not in net.run("ha", "nft", "list", "set", "ip6", "xsp_ha", "ok128")


def test_elements_and_counts_survive_preparing_again(net: Net, home_agent: LinuxHomeAgent) -> None:
    apply(net, home_agent, customer())
    packet = outer(inner(OFFICE, CORRESPONDENT))
    assert passed(net, [packet]) == 1
    net.inside("ha", lambda: home_agent.prepare(SITE))
    assert passed(net, [packet]) == 1
    assert counted(net, home_agent, "tunnelled_in") == 2
    rules = net.run("ha", "nft", "list", "table", "ip6", "xsp_ha")
    assert rules.count("@ok56") == 3 and rules.count("jump inside6\n") == 1 and rules.count("hoplimit set") == 2


def test_many_elements_go_in_and_out(net: Net, home_agent: LinuxHomeAgent) -> None:
    """More than one message, one attribute (16 bits of length) or one transaction holds."""
    first = int(IPv6Address("2001:db8:f800::"))
    wanted = {}
    for number in range(5000):
        home = (int.from_bytes(HA, "big") + 0x1000 + number).to_bytes(16, "big")
        mnp = Prefix((first + (number << 72)).to_bytes(16, "big"), 56)
        wanted[home] = ForwardingEntry(home, (mnp,), (Path(1, CARE_OF[1]),))
    assert net.inside("ha", lambda: home_agent.apply(wanted)) == dict.fromkeys(wanted)
    assert net.inside("ha", home_agent.counters)["check_elements"] == 10000
    assert net.inside("ha", home_agent.read) == wanted
    assert net.inside("ha", lambda: home_agent.reconcile({})) == {}
    now: float | None = 0.0
    while now is not None:
        now = net.inside("ha", lambda at=now: home_agent.expire(at))  # type: ignore[misc]
    assert net.inside("ha", home_agent.counters)["check_elements"] == 0
    assert net.inside("ha", home_agent.read) == {}


def test_home_addresses_never_stand_without_the_self_tests_shield(net: Net) -> None:
    """The shield came after their rules: where the kernel refused it, they stood without, and came again each time."""
    line = SelfTestLine("xsp-selftest", address("100::1"), address("100::2"))
    wanted = {HOME: set(combine([CARE_OF[1]], [Prefix(HOME, 128)]))}

    def entered(line: SelfTestLine) -> tuple[bool, str]:
        check = SourceCheck(lambda _: None)
        check.prepare(replace(SITE, self_test=line), Driver.SEG6)
        refused = check.enter(wanted)
        assert check.enter(wanted).keys() == refused.keys()
        return not refused, net.run("ha", "nft", "list", "table", "ip6", "xsp_ha")

    done, rules = net.inside("ha", lambda: entered(line._replace(host=bytes((1,)) * 17)))  # the kernel takes 16
    assert not done and "@ok128" not in rules
    done, rules = net.inside("ha", lambda: entered(line))
    assert done and rules.count("@ok128") == 3 and rules.count('"self_test" drop') == 1
