"""The home agent's data plane on Linux, with either driver: nexthops, groups, routes and the source check.

Owns only objects with our protocol number, id range or table name. Holds a view of what is installed, so that one
change costs few system calls; the view is made from the kernel's own dump before the first change, when others may have
changed something, and after netlink failed. Works in the network namespace of the process. Does not undo the kernel
settings it needs.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice
from typing import TypeVar

from dataplane import accounting, capacity, foundation, plan, recovery
from dataplane.driver import Driver, Tunnels
from dataplane.egress import Egresses
from dataplane.entry import ForwardingEntry, Prefix, SelfTestLine, SitePlan, Volume
from dataplane.errors import DataPlaneError
from dataplane.filter import SourceCheck
from dataplane.message import Message, Refusal
from dataplane.netlink import NetlinkSocket, first_failure
from dataplane.numbers import FORMER_DECAPSULATION_TABLES, HOME_AGENT_IDS, HOME_AGENT_PROTOCOL
from dataplane.plan import Installed, Objects, Steps
from dataplane.port import ANYTHING, Disturbance
from dataplane.probe import probe
from dataplane.rtnetlink import (
    ANY_TABLE,
    FAMILIES,
    MAIN_TABLE,
    RTN_UNICAST,
    Route,
    Rule,
    delete_address,
    delete_nexthop,
    delete_route,
    nexthop_dump,
    nexthop_named,
    parse_nexthop,
    parse_route,
    parse_rule,
    put_route,
    route_dump,
    rule_dump,
)
from dataplane.ruleset import HOME_AGENT_TABLE
from dataplane.sysctl import set_sysctl
from dataplane.tunnel_errors import TunnelError
from dataplane.tunnels import close_tunnels, open_tunnels
from dataplane.watch import KernelWatch

Entry = TypeVar("Entry", ForwardingEntry, ForwardingEntry | None)

# Where a customer's objects and elements are to be read anew; the rest of the site is made again by `prepare`.
_OF_OBJECTS = {Disturbance.ROUTES, Disturbance.NEXTHOPS, Disturbance.OVERRUN}
_OF_ELEMENTS = {Disturbance.FILTERS, Disturbance.OVERRUN}
_SLICE = 500  # customers that a reconciliation looks at together
ATTEMPTS = 5  # at changes that the kernel refused a reconciliation


class LinuxHomeAgent:
    """The port `DataPlane` on Linux, with this driver or the first that the kernel offers."""

    def __init__(self, driver: Driver | None = None) -> None:
        self._wanted = driver
        self._driver: Driver | None = None
        self._netlink = NetlinkSocket(socket.NETLINK_ROUTE)
        self._egresses = Egresses()
        self._watch: KernelWatch | None = None
        self._check = SourceCheck(self._own_script)
        self._plan: SitePlan | None = None
        self._lo = socket.if_nametoindex("lo")
        self._tunnels = Tunnels(self._lo)
        self._view: dict[bytes, Installed] = {}
        self._is_view_right = False
        self._free: list[int] = []
        self._next_slot = plan.SLOTS.start
        self._occupied: set[int] = set()
        self._nexthops = self._routes_in = 0

    # --- the site ---------------------------------------------------------------------------------------------------

    def prepare(self, plan: SitePlan) -> None:
        """See the port. What is right already is replaced by itself, which loses nothing.

        The source check is first, but for the routes to which it sends what it believed.
        """
        self._plan = plan
        driver = self._driver = self._driver or probe(self._wanted)
        for name, value in foundation.sysctls(plan, driver).items():
            set_sysctl(name, value)
        self._netlink.settle([put_route(one) for one in foundation.ends(plan, driver, self._lo)], "ends of tunnels")
        self._check.prepare(plan, driver)
        if self._watch is None:
            self._watch = KernelWatch((self._netlink.port, self._egresses.port), self._check.port, HOME_AGENT_TABLE)
        if (tunnels := open_tunnels(driver, plan.home_agent_address)) != self._tunnels:
            self._tunnels, self._is_view_right = tunnels, False  # with a device all that leads there is gone
        self._netlink.settle(foundation.build(plan, self._lo), "preparing the site")
        fixed = [route for kind in foundation.ROUTE_KINDS for route in self._routes(kind=kind)]
        fixed += [route for table in FORMER_DECAPSULATION_TABLES for route in self._routes(table)]
        old = foundation.outdated(plan, driver, self._lo, self._rules(), fixed)
        self._netlink.settle(old, "removing what an earlier configuration left")
        self._egresses.put(plan.egresses)
        if plan.self_test is not None:
            self._lead(plan.self_test)

    def _lead(self, line: SelfTestLine) -> None:
        """The self-test's addresses lead to its device."""
        what = "routes of the self-test"
        try:
            index = socket.if_nametoindex(line.interface)
        except OSError as error:
            raise DataPlaneError(what, f"no such interface: {line.interface}") from error
        ways = [Route((one, 128), HOME_AGENT_PROTOCOL, interface=index) for one in (line.care_of, line.host)]
        self._netlink.settle(list(map(put_route, ways)), what)

    def egress_present(self) -> bool:
        """See the port."""
        return self._egresses.present()

    # --- customers --------------------------------------------------------------------------------------------------

    def apply(self, wanted: Mapping[bytes, ForwardingEntry | None]) -> dict[bytes, str | None]:
        """See the port."""
        try:
            if not self._is_view_right:
                self._check.reload()
                self._learn({home: one.entry for home, one in self._view.items()})
                self._own(self._view)
                self._is_view_right = True
            return self._apply(wanted)
        except DataPlaneError as error:
            self._is_view_right = False
            return dict.fromkeys(wanted, str(error))

    def _apply(self, wanted: Mapping[bytes, ForwardingEntry | None]) -> dict[bytes, str | None]:
        results: dict[bytes, str | None] = {}
        steps: dict[bytes, Steps] = {}
        room: int | None = None  # for how many newcomers; asked when there is one
        for home_address, entry in wanted.items():
            present = self._view.get(home_address)
            if entry == (present.entry if present else None) and (present is None or present.found is None):
                results[home_address] = None
            elif entry is not None and (why := plan.refusal(home_address, entry, present and present.entry)):
                results[home_address] = why
            elif present is None and (room := self._room() if room is None else room - 1) <= 0:
                results[home_address] = "the machine's memory is nearly used up"
            elif slot := present.slot if present else self._take_slot():
                steps[home_address] = plan.difference(slot, entry, present, self._tunnels)
            else:
                results[home_address] = "all nexthop ids are in use"
        refused = self._check.enter({home: one.enter for home, one in steps.items() if one.enter})
        for home_address in refused:
            self._return_slot(home_address, steps.pop(home_address))
        return results | refused | self._carry_out(steps)

    def _carry_out(self, steps: Mapping[bytes, Steps]) -> dict[bytes, str | None]:
        put = self._netlink.execute_each({home: one.puts for home, one in steps.items()})
        taken = self._netlink.execute_each({home: one.takes for home, one in steps.items() if home not in put})
        results: dict[bytes, str | None] = {}
        for home_address, one in steps.items():
            for messages, refused in ((one.puts, put), (one.takes, taken)):
                if answers := refused.get(home_address):
                    results[home_address] = first_failure(messages, answers)
                    self._undo(home_address, one, messages, answers)
            if home_address not in results:
                results[home_address] = None
                self._settle(home_address, one)
        return results

    def _settle(self, home_address: bytes, steps: Steps) -> None:
        if steps.leave:
            self._check.leave(home_address, steps.leave)
        if not steps.moves:
            self._count(steps.before, steps.after)
        if steps.installed is not None:
            self._view[home_address] = steps.installed
        elif gone := self._view.pop(home_address, None):
            self._free.append(gone.slot)

    def _undo(
        self, home_address: bytes, steps: Steps, messages: Iterable[Message], answers: Iterable[Refusal | None]
    ) -> None:
        """After a refusal: back to what was; if that is refused too, take the customer out, so that no half is left."""
        kept = plan.elements(steps.present.entry if steps.present else None)
        self._check.leave(home_address, steps.enter - kept)
        # An id that was refused holds somebody else's object, and that is not ours to delete.
        foreign = {nexthop_named(one) for one, answer in zip(messages, answers, strict=True) if answer} - {0}
        failed = False
        for some in plan.undo(steps, self._tunnels):
            undo = [one for one in some if nexthop_named(one) not in foreign]
            failed |= first_failure(undo, self._netlink.execute(undo)) is not None
        present = self._view.get(home_address)
        if present is None:
            self._return_slot(home_address, steps)
        elif failed:
            self._netlink.execute(plan.removal(present.objects()))
            self._check.leave(home_address, plan.elements(present.entry))
            self._count(present.objects(), Objects(present.slot))
            del self._view[home_address]  # its slot is not used again before the next dump

    def _count(self, before: Objects, after: Objects) -> None:
        self._nexthops += after.nexthops() - before.nexthops()
        self._routes_in += len(after.routes) - len(before.routes)

    def _room(self) -> int:
        return capacity.room(self._plan.memory_reserve) if self._plan else 0

    def _take_slot(self) -> int:
        """A slot nobody uses; 0 if there is none left."""
        if self._free:
            return self._free.pop()
        while self._next_slot in self._occupied:
            self._next_slot += 1
        if self._next_slot not in plan.SLOTS:
            return 0
        self._next_slot += 1
        return self._next_slot - 1

    def _return_slot(self, home_address: bytes, steps: Steps) -> None:
        if home_address not in self._view and steps.installed is not None:
            self._free.insert(0, steps.installed.slot)  # the last to be used again: it may hold what was refused

    def expire(self, now: float) -> float | None:
        """See the port. An element that left since the last call is given its due time by this one."""
        return self._check.expire(now)

    def owns(self, error: TunnelError) -> bool:
        """Is an ICMPv6 error about a packet that this home agent, at whichever site, sent to that customer?"""
        is_from_us = self._plan is not None and error.entry == self._plan.home_agent_address
        return is_from_us and self._check.allows(error.exit, error.inner_destination)

    # --- what the kernel says ---------------------------------------------------------------------------------------

    def reconcile(
        self, wanted: Mapping[bytes, ForwardingEntry], disturbed: Set[Disturbance] = ANYTHING
    ) -> dict[bytes, str | None]:
        """See the port. Order: elements in, strays out, differences, elements out.

        Elements are the first, before routes and nexthops are read, which takes seconds: without them nobody can send.
        """
        anew = disturbed if self._is_view_right else ANYTHING
        refused = {home: why for home, entry in wanted.items() if (why := plan.refusal(home, entry))}
        sound = {home: entry for home, entry in wanted.items() if home not in refused}
        if anew & _OF_ELEMENTS:
            self._check.reload()
        else:
            self._check.disown()
        for some in _slices(sound):
            refused |= self._check.enter({home: plan.elements(entry) for home, entry in some.items()})
        found = self._learn(sound) if anew & _OF_OBJECTS else None
        self._is_view_right = False  # until the kernel has all of what follows
        if found:
            self._take_strays_out(found)
        gone: dict[bytes, ForwardingEntry | None] = dict.fromkeys(self._view.keys() - wanted.keys())
        refused |= self._apply_all(gone)
        refused |= self._apply_all({home: entry for home, entry in sound.items() if home not in refused})
        self._own(refused.keys() & self._view.keys())  # they may still have what was
        self._check.leave_disowned()
        self._is_view_right = True
        return {home: refused.get(home) for home in wanted}

    def _own(self, home_addresses: Iterable[bytes]) -> None:
        """The elements of what these customers have are theirs. Who lacks one is not in yet when asked for again."""
        kept = {home: plan.elements(self._view[home].entry) for home in home_addresses}
        for home_address in self._check.own(kept):
            present = self._view[home_address]
            self._view[home_address] = present._replace(found=present.objects())

    def _take_strays_out(self, found: recovery.Dump) -> None:
        known = {one.slot for one in self._view.values()}
        strays = (message for slot, one in found.slots.items() if slot not in known for message in plan.removal(one))
        self._netlink.execute(list(strays))
        found.dismantle()

    def _apply_all(self, changes: Mapping[bytes, ForwardingEntry | None]) -> dict[bytes, str]:
        """Who is refused it. A kernel that has no time to get itself memory is asked again when all others are in."""
        refused: dict[bytes, str] = {}
        for attempt in range(ATTEMPTS):
            asked = changes if not attempt else {home: changes[home] for home in refused}
            refused = {}
            for some in _slices(asked):
                refused |= {home: why for home, why in self._apply(some).items() if why}
            if not refused:
                break
        return refused

    def read(self) -> dict[bytes, ForwardingEntry]:
        """See the port. BIDs and lines that stand by are not in the kernel; they are those that were installed."""
        found = self._dump()
        entries = {}
        for home_address, slot in found.homes().items():
            known = self._view.get(home_address)
            in_slot = found.slots[slot]
            entry = recovery.entry(home_address, in_slot, known if known and known.slot == slot else None)
            if entry is not None:
                entries[home_address] = entry
        found.dismantle()
        return entries

    def _learn(self, known: Mapping[bytes, ForwardingEntry]) -> recovery.Dump:
        """Make the view from the kernel's dump; `known` are the entries that its objects are probably of."""
        found = self._dump()
        view: dict[bytes, Installed] = {}
        for home_address, slot in recovery.claims(found, known).items():
            before = self._view.get(home_address)
            places = before.places if before and before.slot == slot else {}
            view[home_address] = recovery.installed(found.slots[slot], known[home_address], places)
        for home_address, slot in found.homes().items():
            entry = None if home_address in view else recovery.entry(home_address, found.slots[slot], None)
            if entry is not None:
                view[home_address] = recovery.installed(found.slots[slot], entry, {})
        before_all, self._view = self._view, view
        recovery.dismantle(before_all)
        self._nexthops = self._routes_in = 0
        for one in view.values():
            self._count(Objects(one.slot), found.slots[one.slot])
        self._occupied, self._free = found.occupied, []
        self._next_slot = plan.SLOTS.start
        return found

    def _dump(self) -> recovery.Dump:
        nexthops = map(parse_nexthop, _each(self._netlink.dump(*nexthop_dump())))
        return recovery.dump(nexthops, self._each_route(MAIN_TABLE, RTN_UNICAST), self._tunnels)

    def _routes(self, table: int = ANY_TABLE, kind: int = 0) -> list[Route]:
        return list(self._each_route(table, kind))

    def _each_route(self, table: int, kind: int) -> Iterator[Route]:
        for family in FAMILIES:
            for body in _each(self._netlink.dump(*route_dump(HOME_AGENT_PROTOCOL, table, kind, family))):
                route = parse_route(body)
                if route.protocol == HOME_AGENT_PROTOCOL:
                    yield route

    def _rules(self) -> list[Rule]:
        return [parse_rule(body) for body in self._netlink.dump(*rule_dump())]

    def disturbances(self) -> set[Disturbance]:
        """See the port."""
        return self._watch.changes() if self._watch else set()

    def _own_script(self, port: int) -> None:
        if self._watch:
            self._watch.own_script(port)

    def counters(self) -> dict[str, int]:
        """See the port."""
        sent = self._netlink.changes_sent + self._check.changes_sent
        return {
            **self._check.counters(),
            "customers_installed": len(self._view),
            "nexthops_installed": self._nexthops,
            "routes_installed": self._routes_in,
            "kernel_changes_sent": sent,
            "kernel_changes_repeated": self._netlink.changes_repeated,
            "memory_available_bytes": capacity.available_octets(),
        }

    def volumes(self, prefixes: Iterable[Prefix] | None) -> dict[Prefix, Volume]:
        """See the port."""
        return accounting.volumes(prefixes)

    def forget(self, prefixes: Iterable[Prefix]) -> None:
        """See the port."""
        self._check.forget(prefixes)

    def purge(self) -> None:
        """See the port: everything with our marks, as the dump has it."""
        routes = self._routes()
        nexthops = map(parse_nexthop, self._netlink.dump(*nexthop_dump()))
        ours = [one for one in nexthops if one.id in HOME_AGENT_IDS and one.protocol == HOME_AGENT_PROTOCOL]
        addresses = [route.prefix[0] for route in routes if foundation.is_of_an_address(route)]
        messages: list[Message] = [
            *foundation.without_rules(self._rules()),
            *map(delete_route, routes),
            *(delete_nexthop(one.id) for one in sorted(ours, key=lambda one: not one.members)),
            *(delete_address(address, self._lo) for address in addresses),
        ]
        self._view, self._is_view_right = {}, False
        answers = self._netlink.execute(messages)
        self._check.purge()
        close_tunnels(addresses)
        if why := first_failure(messages, answers):
            raise DataPlaneError("removing what is ours", why)


def _slices(entries: Mapping[bytes, Entry]) -> Iterator[dict[bytes, Entry]]:
    """All entries, so many at a time: neither do they wait for each other, nor is very much freed at once."""
    rest = iter(entries.items())
    while some := dict(islice(rest, _SLICE)):
        yield some


def _each(bodies: list[bytes]) -> Iterator[bytes]:
    """All of them, in any order; each is freed when the next is asked for."""
    while bodies:
        yield bodies.pop()
