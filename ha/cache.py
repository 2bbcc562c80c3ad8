"""The binding cache: records by home address, and what of each is in the kernel. Pure.

Theory of operation. A record here is what this site *wants* forwarded. `installed` is what the data plane confirmed.
Between the two stands a `Pending`: one `SetForwarding` under way per home address, told apart by generation, with all
who wait for it. A newer change replaces an older one still under way; a report for an old generation is ignored. If
the kernel refuses a change that a BU made, the record falls back to what it was (plus what peers said meanwhile), so
that a refused registration leaves no trace.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from dataplane.entry import ForwardingEntry
from ha.effects import SendBindingAck, SetForwarding
from ha.record import Record
from ha.undo import Undo


class LocalChange(Struct, frozen=True, gc=False):
    """A Binding Update heard by this site that waits for the kernel.

    Its answer, or the refusal, and what to fall back to.
    """

    accepted: SendBindingAck
    refused: SendBindingAck
    fallback: Record | None


class Pending(Struct, frozen=True, gc=False):
    """A `SetForwarding` under way; `promised` are the peers' changes to acknowledge when it is in."""

    generation: int
    entry: ForwardingEntry | None
    local: LocalChange | None
    promised: tuple[tuple[str, int], ...]


class BindingCache:
    """Records, what is installed of them, and what is under way."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}
        self.installed: dict[bytes, ForwardingEntry] = {}
        self.pending: dict[bytes, Pending] = {}
        self.unsettled: dict[bytes, float] = {}  # home address -> when to try the kernel again, monotonic seconds
        # Records whose digest is to be made anew; to name too many does no harm. A set that was once large is slow to
        # find its next member, a mapping is not.
        self.touched: dict[bytes, None] = {}
        self._generation = 0
        self._expiries: list[tuple[float, bytes]] = []  # a heap; of each home address only the one in `_noted` counts
        self._noted: dict[bytes, float] = {}

    def put(self, record: Record, undo: Undo) -> None:
        """Store what this site wants; its next expiry is noted."""
        home_address, expiry = record.home_address, record.next_expiry()
        undo.put(self.records, home_address, record)
        self.touched[home_address] = None
        noted = self._noted.get(home_address)
        if noted is None or expiry < noted:
            undo.put(self._noted, home_address, expiry)
            heapq.heappush(self._expiries, (expiry, home_address))

    def amend(self, home_address: bytes, change: Callable[[Record], Record], undo: Undo) -> Record | None:
        """Change a record of our own accord, and what it falls back to if the kernel refuses what a BU made of it.

        Returns: the record as others may know it.
        """
        self.put(change(self.records[home_address]), undo)
        pending = self.pending.get(home_address)
        if pending is not None and pending.local is not None and pending.local.fallback is not None:
            local = replace(pending.local, fallback=change(pending.local.fallback))
            undo.put(self.pending, home_address, replace(pending, local=local))
        return self.committed(home_address)

    def forget(self, home_address: bytes, undo: Undo) -> None:
        """Drop a record that can matter to nobody any more."""
        undo.drop(self.records, home_address)
        self.touched[home_address] = None

    def committed(self, home_address: bytes) -> Record | None:
        """The record as others may know it: without a Binding Update that the kernel may yet refuse."""
        pending = self.pending.get(home_address)
        if pending is not None and pending.local is not None:
            return pending.local.fallback
        return self.records.get(home_address)

    def known(self, home_addresses: Iterable[bytes]) -> list[bytes]:
        """Those of these of which there is a record, or something in the kernel or under way there."""
        records, installed, pending = self.records, self.installed, self.pending
        return [home for home in home_addresses if home in records or home in installed or home in pending]

    def wants(self, home_address: bytes) -> ForwardingEntry | None:
        """The entry that will be in force when all that is under way is in."""
        under_way = self.pending.get(home_address)
        return under_way.entry if under_way else self.installed.get(home_address)

    def is_settled(self, home_address: bytes) -> bool:
        """True if the kernel holds what the record wants, and nothing is under way."""
        return (
            home_address in self.installed and home_address not in self.pending and home_address not in self.unsettled
        )

    def holds(self, home_address: bytes, entry: ForwardingEntry | None) -> bool:
        """True if the kernel holds exactly this for certain, and nothing is under way.

        Where it refused something it holds what it held; but at the start we do not know what that was.
        """
        if home_address in self.pending or home_address in self.unsettled:
            return False
        return self.installed.get(home_address) == entry

    def care_ofs(self, home_address: bytes, now: float) -> list[bytes | None]:
        """The care-of addresses in force for a home address."""
        record = self.records.get(home_address)
        return [binding.care_of for binding in record.live(now).values()] if record else []

    def begin(
        self,
        home_address: bytes,
        entry: ForwardingEntry | None,
        local: LocalChange | None,
        promised: tuple[tuple[str, int], ...],
        undo: Undo,
    ) -> SetForwarding:
        """Order a change of the kernel; what an older one under way had promised is carried over."""
        old = self.pending.get(home_address)
        if old:
            promised = old.promised + promised
            if local is None:
                local = old.local
            elif old.local is not None:
                local = replace(local, fallback=old.local.fallback)
        undo.assign(self, "_generation", self._generation + 1)
        undo.put(self.pending, home_address, Pending(self._generation, entry, local, promised))
        return SetForwarding(home_address, entry, self._generation)

    def reported(
        self, home_address: bytes, generation: int, error: str | None, retry_at: float, undo: Undo
    ) -> Pending | None:
        """A report from the data plane; None if it is of an older order. A refusal is tried again at `retry_at`."""
        pending = self.pending.get(home_address)
        if pending is None or pending.generation != generation:
            return None
        undo.drop(self.pending, home_address)
        if error is None:
            undo.drop(self.unsettled, home_address)
            self.confirm(home_address, pending.entry, undo)
        else:
            undo.put(self.unsettled, home_address, retry_at)
        return pending

    def confirm(self, home_address: bytes, entry: ForwardingEntry | None, undo: Undo) -> None:
        """The kernel holds exactly this."""
        if entry is None:
            undo.drop(self.installed, home_address)
        else:
            undo.put(self.installed, home_address, entry)

    def due(self, now: float, undo: Undo) -> Iterator[Record]:
        """Records whose noted expiry has come; it may have been put off since."""
        while self._expiries and self._expiries[0][0] <= now:
            noted = heapq.heappop(self._expiries)
            undo.on_roll_back(partial(heapq.heappush, self._expiries, noted))
            at, home_address = noted
            if self._noted.get(home_address) != at:
                continue  # an earlier one was noted since
            undo.drop(self._noted, home_address)
            record = self.records.get(home_address)
            if record is None:
                continue
            expiry = record.next_expiry()
            if expiry <= now:
                yield record
            else:
                undo.put(self._noted, home_address, expiry)
                heapq.heappush(self._expiries, (expiry, home_address))

    def next_expiry(self) -> float | None:
        """When `due` may next have something."""
        return self._expiries[0][0] if self._expiries else None
