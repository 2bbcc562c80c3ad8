"""Lines too narrow for a tunnel: heard of once, kept for an hour, bounded; and told with the real relay."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dataplane.narrow import FORGOTTEN_AFTER_S, REMEMBERED_MAX, NarrowLine, NarrowLines, is_narrow
from dataplane.relay import ErrorRelay
from dataplane.tunnel_errors import TIME_EXCEEDED, TOO_BIG, TunnelError, answer
from mr.line_sizes import LineSizes
from mr.settings import LineSettings
from tests.bgp.site_and_isp import wait_for
from tests.dataplane.stream import PORT, listen, received
from tests.dataplane.test_linux import BOTH, CARE_OF, HA, HOME, address, prepared_home_agent, prepared_router
from tests.netns import Net
from tests.office import office

OFFICE = "2001:db8:f100::10"
INSIDE = address(OFFICE)


def error(mtu: int, exit: bytes = CARE_OF[1], type: int = TOO_BIG) -> TunnelError:
    return TunnelError(type, mtu, HA, exit, 40, b"\x60" + bytes(23) + INSIDE)


def test_a_line_is_narrow_if_1280_octets_do_not_fit_inside_a_tunnel() -> None:
    assert is_narrow(error(1319)) and is_narrow(error(0)) and not is_narrow(error(1320))
    assert not is_narrow(error(0, type=TIME_EXCEEDED))


@pytest.mark.parametrize("overhead", [40, 48])
def test_what_is_narrow_is_what_cannot_be_told(overhead: int) -> None:
    """Behind an encapsulation limit option a line that lacks less than its eight octets was silent."""
    full = b"\x60\0\0\0" + (1460).to_bytes(2, "big") + bytes((17, 64)) + HA + INSIDE
    for mtu in (1319, 1320, 1327, 1328, 1400):
        one = error(mtu)._replace(overhead=overhead, inner=full)
        told = answer(one)
        assert told is not None
        assert is_narrow(one) == (int.from_bytes(told[4:8], "big") != mtu - overhead)


def test_a_line_is_news_once_and_again_when_it_was_forgotten() -> None:
    lines = NarrowLines()
    found = NarrowLine(HA, CARE_OF[1], 1300, 1320, INSIDE)
    assert lines.hear(error(1300), 0.0) == found
    assert lines.hear(error(1290), 10.0) is None
    assert lines.present(10.0) == [found._replace(mtu=1290)]
    assert lines.present(10.0 + FORGOTTEN_AFTER_S) == []
    assert lines.hear(error(1300), 10.0 + FORGOTTEN_AFTER_S) == found


def test_no_number_of_errors_fills_the_memory() -> None:
    lines = NarrowLines()
    for number in range(2 * REMEMBERED_MAX):
        lines.hear(error(1300, number.to_bytes(16, "big")), 0.0)
    assert len(lines.present(0.0)) == REMEMBERED_MAX
    assert lines.hear(error(1300, b"x" * 16), FORGOTTEN_AFTER_S) is not None


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


def datagram(net: Net, sender: str, destination: str, octets: int) -> None:
    """One of this size, IPv6 and UDP header included."""

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            one.sendto(bytes(octets - 48), (destination, PORT))

    net.inside(sender, send)


@pytest.mark.netns
@pytest.mark.parametrize("line_mtu", [1300, 1320])
def test_a_line_on_which_packets_of_1280_octets_vanish_is_told(net: Net, line_mtu: int) -> None:
    """The sender of 1280 octets can be told nothing; the customer behind such a line was a silent black hole."""
    net.run("isp", "ip", "link", "set", "line1", "mtu", str(line_mtu))
    plane = net.inside("ha", prepared_home_agent)
    one_line = replace(BOTH, paths=BOTH.paths[:1])
    assert net.inside("ha", lambda: plane.apply({HOME: one_line})) == {HOME: None}
    heard: list[NarrowLine] = []
    relay: ErrorRelay = net.inside("ha", lambda: ErrorRelay(HA, plane.owns, heard.append))
    net.inside("mr", prepared_router)
    with relay.socket, net.inside("lan", listen) as listener:

        def settled() -> bool:
            datagram(net, "cn", OFFICE, 1280)
            relay.relay()
            return bool(heard) or bool(received(listener, 1))

        listener.settimeout(0.1)
        wait_for("the datagram arrives, or is complained of", settled)
        datagram(net, "cn", OFFICE, 1280)
        relay.relay()
    if line_mtu == 1320:
        assert heard == [] and relay.narrow_lines() == []
        return
    assert heard == [NarrowLine(HA, CARE_OF[1], 1300, 1320, address(OFFICE))] == relay.narrow_lines()
    assert relay.counters()["tunnel_errors{line_too_narrow}"] >= 1
    assert relay.counters()["tunnel_errors{not_to_be_told}"] == 0


@pytest.mark.netns
def test_a_routers_own_interface_may_be_the_narrow_one(net: Net) -> None:
    lines = tuple(LineSettings(bid, f"the line {bid}", f"line{bid}", 1, 0, None) for bid in (1, 2, 3))
    net.run("mr", "ip", "link", "set", "line1", "mtu", "1319")
    net.run("mr", "ip", "link", "set", "line2", "mtu", "1320")
    sizes = LineSizes(lines)
    net.inside("mr", sizes.look)
    assert sizes.reasons(()) == ["the line 1: carries packets of 1319 octets at most, a tunnel needs 1320"]
    net.run("mr", "ip", "link", "set", "line1", "mtu", "1500")
    net.inside("mr", sizes.look)
    assert sizes.reasons(()) == []


def test_a_line_that_is_told_as_too_narrow_carries_less_than_it_is_said_to_need() -> None:
    """Behind an encapsulation limit option 1325 octets were too few, "a tunnel needs 1320"."""
    line = NarrowLines().hear(error(1325)._replace(overhead=48), 0.0)
    assert line is not None and line.mtu < line.needs == 1328
    [beyond] = LineSizes(()).reasons([line])
    assert beyond == "the way from 2001:db8:f000::1: carries packets of 1325 octets at most, a tunnel needs 1328"
