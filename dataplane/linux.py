"""The home agent's data plane on Linux with the seg6 driver: nexthops, groups, routes and the source check.

Owns only objects with our protocol number or id range. Holds a view of what is installed so that one change costs few
system calls; the view is rebuilt from the kernel's own dump at `reconcile`. Works in the network namespace of the
process.
"""

import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath

from dataplane import filter as source_check
from dataplane import plan
from dataplane.entry import ForwardingEntry, Path, Prefix, SitePlan
from dataplane.errors import DataPlaneError
from dataplane.message import Message
from dataplane.netlink import NetlinkSocket
from dataplane.nfnetlink import SetElements
from dataplane.plan import DECAPSULATION_ID, PROTOCOL, Element, Installed, Steps
from dataplane.port import CHECK_LINGER_S
from dataplane.rtnetlink import (
    LOCAL_TABLE,
    MAIN_TABLE,
    RTN_LOCAL,
    RTN_UNREACHABLE,
    Nexthop,
    Route,
    Rule,
    add_address,
    add_rule,
    delete_address,
    delete_nexthop,
    delete_route,
    delete_rule,
    nexthop_dump,
    parse_nexthop,
    parse_route,
    parse_rule,
    put_decapsulation,
    put_route,
    route_dump,
    rule_dump,
)
from dataplane.settle import reason, settle

DECAPSULATION_TABLE = 41000
IPV6_IN_IPV6 = 41
LOCAL_RULE = 100  # where the rule for local addresses stands, so that decapsulation can come before it
UNREACHABLE_METRIC = 5000
DEFAULT_METRIC = 512

SYSCTLS = {
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/fib_multipath_hash_policy": "1",  # by ports: flows spread over the lines
    "net/ipv6/max_dst_opts_number": "-8",  # the kernel leaves the Home Address option to us, without an ICMP error
}


class LinuxHomeAgent:
    """The seg6 driver behind the port `DataPlane`."""

    def __init__(self) -> None:
        self._route_socket = NetlinkSocket(socket.NETLINK_ROUTE)
        self._elements: SetElements | None = None
        self._plan: SitePlan | None = None
        self._view: dict[bytes, Installed] = {}
        self._entered: set[Element] = set()
        self._leaving: dict[Element, float | None] = {}
        self._lengths: set[int] = set()
        self._free: list[int] = []
        self._next_slot = 1
        self._lo = socket.if_nametoindex("lo")

    # --- the site -------------------------------------------------------------------------------------------------

    def prepare(self, plan: SitePlan) -> None:
        """See the port. What is right already is replaced by itself, which loses nothing."""
        self._plan = plan
        for name, value in SYSCTLS.items():
            set_sysctl(name, value)
        settle(self._route_socket.execute, self._foundation(plan), "preparing the site")
        source_check.load_home_agent(plan.home_agent_address)
        self._elements = SetElements(source_check.HOME_AGENT_TABLE)
        self._lengths = source_check.lengths_in_use()
        set_tunnel_source(plan.home_agent_address)

    def _foundation(self, plan: SitePlan) -> list[Message]:
        address = plan.home_agent_address
        return [
            *(put_route(_unreachable(aggregate)) for aggregate in plan.aggregates),
            add_address(address, self._lo),
            put_decapsulation(DECAPSULATION_ID, PROTOCOL, self._lo),
            put_route(Route((address, 128), PROTOCOL, DECAPSULATION_TABLE, nexthop_id=DECAPSULATION_ID)),
            # End.DT6 asks the main table alone, so the inner packets to ourselves need a local route there.
            put_route(Route((address, 128), PROTOCOL, MAIN_TABLE, RTN_LOCAL, interface=self._lo)),
            *(put_route(route) for route in self._defaults(plan)),
            add_rule(Rule(LOCAL_RULE, LOCAL_TABLE, PROTOCOL)),
            add_rule(self._decapsulation_rule(plan)),
            # Only now: there is no moment without a rule for local addresses.
            delete_rule(Rule(0, LOCAL_TABLE, 0)),
        ]

    def _decapsulation_rule(self, plan: SitePlan) -> Rule:
        destination = (plan.home_agent_address, 128)
        return Rule(0, DECAPSULATION_TABLE, PROTOCOL, destination=destination, ip_protocol=IPV6_IN_IPV6)

    def _defaults(self, plan: SitePlan) -> list[Route]:
        routes = []
        for place, egress in enumerate(plan.egresses):
            try:
                interface = socket.if_nametoindex(egress.interface)
            except OSError as error:
                raise DataPlaneError("setting the default route", f"no interface {egress.interface}") from error
            metric = DEFAULT_METRIC + place
            routes.append(Route((bytes(16), 0), PROTOCOL, metric=metric, gateway=egress.gateway, interface=interface))
        return routes

    def egress_present(self) -> bool:
        """See the port: a default route of ours is left (the kernel removes it with its interface)."""
        routes = self._our_routes(MAIN_TABLE)
        return any(route.prefix[1] == 0 and route.gateway is not None for route in routes)

    # --- customers ------------------------------------------------------------------------------------------------

    def apply(self, wanted: Mapping[bytes, ForwardingEntry | None]) -> dict[bytes, str | None]:
        """See the port."""
        results: dict[bytes, str | None] = {}
        steps: dict[bytes, Steps] = {}
        for home_address, entry in wanted.items():
            present = self._view.get(home_address)
            if entry == (present.entry if present else None):
                results[home_address] = None
                continue
            slot = present.slot if present else self._take_slot()
            steps[home_address] = plan.difference(slot, entry, present, self._lo)
        if steps:
            results |= self._carry_out(steps)
        return results

    def _carry_out(self, steps: Mapping[bytes, Steps]) -> dict[bytes, str | None]:
        try:
            self._enter({element for one in steps.values() for element in one.enter})
        except DataPlaneError as error:
            return dict.fromkeys(steps, str(error))
        messages = [message for one in steps.values() for message in one.messages]
        refusals = iter(self._route_socket.execute(messages))
        results: dict[bytes, str | None] = {}
        for home_address, one in steps.items():
            own = [next(refusals) for _ in one.messages]
            why = reason(one.messages, own)
            results[home_address] = why
            if why is None:
                self._settled(home_address, one)
            else:
                self._unsettled(home_address, one)
        return results

    def _settled(self, home_address: bytes, steps: Steps) -> None:
        self._leave(steps.leave)
        if steps.installed is not None:
            self._view[home_address] = steps.installed
        else:
            gone = self._view.pop(home_address, None)
            if gone is not None:
                self._free.append(gone.slot)

    def _unsettled(self, home_address: bytes, steps: Steps) -> None:
        """After a refusal.

        Take all of the customer out, so that a later try starts from nothing and no half is left.
        """
        present = self._view.pop(home_address, None)
        slot = present.slot if present else steps.installed.slot if steps.installed else 0
        leftovers = [steps.installed, present]
        messages = [
            message
            for one in leftovers
            if one is not None
            for message in plan.difference(slot, None, one, self._lo).messages
        ]
        self._route_socket.execute(messages)
        self._leave(steps.enter | plan.elements(present.entry if present else None))
        if slot:
            self._free.append(slot)

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        slot = self._next_slot
        self._next_slot += 1
        return slot

    # --- the source check -------------------------------------------------------------------------------------------

    def _enter(self, elements: Iterable[Element]) -> None:
        elements = set(elements)
        for element in elements:
            self._leaving.pop(element, None)
        new = elements - self._entered
        for length in {prefix.length for _, prefix in new} - self._lengths:
            source_check.load_length(length)
            self._lengths.add(length)
        self._sets().change([source_check.element_key(element) for element in new], [])
        self._entered |= new

    def _leave(self, elements: Iterable[Element]) -> None:
        for element in elements:
            if element in self._entered:
                self._leaving.setdefault(element, None)

    def expire(self, now: float) -> float | None:
        """See the port. An element that left since the last call is given its due time by this one."""
        due = [element for element, at in self._leaving.items() if at is not None and at <= now]
        if due:
            self._sets().change([], [source_check.element_key(element) for element in due])
            self._entered.difference_update(due)
            for element in due:
                del self._leaving[element]
        for element, at in self._leaving.items():
            if at is None:
                self._leaving[element] = now + CHECK_LINGER_S
        return min((at for at in self._leaving.values() if at is not None), default=None)

    def _sets(self) -> SetElements:
        if self._elements is None:
            raise DataPlaneError("changing the source check", "the site was not prepared")
        return self._elements

    # --- what the kernel says -----------------------------------------------------------------------------------------

    def reconcile(self, wanted: Mapping[bytes, ForwardingEntry]) -> dict[bytes, str | None]:
        """See the port.

        The view is rebuilt from the kernel's dump, strays are removed, then differences are applied.
        """
        nexthops, routes = self._our_nexthops(), self._our_routes(MAIN_TABLE)
        found = self._from_dump(nexthops, routes)
        self._view = {home: _numbered(one, wanted.get(home)) for home, one in found.items()}
        self._entered = {
            source_check.element(length, key)
            for length in self._lengths
            for key in self._sets().keys(source_check.set_name(length))
        }
        self._leaving = {}
        used = {one.slot for one in self._view.values()}
        self._next_slot = max(used, default=0) + 1
        self._free = [slot for slot in range(1, self._next_slot) if slot not in used]
        self._remove_strays(nexthops, routes)
        gone = dict.fromkeys(self._view.keys() - wanted.keys())
        right = {element for entry in wanted.values() for element in plan.elements(entry)}
        self._enter(right)
        results = self.apply({**gone, **wanted})
        self._leave(self._entered - right)
        return {home: results[home] for home in wanted}

    def read(self) -> dict[bytes, ForwardingEntry]:
        """See the port. BIDs and standby lines are not in the kernel; they are filled in from what we installed."""
        found = self._from_dump(self._our_nexthops(), self._our_routes(MAIN_TABLE))
        entries = {}
        for home_address, one in found.items():
            view = self._view.get(home_address)
            entries[home_address] = _numbered(one, view.entry if view else None).entry
        return entries

    def _from_dump(self, nexthops: Mapping[int, Nexthop], routes: list[Route]) -> dict[bytes, Installed]:
        """Customers as the kernel holds them; a path's BID is its place in the slot until `_numbered`."""
        by_group: dict[int, list[Prefix]] = {}
        for route in routes:
            if route.nexthop_id >= plan.nexthop_id(1, 0) and route.metric == plan.CUSTOMER_METRIC:
                by_group.setdefault(route.nexthop_id, []).append(Prefix(*route.prefix))
        places_of: dict[int, dict[int, Nexthop]] = {}
        for id_, nexthop in nexthops.items():
            slot, place = divmod(id_ - plan.FIRST_ID, plan.SLOT_IDS)
            if slot and place and nexthop.segment is not None:
                places_of.setdefault(slot, {})[place] = nexthop
        found = {}
        for group_id, prefixes in by_group.items():
            slot = (group_id - plan.FIRST_ID) // plan.SLOT_IDS
            group, homes = nexthops.get(group_id), [prefix for prefix in prefixes if prefix.length == 128]
            if group is None or not homes:
                continue
            paths = _paths(slot, group, places_of.get(slot, {}))
            mnps = tuple(sorted(prefix for prefix in prefixes if prefix.length != 128))
            entry = ForwardingEntry(homes[0].network, mnps, paths)
            found[homes[0].network] = Installed(slot, entry, {path.bid: path.bid for path in paths})
        return found

    def _remove_strays(self, nexthops: Mapping[int, Nexthop], routes: list[Route]) -> None:
        """What is of ours and belongs to no customer of the view: left by a crash in the middle of a change."""
        known = {DECAPSULATION_ID}
        for one in self._view.values():
            known |= {plan.nexthop_id(one.slot, place) for place in (0, *one.places.values())}
        lost_routes = [route for route in routes if route.nexthop_id >= plan.FIRST_ID and route.nexthop_id not in known]
        lost = sorted(nexthops.keys() - known, key=lambda id_: not nexthops[id_].members)
        self._route_socket.execute([*map(delete_route, lost_routes), *map(delete_nexthop, lost)])

    def _our_nexthops(self) -> dict[int, Nexthop]:
        bodies = self._route_socket.dump(*nexthop_dump())
        nexthops = [parse_nexthop(body) for body in bodies]
        return {one.id: one for one in nexthops if plan.FIRST_ID <= one.id <= plan.LAST_ID}

    def _our_routes(self, table: int) -> list[Route]:
        bodies = self._route_socket.dump(*route_dump(table, PROTOCOL))
        routes = [parse_route(body) for body in bodies]
        return [route for route in routes if route.protocol == PROTOCOL and route.table == table]

    def counters(self) -> dict[str, int]:
        """See the port."""
        dropped = {f"tunnel_packets{{{name}}}": count for name, count in self._sets().counters().items()}
        return {
            **dropped,
            "customers_installed": len(self._view),
            "check_elements": len(self._entered),
            "check_elements_leaving": len(self._leaving),
        }

    def purge(self) -> None:
        """See the port: the local rule goes back first, then everything with our marks."""
        messages = [add_rule(Rule(0, LOCAL_TABLE, 0))]
        rules = [parse_rule(body) for body in self._route_socket.dump(*rule_dump())]
        messages += [delete_rule(rule) for rule in rules if rule.protocol == PROTOCOL]
        for table in (MAIN_TABLE, DECAPSULATION_TABLE):
            messages += [delete_route(route) for route in self._our_routes(table)]
        ids = sorted(self._our_nexthops())
        messages += [delete_nexthop(id_) for id_ in ids if (id_ - plan.FIRST_ID) % plan.SLOT_IDS == 0]
        messages += [delete_nexthop(id_) for id_ in ids if (id_ - plan.FIRST_ID) % plan.SLOT_IDS]
        if self._plan:
            messages.append(delete_address(self._plan.home_agent_address, self._lo))
        self._route_socket.execute(messages)
        source_check.delete_table(source_check.HOME_AGENT_TABLE)
        set_tunnel_source(bytes(16))
        self._view, self._entered, self._leaving, self._lengths = {}, set(), {}, set()


def _unreachable(aggregate: Prefix) -> Route:
    """What keeps unallocated and unbound space of an aggregate from looping."""
    return Route(aggregate, PROTOCOL, kind=RTN_UNREACHABLE, metric=UNREACHABLE_METRIC)


def _paths(slot: int, group: Nexthop, places: Mapping[int, Nexthop]) -> tuple[Path, ...]:
    weights = {id_ - plan.nexthop_id(slot, 0): weight for id_, weight in group.members}
    # A path outside the group stands by: any priority behind that of the others says so.
    return tuple(
        Path(place, nexthop.segment, weights.get(place, 1), 0 if place in weights else 1)
        for place, nexthop in sorted(places.items())
        if nexthop.segment is not None
    )


def _numbered(found: Installed, known: ForwardingEntry | None) -> Installed:
    """Give the paths of a dump the BIDs, weights and priorities that `known` has for their care-of addresses."""
    if known is None:
        return found
    left = {path.care_of: path for path in known.paths}
    best = min(path.priority for path in known.paths)
    paths, places = [], {}
    for path in found.entry.paths:
        match = left.pop(path.care_of, None)
        same_role = match is not None and (match.priority == best) == (path.priority == 0)
        if match is not None and same_role and match.bid not in places:
            weight = match.weight if match.priority != best else path.weight
            paths.append(Path(match.bid, path.care_of, weight, match.priority))
            places[match.bid] = path.bid
        elif path.bid not in places:
            paths.append(path)
            places[path.bid] = path.bid
    same_mnps = sorted(found.entry.prefixes) == sorted(known.prefixes)
    mnps = known.prefixes if same_mnps else found.entry.prefixes
    return Installed(found.slot, ForwardingEntry(found.entry.home_address, mnps, tuple(sorted(paths))), places)


def set_sysctl(name: str, value: str) -> None:
    """Write a kernel setting if it differs. Raises: DataPlaneError."""
    path = FilePath("/proc/sys") / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as error:
        raise DataPlaneError(f"setting {name.replace('/', '.')}", error.strerror or str(error)) from error


def set_tunnel_source(address: bytes) -> None:
    """The outer source of every tunnel of this namespace. Raises: DataPlaneError."""
    text = socket.inet_ntop(socket.AF_INET6, address)
    done = subprocess.run(["ip", "sr", "tunsrc", "set", text], capture_output=True, text=True, check=False, timeout=10)
    if done.returncode:
        raise DataPlaneError("setting the tunnel source", done.stderr.strip() or "ip sr tunsrc failed")
