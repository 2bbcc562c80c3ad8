"""HomeAgent: the one class to know. Events in, effects out; no clock, no socket, no log.

Theory of operation. A Binding Update is judged (`registration`), becomes a record (`record`), the record becomes the
wanted forwarding entry (`forwarding`), the data plane makes it so and reports; then the record goes to the peers
(`replication`), and when enough of them have it the acknowledgement leaves: status 0 means it is true. A refresh that
changes no entry skips the data plane. Records from peers take the same way without an acknowledgement to the mobile
router. Every 100 ms: HELLO to the peers and a renewal of the BGP lease with what `readiness` decides. `handle` is
all-or-nothing: if it raises, the state is as it was before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataplane.entry import ForwardingEntry
from ha import acknowledgement, forwarding, frames, registration
from ha.cache import BindingCache, LocalChange, Pending
from ha.customer_table import CustomerTable
from ha.events import (
    AcknowledgeRecords,
    BindingUpdateReceived,
    ClockRead,
    DataPlaneChecked,
    DrainAsked,
    Effect,
    Event,
    ForwardingReported,
    HeaderMalformed,
    HelloReceived,
    HomeAddressUsed,
    LeaseAnswered,
    MessageIgnored,
    MessageUnknown,
    Note,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    RecordsAcknowledged,
    RecordsReceived,
    SendHello,
    TableLoaded,
    TimeReached,
)
from ha.frames import Hello, StateSyncAck, WireRecord
from ha.prefix import address_text
from ha.record import Record, merge, same
from ha.replication import Replication
from ha.serving import Serving
from ha.site import Policy
from ha.strangers import Strangers
from ha.undo import Undo
from ha.verdict import Accepted, Case, Discarded, Refused
from mip6 import ntp
from mip6.numbers import Status
from runtime.counters import Counters

RETRY_S = 1.0  # after a refusal by the kernel
TICK_S = 0.1  # HELLO and lease renewal (the lease lasts 300 ms)


class HomeAgent:
    """One site's home agent.

    Args:
        policy: the rules of this site. sites: the peers' names. table: the customer table in force.
        incarnation: a number that no earlier start of this site had.
        now: monotonic seconds. clock_offset_s: Unix seconds minus monotonic seconds.
        mrai_s, orphan_hold_s: see `readiness`. counters: where everything is counted.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        sites: Sequence[str],
        table: CustomerTable,
        incarnation: int,
        now: float,
        clock_offset_s: float,
        mrai_s: float,
        orphan_hold_s: float,
        counters: Counters,
    ) -> None:
        self.policy = policy
        self.cache = BindingCache()
        self.replication = Replication(sites, policy.acknowledge, incarnation, counters)
        self.counters = counters
        self.table = table
        self.serving = Serving(sites, now, mrai_s, orphan_hold_s, policy.lifetime_max_s)
        self._clock_offset_s = clock_offset_s
        self._tick_at = now
        self._swept = False
        self._strangers = Strangers(now, counters)
        self._undo = Undo()

    # --- start-up ---------------------------------------------------------------------------------------------------

    def recover(
        self, wire_records: Sequence[WireRecord], present: Mapping[bytes, ForwardingEntry], now: float
    ) -> dict[bytes, ForwardingEntry]:
        """Take the records of a snapshot; what the kernel should hold is returned, to be reconciled before serving.

        What is `present` in the kernel for a customer without a record stays until the peers were asked: this daemon
        may have died with it before the snapshot.
        """
        for wire in wire_records:
            record = frames.from_wire(wire, now, self._longest_s()).without_expired(now)
            if record is not None:
                self.cache.put(record, self._undo)
        self.serving.recovered = bool(self.cache.records)
        self._undo.commit()
        entries = {home: self._entry(record, now) for home, record in self.cache.records.items()}
        adopted = {
            home: entry
            for home, entry in present.items()
            if home not in entries and (customer := self.table.customers.get(home)) and customer.active
        }
        return {**adopted, **{home: entry for home, entry in entries.items() if entry is not None}}

    def reconciled(self, wanted: Mapping[bytes, ForwardingEntry], results: Mapping[bytes, str | None]) -> None:
        """The data plane holds exactly `wanted`, but for those with a reason in `results`."""
        for home_address, entry in wanted.items():
            if results.get(home_address) is None:
                self.cache.confirm(home_address, entry, self._undo)
        self._undo.commit()
        self.serving.reconciled = True

    # --- the one call -----------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Change state by `event`; what to do is returned.

        Raises only for an error of our own, and then nothing changed.
        """
        try:
            effects = self._dispatch(event, now)
        except BaseException:
            self._undo.roll_back()
            raise
        self._undo.commit()
        return effects

    def next_deadline(self) -> float:
        """When, in monotonic seconds, `TimeReached` is next wanted."""
        waiting = self.replication.next_deadline()
        return self._tick_at if waiting is None else min(self._tick_at, waiting)

    def _dispatch(self, event: Event, now: float) -> list[Effect]:
        match event:
            case BindingUpdateReceived():
                return self._binding_update(event, now)
            case HeaderMalformed() | MessageUnknown() | MessageIgnored() | HomeAddressUsed():
                return self._strangers.handle(event, self.cache.care_ofs, now, self._undo)
            case ForwardingReported():
                return self._forwarding_reported(event, now)
            case TimeReached():
                return self._time_reached(now)
            case HelloReceived(site, hello):
                self.serving.hello(site, hello, now, self._undo)
                return []
            case RecordsReceived():
                return self._records_received(event, now)
            case RecordsAcknowledged(site, ack):
                return self.replication.acknowledged(site, ack.index, now, self._undo)
            case PeerIdentified(site, incarnation):
                return self.replication.identified(site, incarnation, self._undo)
            case PeerAsked(site, incarnation, since):
                return self.replication.asked(site, incarnation, since, self.cache.records, now, self._undo)
            case PeerUnreachable(site):
                return self.replication.unreachable(site, self._undo)
            case TableLoaded(table):
                return self._table_loaded(table, now)
            case LeaseAnswered(state, sessions_up):
                self.serving.lease_answered(state, sessions_up, self._undo)
                return []
            case DataPlaneChecked(egress_present):
                self.serving.egress(egress_present, self._undo)
                return []
            case ClockRead(offset_s):
                self._undo.assign(self, "_clock_offset_s", offset_s)
                return []
            case DrainAsked(drain):
                return self._drain(drain, now)

    # --- Binding Updates --------------------------------------------------------------------------------------------

    def _binding_update(self, event: BindingUpdateReceived, now: float) -> list[Effect]:
        home = event.home_address if event.home_address is not None else event.source
        case = Case(
            update=event.update,
            octets=event.octets,
            source=event.source,
            home_address=event.home_address,
            customer=self.table.customers.get(home),
            record=self.cache.records.get(home),
            policy=self.policy,
            now=now,
            clock=self.clock(now),
        )
        verdict = registration.judge(case)
        match verdict:
            case Discarded(reason):
                self.counters.add("binding_updates_discarded", reason)
                return []
            case Refused():
                return self._refuse(case, verdict, now)
            case Accepted():
                return self._accept(case, verdict, now)

    def _refuse(self, case: Case, verdict: Refused, now: float) -> list[Effect]:
        self.counters.add("binding_updates_refused", f"{int(verdict.status)} {verdict.reason}")
        if verdict.stranger and not self._strangers.within_budget(now, self._undo):
            return []
        fields = {
            "home_address": address_text(case.home),
            "source": address_text(case.source),
            "status": int(verdict.status),
            "reason": verdict.reason,
        }
        return [acknowledgement.acknowledge(case, verdict), Note("warning", "binding update refused", fields)]

    def _accept(self, case: Case, verdict: Accepted, now: float) -> list[Effect]:
        self.counters.add("binding_updates_accepted")
        record, answer = verdict.record, acknowledgement.acknowledge(case, verdict)
        self.cache.put(record, self._undo)
        entry = self._entry(record, now)
        if entry == self.cache.wants(case.home) and case.home not in self.cache.pending:
            return self.replication.changed(record, answer, now, self._undo)
        kernel_refused = Refused(Status.INSUFFICIENT_RESOURCES, "forwarding_refused")
        local = LocalChange(answer, acknowledgement.acknowledge(case, kernel_refused), case.record)
        return [self.cache.begin(case.home, entry, local, (), self._undo)]

    def _forwarding_reported(self, event: ForwardingReported, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for home_address, (generation, error) in event.results.items():
            pending = self.cache.reported(home_address, generation, error, now + RETRY_S, self._undo)
            if pending is None:
                continue
            if error is None:
                effects += self._installed(home_address, pending, now)
            else:
                effects += self._not_installed(home_address, pending, error, now)
        return effects

    def _installed(self, home_address: bytes, pending: Pending, now: float) -> list[Effect]:
        effects: list[Effect] = [
            AcknowledgeRecords(site, StateSyncAck(index)) for site, index in pending.promised if index
        ]
        record = self.cache.records.get(home_address)
        if pending.local and record is not None:
            # Meanwhile it may have expired, or the customer been suspended: then a status 0 would not be true.
            in_force = pending.entry is not None or not pending.local.accepted.ack.lifetime_s
            answer = pending.local.accepted if in_force else pending.local.refused
            effects += self.replication.changed(record, answer, now, self._undo)
            effects.append(Note("info", "binding changed", forwarding.describe(home_address, pending.entry)))
        return effects

    def _not_installed(self, home_address: bytes, pending: Pending, error: str, now: float) -> list[Effect]:
        """The kernel refused. A BU's change is taken back and refused; a peer's record stays, unacknowledged."""
        self.counters.add("forwarding_refused")
        fields = {"home_address": address_text(home_address), "reason": error}
        effects: list[Effect] = [Note("error", "forwarding refused by the kernel", fields)]
        if pending.local is None:
            return effects
        if pending.local.fallback is None:
            self.cache.forget(home_address, self._undo)
        else:
            self.cache.put(pending.local.fallback, self._undo)
        wanted = self._entry(pending.local.fallback, now)
        effects.append(pending.local.refused)
        effects.append(self.cache.begin(home_address, wanted, None, pending.promised, self._undo))
        return effects

    # --- peers ------------------------------------------------------------------------------------------------------

    def _records_received(self, event: RecordsReceived, now: float) -> list[Effect]:
        effects: list[Effect] = []
        index, outstanding = event.frame.index, 0
        for wire in event.frame.records:
            record = frames.from_wire(wire, now, self._longest_s())
            if self._from_the_future(record, now):
                self.counters.add("records_quarantined")
                continue
            order = self._merge(record, (event.site, index), now)
            if order is not None:
                effects.append(order)
                outstanding += 1
        self.replication.merged(event.site, event.incarnation, event.frame, self._undo)
        if not outstanding and index:
            effects.append(AcknowledgeRecords(event.site, StateSyncAck(index)))
        return effects

    def _merge(self, theirs: Record, promise: tuple[str, int], now: float) -> Effect | None:
        """Join a peer's record into ours; the order to the data plane if forwarding changes or is under way."""
        home_address = theirs.home_address
        ours = self.cache.records.get(home_address)
        merged = theirs if ours is None else merge(ours, theirs)
        pending = self.cache.pending.get(home_address)
        if ours is not None and same(ours, merged) and pending is None:
            return None
        self.counters.add("records_merged")
        self.cache.put(merged, self._undo)
        if pending and pending.local:
            fallback = pending.local.fallback
            local = replace(pending.local, fallback=theirs if fallback is None else merge(fallback, theirs))
            self._undo.put(self.cache.pending, home_address, replace(pending, local=local))
        entry = self._entry(merged, now)
        if pending is None and entry == self.cache.installed.get(home_address):
            return None
        return self.cache.begin(home_address, entry, None, (promise,), self._undo)

    def _from_the_future(self, record: Record, now: float) -> bool:
        ahead_s = ntp.to_unix(record.newest().time) - ntp.to_unix(self.clock(now))
        return ahead_s > self.policy.replay_window_s + self.policy.clock_skew_s

    # --- time -------------------------------------------------------------------------------------------------------

    def _time_reached(self, now: float) -> list[Effect]:
        effects = self.replication.time_reached(now, self._undo)
        if now < self._tick_at:
            return effects
        self._undo.assign(self, "_tick_at", now + TICK_S)
        effects += self._expire(now)
        effects += self._try_again(now)
        if not self._swept and self.serving.synced(self.replication.peers.values(), now):
            effects += self._sweep(now)
        effects += self.serving.decide(self.replication.peers.values(), now, self._undo)
        hello = Hello(
            clock=self.clock(now),
            state=self.serving.state,
            announcing=self.serving.announcing,
            serving=self.serving.reconciled,
            records=len(self.cache.records),
        )
        return [*effects, SendHello(hello), self.serving.renewal()]

    def _expire(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for record in list(self.cache.due(now, self._undo)):
            left = record.without_expired(now)
            if left is None:
                self.cache.forget(record.home_address, self._undo)
                self.replication.forget(record.home_address, self._undo)
            else:
                self.cache.put(left, self._undo)
            entry = self._entry(left, now)
            if entry != self.cache.wants(record.home_address):
                self.counters.add("bindings_expired")
                effects.append(self.cache.begin(record.home_address, entry, None, (), self._undo))
                fields = forwarding.describe(record.home_address, entry)
                effects.append(Note("info", "binding expired", fields))
        return effects

    def _sweep(self, now: float) -> list[Effect]:
        """Once, after the first synchronisation: take out what the kernel still had and no site vouches for."""
        self._undo.assign(self, "_swept", True)
        orphans = [home for home in self.cache.installed if home not in self.cache.records]
        return [self.cache.begin(home, None, None, (), self._undo) for home in orphans]

    def _try_again(self, now: float) -> list[Effect]:
        """Order again what the kernel refused last time: it may have been short of memory for a moment."""
        due = [home for home, at in self.cache.unsettled.items() if at <= now and home not in self.cache.pending]
        return [
            self.cache.begin(home, self._entry(self.cache.records.get(home), now), None, (), self._undo) for home in due
        ]

    # --- operator ---------------------------------------------------------------------------------------------------

    def _drain(self, drain: bool, now: float) -> list[Effect]:
        self.serving.drain(drain, now, self._undo)
        self._undo.assign(self, "_tick_at", now)
        return [Note("info", "drain asked" if drain else "undrain asked", {})]

    def _table_loaded(self, table: CustomerTable, now: float) -> list[Effect]:
        self._undo.assign(self, "table", table)
        effects: list[Effect] = []
        for home_address, record in self.cache.records.items():
            entry = self._entry(record, now)
            if entry != self.cache.wants(home_address):
                effects.append(self.cache.begin(home_address, entry, None, (), self._undo))
        fields = {"version": table.version, "customers": len(table.customers)}
        return [*effects, Note("info", "customer table in force", fields)]

    # --- small things -----------------------------------------------------------------------------------------------

    def clock(self, now: float) -> int:
        """This site's wall clock at `now`, as a 64-bit NTP timestamp."""
        return ntp.to_timestamp(now + self._clock_offset_s)

    def snapshot(self, now: float) -> list[WireRecord]:
        """All records, with remaining times."""
        return [frames.to_wire(record, now) for record in self.cache.records.values()]

    def _entry(self, record: Record | None, now: float) -> ForwardingEntry | None:
        if record is None:
            return None
        return forwarding.entry(record, self.table.customers.get(record.home_address), self.policy, now)

    def _longest_s(self) -> float:
        return self.policy.lifetime_max_s + self.policy.clock_skew_s + self.policy.replay_window_s
