"""HomeAgent: the one class to know. Events in, effects out; no clock, no socket, no log.

Theory of operation. A Binding Update is judged (`registration`), becomes a record (`record`), the record becomes the
wanted forwarding entry (`forwarding`), the data plane makes it so and reports; then the record goes to the peers
(`replication`), and when enough of them have it the acknowledgement leaves: status 0 means it is true. A refresh that
changes no entry skips the data plane. Records from peers take the same way without an acknowledgement to the mobile
router. Every 100 ms: HELLO to the peers and, but for the start, a renewal of the BGP lease with what `readiness`
decides. `handle` is all-or-nothing: if it raises, the state is as it was before.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from dataplane.entry import ForwardingEntry
from ha import aging, customer_table, discovery, exchange, frames, heartbeats, revoke, updates
from ha.cache import BindingCache
from ha.customer_table import CustomerTable
from ha.effects import Effect, Note, SendHello
from ha.events import (
    BindingUpdateReceived,
    ClockRead,
    DataPlaneChecked,
    DigestReceived,
    Event,
    ForwardingRepaired,
    ForwardingReported,
    HeaderMalformed,
    HeartbeatReceived,
    HelloReceived,
    HomeAddressUsed,
    HomeAgentsAsked,
    LeaseAnswered,
    LoadMeasured,
    MessageIgnored,
    MessageUnknown,
    OperatorAsked,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    PrefixesAsked,
    RecordsAcknowledged,
    RecordsReceived,
    RepairAsked,
    RevocationReceived,
    RevokeAsked,
    SelfTested,
    TableLoaded,
    TickReached,
    TimeReached,
)
from ha.frames import Hello, WireRecord
from ha.readiness import Wish
from ha.replication import Replication
from ha.serving import Serving
from ha.site import Policy, Topology
from ha.state import State
from ha.strangers import Strangers
from runtime.counters import Counters

TICK_S = 0.1  # HELLO and lease renewal (the lease lasts 300 ms)


class HomeAgent:
    """One site's home agent.

    Args:
        policy: the rules of this site. topology: the other sites. table: the customer table in force.
        incarnation: a number that no earlier start of this site had. restarts: how often it lost its bindings.
        now: monotonic seconds. clock_offset_s: Unix seconds minus monotonic seconds.
        mrai_s, orphan_hold_s: see `readiness`. counters: where everything is counted.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        topology: Topology,
        table: CustomerTable,
        incarnation: int,
        now: float,
        clock_offset_s: float,
        mrai_s: float,
        orphan_hold_s: float,
        counters: Counters,
        restarts: int = 0,
    ) -> None:
        cache = BindingCache()
        self.state = State(
            policy=policy,
            table=table,
            cache=cache,
            replication=Replication(
                topology,
                acknowledge=policy.acknowledge,
                slice_records=policy.slice_records,
                incarnation=incarnation,
                cache=cache,
                counters=counters,
                now=now,
            ),
            serving=Serving(policy.site, topology, now, mrai_s, orphan_hold_s, policy.lifetime_max_s),
            strangers=Strangers(now, counters),
            counters=counters,
            clock_offset_s=clock_offset_s,
            restarts=restarts,
        )
        self.cache, self.replication, self.serving = self.state.cache, self.state.replication, self.state.serving
        self.policy, self.counters = policy, counters
        self._tick_at = now
        self._undo = self.state.undo

    @property
    def table(self) -> CustomerTable:
        """The customer table in force."""
        return self.state.table

    # --- start-up ---------------------------------------------------------------------------------------------------

    def recover(
        self, wire_records: Sequence[WireRecord], present: Mapping[bytes, ForwardingEntry], now: float
    ) -> dict[bytes, ForwardingEntry]:
        """Take the records of a snapshot; what the kernel should hold is returned, to be reconciled before serving.

        What is `present` in the kernel for a customer without a record stays until the peers were asked: this daemon
        may have died with it before the snapshot.
        """
        for wire in wire_records:
            record = frames.from_wire(wire, now, self.state.longest_s()).without_expired(now)
            if record is not None:
                self.cache.put(record, self._undo)
        self._undo.commit()
        entries = {home: self.state.entry(record, now) for home, record in self.cache.records.items()}
        self.serving.recovered = any(entry is not None for entry in entries.values())
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
            else:
                self._undo.put(self.cache.unsettled, home_address, self._tick_at)
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

    def next_tick(self) -> float:
        """When, in monotonic seconds, the lease is to be renewed and the peers to be greeted."""
        return self._tick_at

    def next_deadline(self) -> float:
        """When, in monotonic seconds, `TimeReached` is next wanted."""
        return min(self._tick_at, self.replication.next_deadline())

    def _dispatch(self, event: Event, now: float) -> list[Effect]:
        state, undo = self.state, self._undo
        match event:
            case BindingUpdateReceived():
                return updates.received(state, event, now)
            case ForwardingReported():
                return updates.reported(state, event, now)
            case HeartbeatReceived():
                return heartbeats.received(state, event, now)
            case TimeReached():
                return [*state.replication.time_reached(now, undo), *self._tick(now)]
            case TickReached():
                return self._tick(now)
            case HelloReceived(site, hello):
                state.serving.hello(site, hello, state.clock(now), now, undo)
                return []
            case RecordsReceived():
                return exchange.received(state, event, now)
            case RecordsAcknowledged(site, ack):
                return state.replication.acknowledged(site, ack, now, undo)
            case DigestReceived(site, frame):
                return state.replication.compared(site, frame, now, undo)
            case RepairAsked(site, frame):
                return state.replication.repair_asked(site, frame, now, undo)
            case PeerIdentified(site, incarnation):
                return state.replication.identified(site, incarnation, undo)
            case PeerAsked(site, incarnation, since):
                return state.replication.asked(site, incarnation, since, now, undo)
            case PeerUnreachable(site):
                return state.replication.unreachable(site, undo)
            case HeaderMalformed() | MessageUnknown() | MessageIgnored() | HomeAddressUsed():
                return state.strangers.handle(event, state.cache.care_ofs, now, undo)
            case HomeAgentsAsked():
                return discovery.home_agents_asked(state, event, now)
            case PrefixesAsked():
                return discovery.prefixes_asked(state, event, now)
            case RevocationReceived():
                return revoke.received(state, event, now)
            case RevokeAsked():
                return revoke.asked(state, event, now)
            case TableLoaded(table):
                return self._table_loaded(table, now)
            case LeaseAnswered(lease, sessions_up, mrai_s):
                state.serving.lease_answered(lease, sessions_up, now, undo, mrai_s)
                return []
            case DataPlaneChecked(egress_present, intact):
                state.serving.data_plane(egress_present, intact, undo)
                return []
            case SelfTested(failure):
                return self._self_tested(failure, now)
            case ForwardingRepaired():
                return updates.repaired(state, event, now)
            case ClockRead(offset_s):
                return exchange.clock_read(state, offset_s)
            case OperatorAsked():
                return self._operator_asked(event, now)
            case LoadMeasured(share):
                state.serving.load_measured(share, undo)
                return []

    # --- time -------------------------------------------------------------------------------------------------------

    def _tick(self, now: float) -> list[Effect]:
        state = self.state
        if now < self._tick_at:
            return []
        self._undo.assign(self, "_tick_at", now + TICK_S)
        effects = state.replication.compare(now, self._undo)
        effects += aging.expire(state, now)
        effects += aging.try_again(state, now)
        effects += revoke.time_reached(state, now)
        peers = state.replication.peers.values()
        if state.serving.lost_touch(now):
            effects += state.replication.ask_again(self._undo)
        was_synced = state.serving.knowledge.synced
        effects += state.serving.decide(
            peers, state.cache.pending.keys(), state.cache.unsettled.keys(), now, self._undo
        )
        if state.serving.knowledge.synced and not was_synced:
            effects += aging.sweep(state)
        hello = Hello(
            clock=state.clock(now),
            state=state.serving.state,
            announcing=state.serving.announcing(now),
            serving=state.serving.reconciled,
            records=len(state.cache.records),
            load=round(state.serving.load, 3),
            prepending=state.serving.decision.prepend,
            others=state.serving.heard(now),
        )
        return [*effects, SendHello(hello), *state.serving.renewals()]

    def _self_tested(self, failure: str | None, now: float) -> list[Effect]:
        self.serving.self_tested(failure, self._undo)
        self._undo.assign(self, "_tick_at", now)  # the lease says so at once
        if failure is None:
            return [Note("info", "self-test passed", {})]
        return [Note("error", "self-test failed", {"why": failure})]

    # --- operator ---------------------------------------------------------------------------------------------------

    def _operator_asked(self, asked: OperatorAsked, now: float) -> list[Effect]:
        # Asked before this start: the linger is long over, and nothing of ours was announced since.
        since = -math.inf if asked.restored else now
        self.serving.operator_asked(Wish(asked.mode, since, asked.by, asked.why), self._undo)
        self._undo.assign(self, "_tick_at", now)
        return [Note("info", "operator asked", {"mode": asked.mode, "by": asked.by, "why": asked.why})]

    def _table_loaded(self, table: CustomerTable, now: float) -> list[Effect]:
        state, before = self.state, self.table
        self._undo.assign(state, "table", table)
        changed = self.cache.known(customer_table.changed(before, table))
        effects = revoke.suspended(state, before, changed, now)
        for home_address in changed:
            record = self.cache.records.get(home_address)
            entry = state.entry(record, now)
            if entry != self.cache.wants(home_address):
                effects.append(self.cache.begin(home_address, entry, None, (), self._undo))
        fields = {"version": table.version, "customers": len(table.customers)}
        return [*effects, Note("info", "customer table in force", fields)]

    # --- small things -----------------------------------------------------------------------------------------------

    def snapshot(self, now: float, homes: Iterable[bytes] | None = None) -> list[WireRecord]:
        """The records of these home addresses, or all, with remaining times."""
        records = self.cache.records
        wanted = records if homes is None else homes
        return [frames.to_wire(records[home], now) for home in wanted if home in records]
