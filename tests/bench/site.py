"""A home agent without sockets, with everybody registered: what the benchmarks inside one process measure on."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from dataplane.port import DataPlane
from ha import customer_table, reception, transmission
from ha.effects import Note, SetForwarding
from ha.events import ForwardingReported, TableLoaded
from ha.frames import WireRecord
from ha.home_agent import HomeAgent
from ha.site import Topology
from mip6.mhsocket import Datagram
from runtime import collector
from runtime.counters import Counters
from tests.bench.population import OFFICE_PUBLIC, first_registrations, table_octets
from tests.ha.cast import EPOCH, HOME_AGENT, POLICY

BATCH = 64  # as many datagrams as the daemon takes in one turn


class Site:
    """One home agent on the given data plane. Time is given with each call, in monotonic seconds."""

    def __init__(self, plane: DataPlane, peers: tuple[str, ...] = ()) -> None:
        self.counters = Counters()
        self.plane = plane
        self.agent = HomeAgent(
            policy=POLICY,
            topology=Topology(peers),
            table=customer_table.EMPTY,
            incarnation=1,
            now=0.0,
            clock_offset_s=EPOCH,
            mrai_s=0,
            orphan_hold_s=300,
            counters=self.counters,
        )
        self.agent.reconciled({}, {})

    def load(self, customers: int) -> None:
        """Read the table of that many customers, from octets as the daemon does."""
        table = customer_table.parse(table_octets(customers), OFFICE_PUBLIC, "default")
        self.agent.handle(TableLoaded(table), 0.0)

    def register(self, customers: int) -> None:
        """Everybody registers both lines; the data plane is told in batches, as by the daemon."""
        everybody = first_registrations(customers, EPOCH)
        while batch := list(islice(everybody, BATCH)):
            orders = [effect for one in batch for effect in self.agent.handle(reception.event(one), 0.0)]
            wanted = [order for order in orders if isinstance(order, SetForwarding)]
            results = self.plane.apply({order.home_address: order.entry for order in wanted})
            reported = {order.home_address: (order.generation, results[order.home_address]) for order in wanted}
            self.agent.handle(ForwardingReported(reported), 0.0)
        gc.collect()
        collector.quiet()  # as in the daemon

    def recover(self, records: Sequence[WireRecord]) -> None:
        """Everybody is bound and installed, as if found in a snapshot."""
        wanted = self.agent.recover(records, {}, 0.0)
        self.agent.reconciled(wanted, self.plane.reconcile(wanted))
        gc.collect()
        collector.quiet()

    def answers(self, datagrams: Iterable[Datagram], now: float, step_s: float) -> Iterator[bytes]:
        """The packets that these datagrams are answered with, one datagram each `step_s`."""
        for datagram in datagrams:
            for effect in self.agent.handle(reception.event(datagram), now):
                if not isinstance(effect, Note):
                    assert isinstance(effect, transmission.Packet)
                    yield transmission.octets(effect, HOME_AGENT)
            now += step_s
