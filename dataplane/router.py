"""The mobile router's data plane on Linux: tunnels over several lines, and each line's own packets on that line.

    rule 0    tunnelled packets from the home agent      -> table 41999, with IPv4 inside 40999: decapsulate
    rule 5    everything for our own addresses           -> table local
    rule 10   to a mobile network prefix                 -> table main (the LAN)
    rule 20   from a mobile network prefix or the HoA    -> table 41000: the group of tunnels, else unreachable
    rule 30   from a care-of address                     -> table 41000 + BID: that line's gateway
    rule 100  everything                                 -> table local (the kernel's rule 0, moved)

The rules for networks, and table 41000, are there for IPv4 too if one of the prefixes is of IPv4.

Owns only objects with protocol 209 or its nexthop ids. Each call compares with the kernel's dump, because the kernel
itself takes tunnels away when their interface goes down or loses its carrier. Does not undo the settings it needs.
"""

import socket
from collections.abc import Sequence

from dataplane import filter as packet_filter
from dataplane.driver import Driver, Tunnels
from dataplane.entry import Prefix, RouterPlan, UplinkPath, contains
from dataplane.errors import DataPlaneError
from dataplane.message import Message
from dataplane.netlink import NetlinkSocket, first_failure
from dataplane.numbers import (
    BID_MAX,
    CARE_OF_RULE,
    DECAPSULATION_RULE,
    EGRESS_METRIC,
    FROM_NETWORK_RULE,
    IPV4_IN_IPV6,
    IPV6_IN_IPV6,
    LOCAL_RULE,
    OWN_ADDRESS_RULE,
    ROUTER_DECAPSULATION,
    ROUTER_DECAPSULATION_OF_IPV4,
    ROUTER_IDS,
    ROUTER_PROTOCOL,
    ROUTER_TUNNELS,
    TO_NETWORK_RULE,
    UNREACHABLE_METRIC,
)
from dataplane.probe import probe
from dataplane.rtnetlink import (
    ANY_TABLE,
    FAMILIES,
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
    put_decapsulation_of_ipv4,
    put_group,
    put_route,
    put_tunnel,
    route_dump,
    rule_dump,
)
from dataplane.ruleset import ROUTER_TABLE
from dataplane.sysctl import set_sysctl
from dataplane.tunnel_errors import TunnelError
from dataplane.tunnels import close_device, device

FIRST_ID = ROUTER_IDS[0]  # plus the BID: the tunnel over a line
GROUP_ID, DECAPSULATION_ID, DECAPSULATION_OF_IPV4_ID = ROUTER_IDS[0xFFF1], ROUTER_IDS[0xFFF2], ROUTER_IDS[0xFFF3]
LINE_TABLES = range(ROUTER_TUNNELS + 1, ROUTER_DECAPSULATION)
ANYWHERE = (bytes(16), 0)
ANYWHERE_IN_IPV4 = (bytes(4), 0)
SYSCTLS = {"net/ipv6/conf/all/forwarding": "1", "net/ipv6/fib_multipath_hash_policy": "1"}
SYSCTLS_OF_IPV4 = {"net/ipv4/ip_forward": "1", "net/ipv4/fib_multipath_hash_policy": "1"}


class LinuxRouter:
    """The port `RouterPlane` on Linux, with this driver or the first that the kernel offers."""

    def __init__(self, driver: Driver | None = None) -> None:
        self._wanted = driver
        self._driver = Driver.SEG6  # until `prepare` knows better
        self._device = 0  # of ip6tnl
        self._netlink = NetlinkSocket(socket.NETLINK_ROUTE)
        self._lo = socket.if_nametoindex("lo")
        self._plan: RouterPlan | None = None

    def prepare(self, plan: RouterPlan) -> None:
        """See the port."""
        if self._plan is None:
            self._driver = probe(self._wanted)
        self._plan = plan
        for name, value in {**SYSCTLS, **(SYSCTLS_OF_IPV4 if _serves_ipv4(plan) else {})}.items():
            set_sysctl(name, value)
        packet_filter.load_router(plan, self._driver)
        if self._driver is Driver.IP6TNL:
            self._device = device()
        home = plan.home_address
        messages = [
            add_address(home, self._lo),
            # Decapsulation by seg6 asks the main table alone, so the home address needs a local route there.
            put_route(Route((home, 128), ROUTER_PROTOCOL, MAIN_TABLE, RTN_LOCAL, interface=self._lo)),
            *(self._decapsulation(plan) if self._driver is Driver.SEG6 else ()),
            *(
                put_route(Route(anywhere, ROUTER_PROTOCOL, ROUTER_TUNNELS, RTN_UNREACHABLE, UNREACHABLE_METRIC))
                for anywhere in _anywhere(plan)
            ),
            *self._rule_changes(self._fixed_rules(plan), care_of=False),
            delete_rule(Rule(0, LOCAL_TABLE, 0)),  # only now: there is no moment without a rule for local addresses
        ]
        for route in self._routes(MAIN_TABLE, RTN_LOCAL):
            if route.prefix != (home, 128):  # the home address of an earlier configuration
                messages += [delete_route(route), delete_address(route.prefix[0], self._lo)]
        self._netlink.settle(messages, "preparing the router")

    def owns(self, error: TunnelError) -> bool:
        """Is an ICMPv6 error about a packet that we sent to the home agent, from our networks?"""
        plan = self._plan
        if plan is None or error.exit != plan.home_agent:
            return False
        return any(contains(prefix, error.inner_source) for prefix in (*plan.prefixes, Prefix(plan.home_address, 128)))

    def set_lines(self, lines: tuple[UplinkPath, ...]) -> None:
        """See the port. A line that is refused does not keep the others from being set."""
        wanted = {line: _line_route(line, _index(line)) for line in lines}
        present = [route for route in self._routes() if route.table in LINE_TABLES]
        refused = {}
        for line, route in wanted.items():
            changes = [] if route in present else [put_route(route)]
            if why := first_failure(changes, self._netlink.execute(changes)):
                refused[line.interface] = why
        rules = [_from((line.care_of, 128), CARE_OF_RULE, ROUTER_TUNNELS + line.bid) for line in lines]
        kept = {(route.table, route.metric) for route in wanted.values()}  # a changed one was replaced in its place
        old = [delete_route(route) for route in present if (route.table, route.metric) not in kept]
        self._netlink.settle([*self._rule_changes(rules, care_of=True), *old], "applying the lines")
        for interface, why in refused.items():
            raise DataPlaneError(f"setting the default route of {interface}", why)

    def apply(self, uplinks: tuple[UplinkPath, ...]) -> None:
        """See the port. A line that is refused does not keep the others from carrying traffic."""
        if self._plan is None:
            raise DataPlaneError("applying the tunnels", "the router was not prepared")
        interfaces = {uplink.bid: _index(uplink) for uplink in uplinks}
        present = self._nexthops()
        refused: dict[str, str] = {}
        carrying = []
        for uplink in uplinks:
            id_, by, exit = _tunnel_id(uplink), self._tunnels(uplink, interfaces[uplink.bid]), self._plan.home_agent
            there = present.get(id_) == Nexthop(id_, ROUTER_PROTOCOL, exit, by.interface, entry=by.entry)
            changes = [] if there else [put_tunnel(id_, ROUTER_PROTOCOL, exit, by)]
            if why := first_failure(changes, self._netlink.execute(changes)):
                refused[uplink.interface] = why
            else:
                carrying.append(uplink)
        for messages in self._group_changes(carrying, present):
            self._netlink.settle(messages, "applying the tunnels")
        for interface, why in refused.items():
            raise DataPlaneError(f"applying the tunnel over {interface}", why)

    def counters(self) -> dict[str, int]:
        """See the port."""
        return packet_filter.router_counters()

    def purge(self) -> None:
        """See the port: the kernel's local rule goes back first, then everything with our marks, as the dump has it."""
        rules = [rule for rule in self._rules() if rule.protocol == ROUTER_PROTOCOL]
        routes = self._routes()
        ids = sorted(self._nexthops(), key=lambda id_: id_ != GROUP_ID)
        messages = [
            add_rule(Rule(0, LOCAL_TABLE, 0)),
            *map(delete_rule, rules),
            *map(delete_route, routes),
            *map(delete_nexthop, ids),
            *(delete_address(route.prefix[0], self._lo) for route in routes if route.kind == RTN_LOCAL),
        ]
        answers = self._netlink.execute(messages)
        packet_filter.delete_table(ROUTER_TABLE)
        close_device()
        if why := first_failure(messages, answers):
            raise DataPlaneError("removing what is ours", why)

    # --- rules ------------------------------------------------------------------------------------------------------

    def _fixed_rules(self, plan: RouterPlan) -> list[Rule]:
        home_agent, home = (plan.home_agent, 128), Prefix(plan.home_address, 128)
        ends = {IPV6_IN_IPV6: ROUTER_DECAPSULATION} if self._driver is Driver.SEG6 else {}
        if ends and _serves_ipv4(plan):
            ends[IPV4_IN_IPV6] = ROUTER_DECAPSULATION_OF_IPV4
        return [
            Rule(LOCAL_RULE, LOCAL_TABLE, ROUTER_PROTOCOL),
            *(
                _from(home_agent, DECAPSULATION_RULE, table)._replace(ip_protocol=inside)
                for inside, table in ends.items()
            ),
            Rule(OWN_ADDRESS_RULE, LOCAL_TABLE, ROUTER_PROTOCOL),
            *(Rule(TO_NETWORK_RULE, MAIN_TABLE, ROUTER_PROTOCOL, destination=prefix) for prefix in plan.prefixes),
            *(_from(prefix, FROM_NETWORK_RULE, ROUTER_TUNNELS) for prefix in (home, *plan.prefixes)),
        ]

    def _rule_changes(self, wanted: Sequence[Rule], care_of: bool) -> list[Message]:
        """The rules for care-of addresses, or all others: what is missing, then what is too much."""
        ours = [rule for rule in self._rules() if rule.protocol == ROUTER_PROTOCOL]
        present = [rule for rule in ours if (rule.priority == CARE_OF_RULE) == care_of]
        missing = [add_rule(rule) for rule in wanted if rule not in present]
        return [*missing, *(delete_rule(rule) for rule in present if rule not in wanted)]

    # --- tunnels ----------------------------------------------------------------------------------------------------

    def _decapsulation(self, plan: RouterPlan) -> list[Message]:
        ends = [
            put_decapsulation(DECAPSULATION_ID, ROUTER_PROTOCOL, self._lo),
            put_route(Route(ANYWHERE, ROUTER_PROTOCOL, ROUTER_DECAPSULATION, nexthop_id=DECAPSULATION_ID)),
        ]
        if _serves_ipv4(plan):
            id_, table = DECAPSULATION_OF_IPV4_ID, ROUTER_DECAPSULATION_OF_IPV4
            ends.append(put_decapsulation_of_ipv4(id_, ROUTER_PROTOCOL, self._lo))
            ends.append(put_route(Route(ANYWHERE, ROUTER_PROTOCOL, table, nexthop_id=id_)))
        return ends

    def _tunnels(self, uplink: UplinkPath, interface: int) -> Tunnels:
        """With seg6 the line gives the outer source; with ip6tnl the outer source finds the line, by its rule."""
        if self._driver is Driver.SEG6:
            return Tunnels(interface)
        return Tunnels(self._device, uplink.care_of)

    def _group_changes(
        self, uplinks: Sequence[UplinkPath], present: dict[int, Nexthop]
    ) -> tuple[list[Message], list[Message]]:
        """The group of tunnels that outgoing traffic takes; and, once it stands, the tunnels that are left over.

        A group whose last tunnel goes before it has another is removed by the kernel, with its routes.
        """
        messages = []
        members = tuple(sorted((_tunnel_id(uplink), uplink.weight) for uplink in uplinks))
        group, routes = present.get(GROUP_ID), self._routes(ROUTER_TUNNELS)
        wanted = [
            Route(anywhere, ROUTER_PROTOCOL, ROUTER_TUNNELS, metric=EGRESS_METRIC, nexthop_id=GROUP_ID)
            for anywhere in _anywhere(self._plan)
        ]
        if group and not group.resilient:
            messages.append(delete_nexthop(GROUP_ID))  # the kernel makes no plain group a resilient one
            group, routes = None, []
        if members:
            if group is None or tuple(sorted(group.members)) != members:
                messages.append(put_group(GROUP_ID, ROUTER_PROTOCOL, members))
            messages += [put_route(route) for route in wanted if route not in routes]
        else:
            messages += [delete_route(route) for route in wanted if route in routes]
            messages += [delete_nexthop(GROUP_ID)] if group else []
        kept = {id_ for id_, _ in members} | {GROUP_ID, DECAPSULATION_ID, DECAPSULATION_OF_IPV4_ID}
        return messages, [delete_nexthop(id_) for id_ in present if id_ not in kept]

    # --- what the kernel says ---------------------------------------------------------------------------------------

    def _nexthops(self) -> dict[int, Nexthop]:
        found = map(parse_nexthop, self._netlink.dump(*nexthop_dump()))
        return {one.id: one for one in found if one.id in ROUTER_IDS and one.protocol == ROUTER_PROTOCOL}

    def _routes(self, table: int = ANY_TABLE, kind: int = 0) -> list[Route]:
        questions = (route_dump(ROUTER_PROTOCOL, table, kind, family) for family in FAMILIES)
        routes = (parse_route(body) for question in questions for body in self._netlink.dump(*question))
        return [route for route in routes if route.protocol == ROUTER_PROTOCOL]

    def _rules(self) -> list[Rule]:
        return [parse_rule(body) for family in FAMILIES for body in self._netlink.dump(*rule_dump(family))]


def _from(source: tuple[bytes, int], priority: int, table: int) -> Rule:
    return Rule(priority, table, ROUTER_PROTOCOL, source=source)


def _serves_ipv4(plan: RouterPlan) -> bool:
    return any(len(prefix.network) == 4 for prefix in plan.prefixes)


def _anywhere(plan: RouterPlan | None) -> tuple[tuple[bytes, int], ...]:
    return (ANYWHERE, ANYWHERE_IN_IPV4) if plan and _serves_ipv4(plan) else (ANYWHERE,)


def _line_route(line: UplinkPath, interface: int) -> Route:
    """Each care-of address leaves by its own line."""
    table, gateway = ROUTER_TUNNELS + line.bid, line.gateway
    return Route(ANYWHERE, ROUTER_PROTOCOL, table, metric=EGRESS_METRIC, gateway=gateway, interface=interface)


def _tunnel_id(uplink: UplinkPath) -> int:
    return FIRST_ID + uplink.bid


def _index(uplink: UplinkPath) -> int:
    what = f"applying line {uplink.interface}"
    if not 1 <= uplink.bid <= BID_MAX:
        raise DataPlaneError(what, f"its BID is not in 1..{BID_MAX}")
    if not 1 <= uplink.weight <= 256:
        raise DataPlaneError(what, "its weight is not in 1..256")
    try:
        return socket.if_nametoindex(uplink.interface)
    except OSError as error:
        raise DataPlaneError(what, "no such interface") from error
