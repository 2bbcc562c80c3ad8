"""The data plane at work over one in memory: what it tells the core, and when."""

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence, Set

import pytest

from dataplane.entry import ForwardingEntry, Path, Prefix, SitePlan
from dataplane.errors import DataPlaneError
from dataplane.memory import MemoryDataPlane
from dataplane.port import ANYTHING, CHECK_LINGER_S, Disturbance
from ha.events import DataPlaneChecked, Event, ForwardingRepaired, ForwardingReported, SelfTested
from ha.kernel import Kernel
from runtime.counters import Counters
from tests.ha.cast import CARE_OF_1, HOME, HOME_AGENT

ENTRY = ForwardingEntry(HOME, (), (Path(1, CARE_OF_1),))


class SlowPlane(MemoryDataPlane):
    """Repairs when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.disturbed: set[Disturbance] = set()
        self.looked_for: list[Set[Disturbance]] = []
        self.began, self.go_on = threading.Event(), threading.Event()
        self.leads_out = True

    def egress_present(self) -> bool:
        return self.leads_out

    def disturbances(self) -> set[Disturbance]:
        disturbed, self.disturbed = self.disturbed, set()
        return disturbed

    def reconcile(
        self, wanted: Mapping[bytes, ForwardingEntry], disturbed: Set[Disturbance] = ANYTHING
    ) -> dict[bytes, str | None]:
        self.began.set()
        assert self.go_on.wait(10.0)
        self.looked_for.append(disturbed)
        return super().reconcile(wanted, disturbed)


class BrokenPlane(MemoryDataPlane):
    """Fails otherwise than a driver may."""

    def apply(self, wanted: Mapping[bytes, ForwardingEntry | None]) -> dict[bytes, str | None]:
        raise OSError(24, "Too many open files")


def kernel(plane: MemoryDataPlane, heard: list[Event]) -> Kernel:
    return Kernel(plane, SitePlan(HOME_AGENT, (), ()), heard.append, lambda: {HOME: ENTRY}, Counters())


def kinds(heard: Iterable[Event]) -> list[type]:
    return [type(event) for event in heard if isinstance(event, SelfTested | ForwardingRepaired)]


def test_a_self_test_that_passes_in_the_middle_of_a_repair_is_told_behind_it() -> None:
    """A repair makes the self-test's customer right first: the site was announced with nobody else in its kernel."""
    plane, heard = SlowPlane(), list[Event]()
    plane.disturbed = {Disturbance.ROUTES}

    async def life() -> None:
        site = kernel(plane, heard)
        site._judged("encapsulation")
        looking = asyncio.create_task(site.look())
        await asyncio.to_thread(plane.began.wait, 10.0)
        site._judged(None)
        assert kinds(heard) == [SelfTested]
        plane.go_on.set()
        await looking

    asyncio.run(life())
    assert kinds(heard) == [SelfTested, ForwardingRepaired, SelfTested]
    assert SelfTested(None) in heard


def test_a_failure_that_nobody_announced_is_looked_after_before_the_self_test_may_pass() -> None:
    plane, heard = SlowPlane(), list[Event]()
    plane.go_on.set()

    async def life() -> None:
        site = kernel(plane, heard)
        site._judged("decapsulation")
        site._judged(None)
        assert kinds(heard) == [SelfTested]
        await site.look()

    asyncio.run(life())
    assert kinds(heard) == [SelfTested, ForwardingRepaired, SelfTested]


def test_who_fails_again_in_a_repair_does_not_pass_behind_it() -> None:
    plane, heard = SlowPlane(), list[Event]()
    plane.disturbed = {Disturbance.ROUTES}

    async def life() -> None:
        site = kernel(plane, heard)
        looking = asyncio.create_task(site.look())
        await asyncio.to_thread(plane.began.wait, 10.0)
        site._judged(None)
        site._judged("source check")
        plane.go_on.set()
        await looking

    asyncio.run(life())
    assert [event.failure for event in heard if isinstance(event, SelfTested)] == ["source check"]


def test_a_repair_looks_at_what_was_disturbed_and_at_everything_if_nobody_announced_it() -> None:
    """A policy rule that somebody took away had all 100,000 customers read: 11 s, in which no router was answered."""
    plane, heard = SlowPlane(), list[Event]()
    plane.go_on.set()

    async def life() -> None:
        site = kernel(plane, heard)
        plane.disturbed = {Disturbance.FILTERS}
        site._judged("source check")  # which is why
        await site.look()
        await site.look()
        site._judged("encapsulation")  # still, or again
        await site.look()

    asyncio.run(life())
    assert plane.looked_for == [{Disturbance.FILTERS}, ANYTHING]


def test_what_fails_behind_a_repair_of_what_was_announced_has_everything_read_whatever_is_announced_meanwhile() -> None:
    """As long as somebody changed a rule each second nothing but rules was repaired, with the site withdrawn."""
    plane, heard = SlowPlane(), list[Event]()
    plane.go_on.set()

    async def life() -> None:
        site = kernel(plane, heard)
        for fails in (True, True, False, True):
            plane.disturbed = {Disturbance.RULES}
            site._judged("encapsulation" if fails else None)
            await site.look()

    asyncio.run(life())
    rules = {Disturbance.RULES}
    assert plane.looked_for == [rules, ANYTHING, rules, rules]


class FailsOnce(SlowPlane):
    """When it prepares, or when it reconciles."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.go_on.set()
        self._when = when

    def _now(self, when: str) -> None:
        if when == self._when:
            self._when = ""
            raise DataPlaneError(when, "out of memory")

    def prepare(self, plan: SitePlan) -> None:
        self._now("prepare")

    def reconcile(
        self, wanted: Mapping[bytes, ForwardingEntry], disturbed: Set[Disturbance] = ANYTHING
    ) -> dict[bytes, str | None]:
        self._now("reconcile")
        return super().reconcile(wanted, disturbed)

    def expire(self, now: float) -> float | None:
        self._now("expire")
        return None


@pytest.mark.parametrize(
    ("when", "what"), [("prepare", {Disturbance.EGRESS}), ("reconcile", ANYTHING), ("expire", ANYTHING)]
)
def test_a_repair_that_failed_is_owed_and_with_it_all_that_it_may_have_left_half_done(
    when: str, what: Set[Disturbance]
) -> None:
    """An egress whose interface is away fails each repair, and when it was back all customers were read."""
    plane, heard = FailsOnce(when), list[Event]()

    async def life() -> None:
        site = kernel(plane, heard)
        plane.disturbed = {Disturbance.EGRESS}
        for _ in range(3):
            await site.look()

    asyncio.run(life())
    assert plane.looked_for[-1] == what
    assert [event.intact for event in heard if isinstance(event, DataPlaneChecked)] == [False, True, True]
    assert len(plane.looked_for) == 1 + (when == "expire")


class ToldSoon:
    """The self-test, as far as a repair goes."""

    told_soon = 0

    def tell_soon(self) -> None:
        self.told_soon += 1


def test_a_failure_in_the_middle_of_a_repair_asks_for_no_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed because the repair was not through: all customers were read once more, for seconds."""
    plane, heard, tests = SlowPlane(), list[Event](), ToldSoon()
    plane.disturbed = {Disturbance.FILTERS}

    async def life() -> None:
        site = kernel(plane, heard)
        looking = asyncio.create_task(site.look())
        await asyncio.to_thread(plane.began.wait, 10.0)
        monkeypatch.setattr(site, "_self_test", tests)
        site._judged("source check")
        plane.go_on.set()
        await looking
        await site.look()
        assert tests.told_soon == 1
        site._judged(None)

    asyncio.run(life())
    assert plane.looked_for == [{Disturbance.FILTERS}]
    assert kinds(heard) == [SelfTested, ForwardingRepaired, SelfTested]


def test_a_way_out_that_is_lost_while_the_driver_is_in_use_is_missed_at_once() -> None:
    """It was not asked for during a repair or a status, seconds with many customers: announced, with all of it lost."""
    plane, heard = SlowPlane(), list[Event]()
    plane.disturbed = {Disturbance.ROUTES}

    async def life() -> None:
        site = kernel(plane, heard)
        site._look_out()
        looking = asyncio.create_task(site.look())
        await asyncio.to_thread(plane.began.wait, 10.0)
        plane.leads_out = False
        site._look_out()
        assert heard == [DataPlaneChecked(egress_present=True), DataPlaneChecked(egress_present=False)]
        plane.go_on.set()
        await looking
        assert heard[-1] == DataPlaneChecked(egress_present=False)

    asyncio.run(life())


def test_an_error_that_no_driver_should_raise_is_reported_as_a_refusal() -> None:
    """Two hundred customers waited for a report that never came."""
    heard = list[Event]()

    async def life() -> None:
        site = kernel(BrokenPlane(), heard)
        site.order(HOME, ENTRY, 7)
        await asyncio.sleep(0)

    asyncio.run(life())
    assert heard == [ForwardingReported({HOME: (7, "OSError: [Errno 24] Too many open files")})]


def test_counters_are_answered_in_the_middle_of_a_repair() -> None:
    """They waited for the driver, which a repair of 100,000 customers has for seconds: metrics said `xsp_ha_up 0`."""
    plane = SlowPlane()
    plane.disturbed = {Disturbance.ROUTES}

    async def life() -> None:
        site = kernel(plane, [])
        looking = asyncio.create_task(site.look())
        await asyncio.to_thread(plane.began.wait, 10.0)
        assert site.counters() == plane.counters()
        assert not looking.done()
        plane.go_on.set()
        await looking

    asyncio.run(life())


def test_what_was_a_customers_is_counted_anew_when_it_lingered_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[Prefix] = []

    class Counting(MemoryDataPlane):
        def forget(self, prefixes: Iterable[Prefix]) -> None:
            forgotten.extend(prefixes)

    async def life() -> None:
        site = kernel(Counting(), [])
        site.forget([Prefix(HOME, 128)])
        await site.look()
        assert forgotten == []
        monkeypatch.setattr("ha.kernel.FORGOTTEN_AFTER_S", -CHECK_LINGER_S)
        other = kernel(Counting(), [])
        other.forget([Prefix(HOME, 128)])
        for _ in range(2):
            await other.look()
        assert forgotten == [Prefix(HOME, 128)]

    asyncio.run(life())


def test_counts_that_cannot_be_forgotten_yet_are_no_fault_of_the_forwarding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: an element that somebody had taken away withdrew the whole site, and was never forgotten."""
    asked: list[Sequence[Prefix]] = []

    class Refusing(MemoryDataPlane):
        def forget(self, prefixes: Iterable[Prefix]) -> None:
            asked.append(tuple(prefixes))
            if len(asked) == 1:
                raise DataPlaneError("forgetting", "no such element")

    async def life() -> None:
        monkeypatch.setattr("ha.kernel.FORGOTTEN_AFTER_S", -CHECK_LINGER_S)
        heard: list[Event] = []
        site = kernel(Refusing(), heard)
        site.forget([Prefix(HOME, 128)])
        for _ in range(2):
            await site.look()
        assert asked == [(Prefix(HOME, 128),)] * 2
        assert {event.intact for event in heard if isinstance(event, DataPlaneChecked)} == {True}

    asyncio.run(life())
