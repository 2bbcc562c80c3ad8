"""The data plane at work: orders in batches, errors relayed, what others change repaired. An edge; decides nothing.

While a repair or a dump runs in a thread, because either takes seconds with many customers, the loop goes on; orders
wait until it is done. The self-test's customer is one more for the driver, and none for anybody above.
"""

import asyncio
import contextlib
import secrets
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import islice
from typing import Any

from dataplane import self_test
from dataplane.entry import ForwardingEntry, Prefix, SitePlan, Volume
from dataplane.errors import DataPlaneError
from dataplane.port import ANYTHING, CHECK_LINGER_S, DataPlane, Disturbance
from dataplane.recovery import dismantle
from dataplane.relay import ErrorRelay
from ha import narrow_lines
from ha.events import DataPlaneChecked, Event, ForwardingRepaired, ForwardingReported, SelfTested
from ha.self_test import SelfTest
from ha.status import Dumped, dumped
from runtime import collector, log
from runtime.counters import Counters

TUNNELLED = {way: f"tunnel_packets{{tunnelled_{way}}}" for way in ("in", "out")}  # as the driver calls them
FORGOTTEN_AFTER_S = 3.0  # when what a new customer table took away was carried out, and lingered
FORGOTTEN_AT_ONCE = 1000  # prefixes: under 0.1 s, during which orders wait
ORDERS_A_TURN = 200  # carried out in one turn of the loop: about 10 ms
Entries = Mapping[bytes, ForwardingEntry]


class Kernel:
    """One site's data plane.

    Args:
        plane: the driver. plan: what the site stands on.
        feed: takes events. installed: what the core believes to be in the kernel.
    """

    def __init__(
        self,
        plane: DataPlane,
        plan: SitePlan,
        feed: Callable[[Event], None],
        installed: Callable[[], Entries],
        counters: Counters,
    ) -> None:
        self._line = self_test.line(secrets.token_bytes(self_test.SECRET_OCTETS))
        self._plan = replace(plan, self_test=self._line)
        self._plane, self._feed, self._installed = plane, feed, installed
        self._counters = counters
        self._waiting: dict[bytes, tuple[int, ForwardingEntry | None]] = {}
        self._is_turn_asked_for = False
        self._in_use = asyncio.Lock()
        self._intact = True
        self._owed: Set[Disturbance] = frozenset()  # what a repair that failed leaves to the next
        self._relay: ErrorRelay | None = None
        self._self_test: SelfTest | None = None
        self._tested = self_test.home_address(plan.home_agent_address)
        self._former: deque[tuple[float, Prefix]] = deque()
        self._egress_present = self._alarmed = self._passes_again = False
        self._repaired_in_part = False  # for an alarm, and the self-test has not passed since
        self.alarm = asyncio.Event()  # somebody should look now

    async def prepare(self) -> Entries:
        """Before anything else: is there a driver, the site's foundation, and what the kernel holds of customers.

        Raises: DataPlaneError.
        """
        us = self._plan.home_agent_address
        self._self_test = SelfTest(us, self._line, self._judged, self._look_out, self._counters)
        async with self._alone():
            return await asyncio.to_thread(self._prepare)

    def _prepare(self) -> Entries:
        self._plane.prepare(self._plan)
        return self._read()

    async def reconcile(self, wanted: Entries) -> Mapping[bytes, str | None]:
        """Make the kernel hold exactly this, and the self-test's customer. Raises: DataPlaneError."""
        async with self._alone():
            return await asyncio.to_thread(self._reconcile, wanted)

    def _reconcile(self, wanted: Entries, disturbed: Set[Disturbance] = ANYTHING) -> Mapping[bytes, str | None]:
        tested = self_test.entry(self._plan.home_agent_address, self._line)
        results = self._plane.reconcile({self._tested: tested, **wanted}, disturbed)
        if why := results.pop(self._tested):
            raise DataPlaneError("the self-test's customer", why)
        return results

    def start(self) -> None:
        """From now on errors about our tunnels are relayed, and the data plane is tested. Raises: DataPlaneError."""
        self._relay = ErrorRelay(self._plan.home_agent_address, self._plane.owns, narrow_lines.tell)
        asyncio.get_running_loop().add_reader(self._relay.socket, self._relay.relay)
        self._egress_present = self._plane.egress_present()
        self._feed(DataPlaneChecked(self._egress_present))
        if self._self_test is not None:
            self._self_test.start()

    def stop(self) -> None:
        """Test no more; the kernel forwards on."""
        if self._self_test is not None:
            self._self_test.stop()

    # --- orders -----------------------------------------------------------------------------------------------------

    def order(self, home_address: bytes, entry: ForwardingEntry | None, generation: int) -> None:
        """Carry out with what else is ordered, the oldest first, so many in a turn of the loop; a report follows."""
        if home_address == self._tested:
            self._feed(ForwardingReported({home_address: (generation, "this home address is the self-test's")}))
            return
        self._waiting[home_address] = (generation, entry)
        self._apply_soon()

    def _apply_soon(self) -> None:
        if self._waiting and not self._is_turn_asked_for:
            self._is_turn_asked_for = True
            asyncio.get_running_loop().call_soon(self._apply)

    def _apply(self) -> None:
        """Carry out what waits longest, in one batch, and report."""
        self._is_turn_asked_for = False
        if self._in_use.locked():
            return  # whoever has it sees to what waits
        waiting = dict(islice(self._waiting.items(), ORDERS_A_TURN))
        for home_address in waiting:
            del self._waiting[home_address]
        self._apply_soon()
        try:
            results = self._plane.apply({home: entry for home, (_, entry) in waiting.items()})
        except DataPlaneError as error:
            results = dict.fromkeys(waiting, str(error))
        except Exception as error:  # who got no report would be waited for for ever
            log.get().error("data plane failed", trace=traceback.format_exc())
            results = dict.fromkeys(waiting, f"{type(error).__name__}: {error}")
        reported = {home: (generation, results.get(home)) for home, (generation, _) in waiting.items()}
        self._feed(ForwardingReported(reported))

    # --- looks ------------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """See what others did to the kernel and put it right."""
        try:
            async with self._alone():
                egress_present = await self._look()
            self._intact = True
        except DataPlaneError as error:
            self._counters.add("data_plane_errors")
            log.get().error("data plane cannot be read or repaired", reason=str(error))
            self._intact = egress_present = False
        self._egress_present = egress_present
        self._feed(DataPlaneChecked(egress_present, self._intact))

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Nobody else uses the driver, whose sockets serve one asker; what was ordered meanwhile is done afterwards."""
        try:
            async with self._in_use:
                with collector.nothing_kept():
                    yield
        finally:
            self._apply_soon()
            self._tell_that_it_passes()

    def _judged(self, failure: str | None) -> None:
        """Tell what the self-test found, but not that it passes again in the middle of a repair: that makes the
        self-test's customer right first, and all others in the seconds after it.
        """
        self._passes_again = failure is None and (self._alarmed or self._in_use.locked())
        if self._passes_again:
            return
        self._feed(SelfTested(failure))
        if failure is None:
            self._repaired_in_part = False
        else:
            self._alarmed = True
            self.alarm.set()

    def _tell_that_it_passes(self) -> None:
        if self._passes_again and not self._alarmed:
            self._judged(None)

    def _look_out(self) -> None:
        """Ten times a second: is there an egress? Asked also of a driver that is in use, which may be for seconds."""
        if not self._intact:
            return
        try:
            egress_present = self._plane.egress_present()
        except DataPlaneError:
            self.alarm.set()
            return
        if egress_present != self._egress_present:
            self._egress_present = egress_present
            self._feed(DataPlaneChecked(egress_present))

    def _read(self) -> Entries:
        entries = self._plane.read()
        entries.pop(self._tested, None)
        return entries

    async def _look(self) -> bool:
        """Is there an egress? Raises: DataPlaneError."""
        owed, self._owed = self._owed, ANYTHING  # if anything fails
        disturbed = self._plane.disturbances()
        alarmed, self._alarmed = self._alarmed, False
        if disturbed or alarmed or owed:
            what = [*sorted(disturbed), *(["self-test"] if alarmed else [])]
            log.get().error("data plane changed by others", what=" ".join(what) or "not repaired yet")
            # A self-test that fails although nobody announced a change, or all that was announced is repaired: it may
            # be anything.
            whole = not (disturbed | owed) or (alarmed and self._repaired_in_part)
            self._repaired_in_part = alarmed and not whole
            await self._repair(ANYTHING if whole else disturbed | owed)
        self._plane.expire(time.monotonic())
        await self._forget_due()
        egress_present, self._owed = self._plane.egress_present(), frozenset()
        return egress_present

    async def _repair(self, disturbed: Set[Disturbance]) -> None:
        """Raises: DataPlaneError; what is owed then is this, or more if customers may have been touched."""
        self._owed = disturbed
        if self._self_test is not None:
            self._self_test.mend()
        await asyncio.to_thread(self._plane.prepare, self._plan)
        self._owed = ANYTHING
        wanted = dict(self._installed())
        results = await asyncio.to_thread(self._reconcile, wanted, disturbed)
        self._alarmed = False  # what failed meanwhile may be right now; what is not fails again
        if disturbed != ANYTHING and self._self_test is not None:
            self._self_test.tell_soon()
        self._feed(ForwardingRepaired(wanted, dict(results)))

    def forget(self, prefixes: Iterable[Prefix]) -> None:
        """Count anew for prefixes that are not their customers' any more, when no packet of those passes any longer."""
        due = time.monotonic() + CHECK_LINGER_S + FORGOTTEN_AFTER_S
        self._former.extend((due, prefix) for prefix in prefixes)

    async def _forget_due(self) -> None:
        """Begin to count anew for those whose time has come. That it fails is no fault of the forwarding."""
        if not (due := self._due(time.monotonic())):
            return
        try:
            await asyncio.to_thread(self._plane.forget, due)
        except DataPlaneError as error:
            self._counters.add("data_plane_errors")
            log.get().error("counts of former customers cannot be forgotten yet", reason=str(error))
            self.forget(due)

    def _due(self, now: float) -> list[Prefix]:
        due: list[Prefix] = []
        while self._former and self._former[0][0] <= now and len(due) < FORGOTTEN_AT_ONCE:
            due.append(self._former.popleft()[1])
        return due

    async def read(self, shown: Sequence[bytes]) -> tuple[Dumped, dict[str, int]]:
        """What the kernel holds, by its own dump, and its counters. Raises: DataPlaneError."""
        async with self._alone():
            found, counters = await asyncio.to_thread(self._compare, shown)
        return found, counters | {"customers_installed": found.customers}

    def _compare(self, shown: Sequence[bytes]) -> tuple[Dumped, dict[str, int]]:
        """In a thread: as long as nobody else uses the driver, what is believed to be installed stays as it is."""
        present = dict(self._read())
        found = dumped(present, self._installed(), shown)
        dismantle(present)
        return found, self._plane.counters()

    def counters(self) -> dict[str, int]:
        """What the kernel counts; no dump, so it may be asked for often, and nobody is waited for.

        Raises: DataPlaneError.
        """
        return self._plane.counters()

    async def volumes(self, prefixes: Iterable[Prefix] | None) -> Mapping[Prefix, Volume]:
        """Packets and octets by prefix, of these or of all; orders do not wait for it. Raises: DataPlaneError."""
        return await asyncio.to_thread(self._plane.volumes, prefixes)

    def relay_counters(self) -> dict[str, int]:
        """What became of errors about our tunnels."""
        return self._relay.counters() if self._relay else {}

    def narrow_lines(self) -> list[dict[str, Any]]:
        """The lines of customers that were heard to be too narrow for a tunnel, for status."""
        return narrow_lines.rows(self._relay.narrow_lines()) if self._relay else []
