"""Which line a flow takes: equal, by weight, and lines that stand by; read from the lines, in a real kernel."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import pytest

from dataplane.entry import ForwardingEntry, Path
from dataplane.linux import LinuxHomeAgent
from dataplane.router import LinuxRouter
from tests.dataplane.stream import lost_while
from tests.dataplane.test_linux import (
    BOTH,
    CARE_OF,
    HOME,
    UPLINKS,
    carry,
    packets,
    prepared_home_agent,
    prepared_router,
    serve,
)
from tests.netns import Net
from tests.office import office, udp

pytestmark = pytest.mark.netns

OFFICE, CORRESPONDENT = "2001:db8:f100::10", "2001:db8:e::99"
ROUNDS, IN_A_ROUND = 4, 150  # a socket holds so many datagrams
FLOWS = ROUNDS * IN_A_ROUND
NOISE = 12  # packets of neighbour discovery and the like, on a line


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


def lines(weights: tuple[int, int], priorities: tuple[int, int] = (0, 0)) -> ForwardingEntry:
    chosen = zip((1, 2), weights, priorities, strict=True)
    return replace(BOTH, paths=tuple(Path(bid, CARE_OF[bid], weight, priority) for bid, weight, priority in chosen))


def apply(net: Net, plane: LinuxHomeAgent, entry: ForwardingEntry) -> None:
    assert net.inside("ha", lambda: plane.apply({HOME: entry})) == {HOME: None}


def taken(net: Net, way: str) -> tuple[int, int]:
    """How many of the flows, all of which arrive, went over each line: `rx` to the office, `tx` from it."""
    before = [packets(net, f"line{bid}")[way] for bid in (1, 2)]
    ends = ("cn", "lan", OFFICE) if way == "rx" else ("lan", "cn", CORRESPONDENT)
    for first in range(20000, 20000 + FLOWS, IN_A_ROUND):
        assert udp(net, *ends, range(first, first + IN_A_ROUND)) == IN_A_ROUND
    over = tuple(packets(net, f"line{bid}")[way] - was for bid, was in zip((1, 2), before, strict=True))
    assert FLOWS <= sum(over) <= FLOWS + 2 * NOISE
    return over[0], over[1]


@pytest.mark.parametrize(("weights", "share"), [((1, 1), 0.5), ((3, 1), 0.75), ((1, 9), 0.1)])
def test_flows_to_the_office_are_shared_by_weight(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter, weights: tuple[int, int], share: float
) -> None:
    serve(net, home_agent, router)
    apply(net, home_agent, lines(weights))
    assert taken(net, "rx")[0] == pytest.approx(share * FLOWS, abs=0.1 * FLOWS)


def test_flows_from_the_office_are_shared_by_weight(net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter) -> None:
    serve(net, home_agent, router)
    net.inside("mr", lambda: carry(router, (UPLINKS[0]._replace(weight=3), UPLINKS[1])))
    assert taken(net, "tx")[0] == pytest.approx(0.75 * FLOWS, abs=0.1 * FLOWS)


def test_a_line_that_stands_by_carries_nothing_until_the_other_is_gone_and_nothing_once_it_is_back(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    both = lines((1, 1), (0, 5))
    for entry, idle in ((both, 1), (replace(both, paths=both.paths[1:]), 0), (both, 1)):
        apply(net, home_agent, entry)
        assert taken(net, "rx")[idle] <= NOISE
    apply(net, home_agent, lines((1, 1), (5, 0)))  # and the order may be turned round
    assert taken(net, "rx")[0] <= NOISE


def test_of_three_priorities_only_the_first_is_used_and_those_alike_share(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    spare = Path(3, CARE_OF[1][:15] + b"\x77", 1, 7)
    apply(net, home_agent, replace(BOTH, paths=(*lines((1, 1), (2, 2)).paths, spare)))
    assert taken(net, "rx")[0] == pytest.approx(0.5 * FLOWS, abs=0.1 * FLOWS)


def test_what_comes_over_a_line_that_stands_by_is_believed(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    """The router may know sooner than the home agent that the other line is gone."""
    serve(net, home_agent, router)
    apply(net, home_agent, lines((1, 1), (0, 5)))
    net.inside("mr", lambda: carry(router, UPLINKS[1:]))
    assert taken(net, "tx")[0] <= NOISE


def test_switching_over_and_back_and_changing_weights_lose_nothing(
    net: Net, home_agent: LinuxHomeAgent, router: LinuxRouter
) -> None:
    serve(net, home_agent, router)
    turns = cycle((lines((1, 1), (0, 5)), lines((1, 1), (5, 0)), lines((3, 1)), lines((1, 200))))
    switches = 0

    def switch() -> None:
        nonlocal switches
        apply(net, home_agent, next(turns))
        switches += 1

    assert lost_while(net, "cn", "lan", OFFICE, 20000, switch) == 0
    assert switches > 20
