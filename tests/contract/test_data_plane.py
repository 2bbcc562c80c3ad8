"""What every driver of the home agent's data plane promises: one suite, run in memory and with each of the kernel's."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any, cast

import pytest

from dataplane.driver import Driver as KernelDriver
from dataplane.entry import Egress, ForwardingEntry, Path, Prefix, SitePlan
from dataplane.errors import DataPlaneError
from dataplane.linux import LinuxHomeAgent
from dataplane.memory import MemoryDataPlane
from dataplane.numbers import HOME_AGENT_IDS
from dataplane.plan import SLOT_IDS
from dataplane.port import DataPlane
from dataplane.probe import probe
from tests import tunnels
from tests.netns import Net, namespaces


def address(text: str) -> bytes:
    return IPv6Address(text).packed


def prefix(text: str) -> Prefix:
    network = IPv6Network(text)
    return Prefix(network.network_address.packed, network.prefixlen)


SITE = SitePlan(
    address("2001:db8:f000::1"), (prefix("2001:db8:f000::/36"),), (Egress(address("2001:db8:a::1"), "isp"),)
)
FIRST, SECOND, THIRD = (address(f"2001:db8:f000::{number}") for number in (51, 52, 53))
CARE_OF = [address(f"2001:db8:{line}:c::{host}") for host in (20, 21) for line in (1, 2, 3)]


def entry(home: bytes, *paths: Path, networks: int = 1) -> ForwardingEntry:
    mnps = tuple(prefix(f"2001:db8:f1{home[-1]:02x}:{number}00::/56") for number in range(networks))
    return ForwardingEntry(home, mnps, paths)


@dataclass
class Driver:
    """A prepared data plane; another over the same kernel, as after a restart; and how to make it refuse a BID."""

    plane: DataPlane
    again: Callable[[], DataPlane]
    refuse: Callable[[bytes, int], None]


class Inside:
    """A data plane whose every call happens in a namespace."""

    def __init__(self, net: Net, make: Callable[[], Any]) -> None:
        self._net = net
        self._plane = net.inside("ha", make)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given: self._net.inside("ha", lambda: getattr(self._plane, name)(*given))


@pytest.fixture(params=["memory", *(pytest.param(one, marks=pytest.mark.netns) for one in tunnels.offered())])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    if request.param == "memory":
        memory = MemoryDataPlane()
        memory.prepare(SITE)
        yield Driver(memory, lambda: memory, lambda home, _bid: memory.refuse(home))
        return
    with namespaces() as net, tunnels.using(request.param):
        net.add("ha", "isp")
        net.link("ha", "isp", "isp", "site")
        net.run("ha", "ip", "addr", "add", "2001:db8:a::10/64", "dev", "isp", "nodad")

        def prepared() -> LinuxHomeAgent:
            plane = tunnels.home_agent()
            plane.prepare(SITE)
            return plane

        def refuse(home: bytes, bid: int) -> None:
            """Somebody's group sits on the id of the BID's place: the kernel turns no group into a tunnel."""
            [route] = net.json("ha", "ip", "-j", "-6", "route", "show", str(IPv6Address(home)))
            group = int(route["nhid"])
            assert group in HOME_AGENT_IDS and group % SLOT_IDS == 0
            net.run("ha", "ip", "nexthop", "add", "id", "7", "via", "2001:db8:a::1", "dev", "isp")
            net.run("ha", "ip", "nexthop", "add", "id", str(group + bid), "group", "7")

        yield Driver(cast(DataPlane, Inside(net, prepared)), lambda: cast(DataPlane, Inside(net, prepared)), refuse)


def test_what_was_applied_is_read(driver: Driver) -> None:
    wanted = {
        FIRST: entry(FIRST, Path(1, CARE_OF[0]), Path(2, CARE_OF[1], 7)),
        SECOND: entry(SECOND, Path(1, CARE_OF[0], 2, 5), Path(300, CARE_OF[1], 9, 5), Path(301, CARE_OF[2], 1, 6)),
        THIRD: entry(THIRD, Path(9, CARE_OF[4]), networks=3),
    }
    assert driver.plane.apply(wanted) == dict.fromkeys(wanted)
    assert driver.plane.read() == wanted


def test_applying_twice_and_preparing_twice_change_nothing(driver: Driver) -> None:
    wanted = {FIRST: entry(FIRST, Path(1, CARE_OF[0]))}
    driver.plane.apply(wanted)
    driver.plane.prepare(SITE)
    assert driver.plane.apply(wanted) == {FIRST: None}
    assert driver.plane.read() == wanted


def test_nothing_wanted_removes_and_removing_nothing_succeeds(driver: Driver) -> None:
    driver.plane.apply({FIRST: entry(FIRST, Path(1, CARE_OF[0])), SECOND: entry(SECOND, Path(1, CARE_OF[1]))})
    assert driver.plane.apply({FIRST: None, THIRD: None}) == {FIRST: None, THIRD: None}
    assert driver.plane.read().keys() == {SECOND}


def test_an_entry_is_replaced_whatever_it_was(driver: Driver) -> None:
    driver.plane.apply({FIRST: entry(FIRST, Path(1, CARE_OF[0]), Path(2, CARE_OF[1]), networks=2)})
    other = entry(FIRST, Path(2, CARE_OF[3], 4), Path(5, CARE_OF[2], 1, 1), networks=1)
    assert driver.plane.apply({FIRST: other}) == {FIRST: None}
    assert driver.plane.read() == {FIRST: other}


def test_a_network_moves_from_one_customer_to_another_behind_the_same_line(driver: Driver) -> None:
    mine = ForwardingEntry(FIRST, (prefix("2001:db8:f177::/56"),), (Path(1, CARE_OF[0]),))
    driver.plane.apply({FIRST: mine, SECOND: entry(SECOND, Path(1, CARE_OF[0]))})
    without = ForwardingEntry(FIRST, (), mine.paths)
    theirs = ForwardingEntry(SECOND, mine.prefixes, (Path(1, CARE_OF[0]),))
    assert driver.plane.apply({FIRST: without, SECOND: theirs}) == {FIRST: None, SECOND: None}
    driver.plane.expire(100.0)
    driver.plane.expire(200.0)
    assert driver.plane.read() == {FIRST: without, SECOND: theirs}
    assert driver.plane.reconcile({FIRST: without, SECOND: theirs}) == {FIRST: None, SECOND: None}


def test_a_refused_customer_stays_as_it_was_and_the_others_go_in(driver: Driver) -> None:
    before = entry(FIRST, Path(1, CARE_OF[0]))
    driver.plane.apply({FIRST: before})
    driver.refuse(FIRST, 2)
    wanted = {
        FIRST: entry(FIRST, Path(1, CARE_OF[3]), Path(2, CARE_OF[1]), networks=2),
        SECOND: entry(SECOND, Path(1, CARE_OF[1])),
    }
    results = driver.plane.apply(wanted)
    assert results[FIRST] and results[SECOND] is None
    assert driver.plane.read() == {FIRST: before, SECOND: wanted[SECOND]}


@pytest.mark.parametrize(
    "bad",
    [
        ForwardingEntry(FIRST, (), ()),
        ForwardingEntry(SECOND, (), (Path(1, CARE_OF[0]),)),
        ForwardingEntry(FIRST, (), (Path(1, CARE_OF[0], 0),)),
        ForwardingEntry(FIRST, (), (Path(1, CARE_OF[0], 257),)),
        ForwardingEntry(FIRST, (), (Path(1, CARE_OF[0]), Path(1, CARE_OF[1]))),
        ForwardingEntry(FIRST, (), (Path(1, b"short"),)),
        ForwardingEntry(FIRST, (Prefix(CARE_OF[0], 56),), (Path(1, CARE_OF[0]),)),
        ForwardingEntry(FIRST, (Prefix(bytes(16), 0),), (Path(1, CARE_OF[0]),)),
    ],
)
def test_an_entry_that_no_kernel_could_hold_is_refused_with_a_reason(driver: Driver, bad: ForwardingEntry) -> None:
    before = {FIRST: entry(FIRST, Path(1, CARE_OF[0]))}
    driver.plane.apply(before)
    assert driver.plane.apply({FIRST: bad})[FIRST]
    assert driver.plane.reconcile({FIRST: bad})[FIRST]
    assert driver.plane.read() == before


def test_reconciling_leaves_exactly_what_is_wanted(driver: Driver) -> None:
    kept = entry(FIRST, Path(1, CARE_OF[0]), Path(2, CARE_OF[1]))
    driver.plane.apply({FIRST: kept, SECOND: entry(SECOND, Path(1, CARE_OF[2]))})
    wanted = {FIRST: kept, THIRD: entry(THIRD, Path(1, CARE_OF[3]))}
    assert driver.plane.reconcile(wanted) == dict.fromkeys(wanted)
    assert driver.plane.read() == wanted


def test_a_restarted_data_plane_takes_over_what_is_there(driver: Driver) -> None:
    wanted = {
        FIRST: entry(FIRST, Path(1, CARE_OF[0], 3), Path(2, CARE_OF[1]), Path(3, CARE_OF[2], 2, 1)),
        SECOND: entry(SECOND, Path(1, CARE_OF[0])),
    }
    driver.plane.apply(wanted)
    again = driver.again()
    assert again.read().keys() == wanted.keys()
    changed = {FIRST: wanted[FIRST], SECOND: entry(SECOND, Path(1, CARE_OF[5]), Path(2, CARE_OF[4]))}
    assert again.reconcile(changed) == dict.fromkeys(changed)
    assert again.read() == changed


def test_a_restarted_data_plane_changes_one_customer_before_it_knows_the_others(driver: Driver) -> None:
    wanted = {FIRST: entry(FIRST, Path(1, CARE_OF[0])), SECOND: entry(SECOND, Path(1, CARE_OF[1]))}
    driver.plane.apply(wanted)
    again = driver.again()
    third = entry(THIRD, Path(1, CARE_OF[2]))
    assert again.apply({THIRD: third, FIRST: None}) == {THIRD: None, FIRST: None}
    assert again.read() == {SECOND: wanted[SECOND], THIRD: third}


def test_expiring_comes_to_an_end(driver: Driver) -> None:
    driver.plane.apply({FIRST: entry(FIRST, Path(1, CARE_OF[0]))})
    driver.plane.apply({FIRST: None})
    now: float | None = 50.0
    for _ in range(5):
        if now is None:
            break
        now = driver.plane.expire(now)
    assert now is None


def test_counters_are_numbers_by_name_and_the_egress_is_there(driver: Driver) -> None:
    assert all(isinstance(name, str) and count >= 0 for name, count in driver.plane.counters().items())
    assert driver.plane.egress_present()


def test_nothing_is_left_after_a_purge_and_work_goes_on_after_preparing(driver: Driver) -> None:
    wanted = {FIRST: entry(FIRST, Path(1, CARE_OF[0]))}
    driver.plane.apply(wanted)
    driver.plane.purge()
    assert driver.plane.read() == {}
    driver.plane.prepare(SITE)
    assert driver.plane.apply(wanted) == {FIRST: None}
    assert driver.plane.read() == wanted


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_always_end_in_what_was_asked_last(driver: Driver, seed: int) -> None:
    chance = random.Random(seed)
    model: dict[bytes, ForwardingEntry] = {}
    homes = [address(f"2001:db8:f000::{number:x}") for number in range(0x60, 0x66)]

    def some_entry(home: bytes) -> ForwardingEntry | None:
        bids = sorted(chance.sample([1, 2, 3, 255, 256, 65535], chance.randrange(4)))
        paths = [Path(bid, chance.choice(CARE_OF), chance.randint(1, 3), chance.randrange(2)) for bid in bids]
        return entry(home, *paths, networks=chance.randrange(4)) if paths else None

    for step in range(40):
        wanted = {home: some_entry(home) for home in chance.sample(homes, chance.randint(1, 4))}
        if chance.random() < 0.2:
            model = {home: one for home, one in wanted.items() if one}
            assert driver.plane.reconcile(model) == dict.fromkeys(model)
        else:
            assert driver.plane.apply(wanted) == dict.fromkeys(wanted)
            model = {home: one for home, one in {**model, **wanted}.items() if one}
        driver.plane.expire(float(step))
        assert driver.plane.read() == model


@pytest.mark.netns
@pytest.mark.parametrize("one", KernelDriver)
def test_each_driver_is_tested_or_the_kernel_lacks_it(one: KernelDriver) -> None:
    """The suite ran with the first driver alone, on kernels that offer two."""
    with namespaces() as net:
        net.add("ha")
        if one in tunnels.offered():
            assert net.inside("ha", lambda: probe(one)) is one
        elif tunnels.driver() is None:
            with pytest.raises(DataPlaneError, match="the kernel has no"):
                net.inside("ha", lambda: probe(one))
