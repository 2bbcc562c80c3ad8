"""The world of a scenario: sites, routers, wires between them, the office; deeds done to them; quiet in the end."""

from collections.abc import Callable
from ipaddress import IPv6Address

from dataplane.entry import Prefix
from ha.customer_table import Customer, CustomerTable, UplinkRight
from ha.record import same
from ha.site import Policy, Topology
from mip6.auth import SecurityAssociation
from tests.simulation.faults import Faults
from tests.simulation.internet import HOME_AGENT, Internet
from tests.simulation.invariants import Watch
from tests.simulation.machine import Machine
from tests.simulation.router import Router
from tests.simulation.scenario import UPDATES_WANTED, Deed, Scenario
from tests.simulation.schedule import Schedule
from tests.simulation.violation import Violation
from tests.simulation.wires import Stream, Wire

AGGREGATE = (IPv6Address("2001:db8:f000::").packed, 36)
PEACE_S = 10.0  # after the last deed began all is put right
QUIET_MAX_S = 150.0  # a router that hears nothing waits up to 32 s (RFC 6275 12); several answers in a row may be lost
LEAST_S = 125.0
HUSH_S = 7.0  # after the last deed no router speaks for so long: sites that differ have but each other


class World:
    """Everything there is. `tell`: takes what happens, line by line."""

    def __init__(self, scenario: Scenario, tell: Callable[[str], None] | None = None) -> None:
        self.scenario, self.seed, self._tell = scenario, scenario.seed, tell
        self.schedule = Schedule()
        self.watch = Watch(self)
        self.internet = Internet(self.seed, self.schedule, scenario.isps, scenario.convergence_s, scenario.loss)
        self.suspended: set[int] = set()  # numbers of routers, ...
        self.limited: set[int] = set()  # ... and of those who have now what others usually have: BIDs or none
        self.routers = [self._router(number) for number in range(scenario.routers)]
        self._by_home = {router.home: router for router in self.routers}
        self.table_before = CustomerTable(0, {})
        self.table = CustomerTable(1, {router.home: self._customer(router) for router in self.routers})
        self.machines = self._machines()
        self.internet.machines = self.machines
        self.wires = self._wires()
        self.faults = Faults(self)
        self.faults_done = 0  # those that found something to do it to
        self.lines_rest = False

    # -- who is there

    def _router(self, number: int) -> Router:
        scenario = self.scenario
        home = IPv6Address(f"2001:db8:f000::{number + 1:x}:51").packed
        mnp = Prefix(IPv6Address(f"2001:db8:f1{number:02x}::").packed, 56)
        key = SecurityAssociation(256 + number, "hmac-sha256-128", bytes([number + 1]) * 32)
        isps = [(number + bid) % scenario.isps for bid in range(scenario.lines[number])]
        return Router(self, number, home, mnp, key, isps, scenario.lifetimes_s[number], scenario.manners[number])

    def router(self, home: bytes) -> Router:
        """Whose home address this is."""
        return self._by_home[home]

    def is_known(self, home: bytes) -> bool:
        """Is it of any router?"""
        return home in self._by_home

    def name(self, home: bytes) -> str:
        """The name of a router."""
        return self._by_home[home].name

    def is_plain(self, number: int) -> bool:
        """Has this router's customer no BIDs?"""
        return ("plain" in self.scenario.manners[number]) != (number in self.limited)

    def _customer(self, router: Router) -> Customer:
        """Who does not sign may have his lines at his ISPs only (`ha.customer_table` insists)."""
        places = [(Prefix(router.network(line) + bytes(8), 64),) if router.is_foreign else () for line in router.lines]
        lines = zip(router.bids, places, strict=True) if not router.is_roaming else ((bid, ()) for bid in router.bids)
        return Customer(
            name=router.name,
            home_address=router.home,
            prefixes=router.settings.prefixes,
            associations={router.key.spi: router.key},
            uplinks={bid: UplinkRight(bid, f"line{bid}", 1, 0, allowed) for bid, allowed in lines},
            active=router.number not in self.suspended,
            require_authentication=not router.is_foreign,
            allow_nested=False,
            bids_max=0 if self.is_plain(router.number) else None,
        )

    def _machines(self) -> list[Machine]:
        machines = []
        for number, topology in enumerate(self._topologies()):
            name = self.names()[number]
            policy = Policy(
                site=name,
                home_agent_address=HOME_AGENT,
                aggregates=(AGGREGATE,),
                locators=frozenset(),
                lifetime_max_s=max(self.scenario.lifetimes_s),
                acknowledge=self.scenario.acknowledge,
                cookie_key=b"c" * 32,
                slice_records=3,  # few, so that some twenty routers already come in several
            )
            machines.append(Machine(self, number, policy, topology, serves=number < self.scenario.sites))
        return machines

    def names(self) -> list[str]:
        """Of all home agents and reflectors."""
        scenario = self.scenario
        return [f"site{number + 1}" for number in range(scenario.sites)] + [
            f"hub{number + 1}" for number in range(scenario.hubs)
        ]

    def _topologies(self) -> list[Topology]:
        """Of each site and hub. Reflectors know all; without any, all know all."""
        scenario, names = self.scenario, self.names()
        reflecting = {*range(scenario.reflecting), *range(scenario.sites, len(names))}
        made = []
        for number in range(len(names)):
            others = [other for other in range(len(names)) if other != number]
            near = [
                other
                for other in others
                if not reflecting or {number, other} & reflecting or frozenset((number, other)) in scenario.across
            ]
            made.append(
                Topology(
                    peers=tuple(names[other] for other in near),
                    reflectors=frozenset(names[other] for other in near if other in reflecting),
                    beyond=tuple(names[other] for other in others if other not in near),
                    reflects=number in reflecting,
                )
            )
        return made

    def _wires(self) -> dict[frozenset[int], Wire]:
        wires = {}
        scenario = self.scenario
        for one in self.machines:
            for other in self.machines[one.number + 1 :]:
                wire = Wire((one, other), scenario.wire_s, scenario.jitter_s)
                wires[frozenset((one.number, other.number))] = wire
                if other.name not in one.topology.peers:
                    continue
                for dialer, listener in ((one, other), (other, one)):
                    for carries in ("hello", "changes"):
                        stream = Stream(dialer, listener, carries, wire, self.schedule, str(self.seed))
                        dialer.streams.append(stream)
                        listener.heard.append(stream)
        return wires

    def announcement_changed(self, machine: Machine) -> None:
        """What a site announces has changed."""
        self.internet.announcement_changed(machine)
        self.watch.announced.changed(machine)

    def publish(self, number: int) -> None:
        """The office publishes a new table, in which one customer is not as he was."""
        router = self.routers[number]
        customers = {**self.table.customers, router.home: self._customer(router)}
        self.table = CustomerTable(self.table.version + 1, customers)

    # -- a run

    @property
    def is_told(self) -> bool:
        """Does anybody listen?"""
        return self._tell is not None

    def tell(self, line: str) -> None:
        """Something happened."""
        if self._tell is not None:
            self._tell(f"{self.schedule.now:9.4f} {line}")

    def run(self) -> None:
        """From the start to quiet."""
        for deed in self.scenario.deeds:
            self.schedule.at(deed.at, self._do, deed)
        for machine in self.machines:
            machine.start()
        for router in self.routers:
            self.schedule.after(1.0 + 0.1 * router.number, router.start)
        self.schedule.run(self.scenario.trouble_s)
        last = self.scenario.deeds[-1].at if self.scenario.deeds else 0.0
        while self.updates() < UPDATES_WANTED and self.schedule.now < last:
            self.schedule.run(self.schedule.now + 1.0)
        self.lines_rest = True
        self.faults.do(Deed(self.schedule.now, "hush", for_s=HUSH_S))
        quiet_by = self.schedule.now + PEACE_S + QUIET_MAX_S
        while self.schedule.now < LEAST_S or (trouble := self.unequal()):
            if self.schedule.now > quiet_by:
                raise Violation("unequal", trouble)
            self.schedule.run(self.schedule.now + 1.0)
        self.watch.finished()

    def _do(self, deed: Deed) -> None:
        """Lines do nothing while there were more Binding Updates than are wanted by then."""
        wanted = UPDATES_WANTED * min(1.0, deed.at / self.scenario.trouble_s)
        self.faults_done += deed.is_fault and self.faults.finds(deed)
        if deed.is_fault or (self.updates() < wanted and not self.lines_rest):
            self.faults.do(deed)

    def updates(self) -> int:
        """How many Binding Updates were sent."""
        return sum(router.sent for router in self.routers)

    def unequal(self) -> str:
        """What is not yet as it should be in the end; empty when all is."""
        first = self.machines[0]
        for machine in self.machines:
            if machine.agent is None or (machine.serves and not machine.bridge.rib):
                return f"{machine.name} does not serve"
            if machine.agent.cache.pending or machine.agent.cache.unsettled:
                return f"{machine.name} still waits for its kernel"
        for router in self.routers:
            truth = router.bound()
            if router.believes() != router.lines_up():
                return f"{router.name} believes {router.believes()}"
            for machine in self.machines:
                assert machine.agent is not None and first.agent is not None
                record, other = machine.agent.cache.records.get(router.home), first.agent.cache.records.get(router.home)
                entry = machine.plane.read().get(router.home)
                if not machine.serves:
                    if not router.vanished and (record is None or other is None or not same(record, other)):
                        return f"{machine.name} and {first.name} differ about {router.name}"
                    continue
                if router.vanished:
                    if entry is not None:
                        return f"{machine.name} still forwards for {router.name}, which is no more"
                    continue
                if record is None or other is None or not same(record, other):
                    return f"{machine.name} and {first.name} differ about {router.name}"
                if {bid: cell.care_of for bid, cell in record.live(machine.now()).items()} != truth:
                    return f"{machine.name} has other bindings of {router.name}"
                if entry is None or {path.bid: path.care_of for path in entry.paths} != truth:
                    return f"{machine.name} forwards otherwise for {router.name}"
        return ""
