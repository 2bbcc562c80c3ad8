"""When memory runs short, newcomers are refused, and those who are in are served on."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath

import pytest

from dataplane import capacity
from dataplane.entry import ForwardingEntry, Path
from dataplane.linux import LinuxHomeAgent
from tests import tunnels
from tests.dataplane.test_linux import BOTH, CARE_OF, HOME, SITE, address, prefix, prepared_home_agent
from tests.netns import Net
from tests.office import office

NEWCOMER = address("2001:db8:f000::52")
ENTRY = replace(BOTH, home_address=NEWCOMER, prefixes=(prefix("2001:db8:f100:100::/56"),))
MORE_THAN_THERE_IS = 1 << 60


def test_room_is_what_is_available_without_the_reserve(tmp_path: FilePath) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  2000 kB\nMemFree:  10 kB\nMemAvailable:  1024 kB\n")
    assert capacity.available_octets(meminfo) == 1 << 20
    assert capacity.room(0, meminfo) == (1 << 20) // capacity.CUSTOMER_OCTETS
    assert capacity.room(1 << 20, meminfo) == capacity.room(1 << 21, meminfo) == 0


def test_a_kernel_that_does_not_tell_has_no_room(tmp_path: FilePath) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  2000 kB\n")
    assert capacity.room(0, meminfo) == 0


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


@pytest.mark.netns
def test_short_of_memory_newcomers_are_refused_and_whoever_is_in_may_change_and_leave(net: Net) -> None:
    def play() -> None:
        plane: LinuxHomeAgent = prepared_home_agent()
        assert plane.apply({HOME: BOTH}) == {HOME: None}
        plane.prepare(replace(SITE, memory_reserve=MORE_THAN_THERE_IS))
        moved = replace(BOTH, paths=(Path(1, CARE_OF[2]), Path(2, CARE_OF[1])))
        results = plane.apply({NEWCOMER: ENTRY, HOME: moved})
        assert results == {NEWCOMER: "the machine's memory is nearly used up", HOME: None}
        assert plane.read() == {HOME: moved}
        assert plane.apply({HOME: None}) == {HOME: None}
        plane.prepare(SITE)
        assert plane.apply({NEWCOMER: ENTRY}) == {NEWCOMER: None}
        assert plane.read() == {NEWCOMER: ENTRY}

    net.inside("ha", play)


@pytest.mark.netns
def test_what_the_kernel_holds_is_counted_and_the_counts_come_back_from_its_dump(net: Net) -> None:
    def play() -> None:
        plane = prepared_home_agent()
        plane.apply({HOME: BOTH, NEWCOMER: ENTRY})
        plane.apply({HOME: replace(BOTH, paths=BOTH.paths[:1], prefixes=())})
        counted = {name: plane.counters()[name] for name in ("nexthops_installed", "routes_installed")}
        assert counted == {"nexthops_installed": 2 + 3, "routes_installed": 1 + 2}
        again = restarted_home_agent({HOME: replace(BOTH, paths=BOTH.paths[:1], prefixes=()), NEWCOMER: ENTRY})
        assert {name: again.counters()[name] for name in counted} == counted
        again.apply({HOME: None, NEWCOMER: None})
        assert {again.counters()[name] for name in counted} == {0}
        assert again.counters()["memory_available_bytes"] > 0

    net.inside("ha", play)


def restarted_home_agent(wanted: Mapping[bytes, ForwardingEntry]) -> LinuxHomeAgent:
    plane = tunnels.home_agent()
    plane.prepare(SITE)
    assert plane.reconcile(wanted) == dict.fromkeys(wanted)
    return plane
