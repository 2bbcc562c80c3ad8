"""The mobile router's data plane on Linux: tunnels over several lines, and each line's own packets on that line.

    rule 0    tunnelled packets from the home agent      -> table 41999: decapsulate
    rule 5    everything for our own addresses           -> table local
    rule 10   to a mobile network prefix                 -> table main (the LAN)
    rule 20   from a mobile network prefix or the HoA    -> table 41000: the group of tunnels, else unreachable
    rule 30   from a care-of address                     -> table 41000 + BID: that line's gateway

Owns only objects with protocol 209 or its nexthop ids. Each call compares with the kernel's dump, because the kernel
itself takes nexthops away when an interface goes down.
"""

import socket
from collections.abc import Sequence

from dataplane import filter as packet_filter
from dataplane.entry import Prefix, RouterPlan, UplinkPath
from dataplane.errors import DataPlaneError
from dataplane.linux import DEFAULT_METRIC, IPV6_IN_IPV6, LOCAL_RULE, UNREACHABLE_METRIC, set_sysctl
from dataplane.message import Message
from dataplane.netlink import NetlinkSocket
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
    put_nexthop,
    put_route,
    route_dump,
    rule_dump,
)
from dataplane.settle import settle

PROTOCOL = 209
FIRST_ID = 0x30000000
LAST_ID = 0x3000FFFF
GROUP_ID, DECAPSULATION_ID = 0x3000FFF1, 0x3000FFF2
TUNNEL_TABLE, DECAPSULATION_TABLE = 41000, 41999
BID_MAX = 899  # each line has the table 41000 + BID
ANYWHERE = (bytes(16), 0)
SYSCTLS = {"net/ipv6/conf/all/forwarding": "1", "net/ipv6/fib_multipath_hash_policy": "1"}


class LinuxRouter:
    """The seg6 driver behind the port `RouterPlane`."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(socket.NETLINK_ROUTE)
        self._lo = socket.if_nametoindex("lo")
        self._plan: RouterPlan | None = None

    def prepare(self, plan: RouterPlan) -> None:
        """See the port."""
        self._plan = plan
        for name, value in SYSCTLS.items():
            set_sysctl(name, value)
        packet_filter.load_router()
        home = plan.home_address
        messages = [
            add_address(home, self._lo),
            put_route(Route((home, 128), PROTOCOL, MAIN_TABLE, RTN_LOCAL, interface=self._lo)),
            put_decapsulation(DECAPSULATION_ID, PROTOCOL, self._lo),
            put_route(Route(ANYWHERE, PROTOCOL, DECAPSULATION_TABLE, nexthop_id=DECAPSULATION_ID)),
            put_route(Route(ANYWHERE, PROTOCOL, TUNNEL_TABLE, RTN_UNREACHABLE, UNREACHABLE_METRIC)),
            *self._rule_changes(self._fixed_rules(plan), care_of=False),
            delete_rule(Rule(0, LOCAL_TABLE, 0)),
        ]
        settle(self._socket.execute, messages, "preparing the router")

    def set_lines(self, lines: tuple[UplinkPath, ...]) -> None:
        """See the port."""
        interfaces = {line.bid: _index(line) for line in lines}
        settle(self._socket.execute, self._line_changes(lines, interfaces), "applying the lines")

    def apply(self, uplinks: tuple[UplinkPath, ...]) -> None:
        """See the port."""
        if self._plan is None:
            raise DataPlaneError("applying the tunnels", "the router was not prepared")
        interfaces = {uplink.bid: _index(uplink) for uplink in uplinks}
        settle(self._socket.execute, self._tunnel_changes(uplinks, interfaces), "applying the tunnels")

    def purge(self) -> None:
        """See the port: the local rule goes back first."""
        rules = [rule for rule in self._rules() if rule.protocol == PROTOCOL]
        tables = {MAIN_TABLE, *(rule.table for rule in rules)} - {LOCAL_TABLE}
        routes = [route for table in sorted(tables) for route in self._routes(table)]
        ids = sorted(self._nexthops(), key=lambda id_: id_ != GROUP_ID)
        messages = [
            add_rule(Rule(0, LOCAL_TABLE, 0)),
            *map(delete_rule, rules),
            *map(delete_route, routes),
            *map(delete_nexthop, ids),
        ]
        if self._plan:
            messages.append(delete_address(self._plan.home_address, self._lo))
        self._socket.execute(messages)
        packet_filter.delete_table(packet_filter.ROUTER_TABLE)

    # --- rules ------------------------------------------------------------------------------------------------------

    def _fixed_rules(self, plan: RouterPlan) -> list[Rule]:
        home_agent, home = (plan.home_agent, 128), Prefix(plan.home_address, 128)
        return [
            Rule(LOCAL_RULE, LOCAL_TABLE, PROTOCOL),
            Rule(0, DECAPSULATION_TABLE, PROTOCOL, source=home_agent, ip_protocol=IPV6_IN_IPV6),
            Rule(5, LOCAL_TABLE, PROTOCOL),
            *(Rule(10, MAIN_TABLE, PROTOCOL, destination=prefix) for prefix in plan.prefixes),
            *(Rule(20, TUNNEL_TABLE, PROTOCOL, source=prefix) for prefix in (home, *plan.prefixes)),
        ]

    def _line_rules(self, uplinks: Sequence[UplinkPath]) -> list[Rule]:
        return [Rule(30, TUNNEL_TABLE + one.bid, PROTOCOL, source=(one.care_of, 128)) for one in uplinks]

    def _rule_changes(self, wanted: Sequence[Rule], care_of: bool) -> list[Message]:
        """Rules of priority 30 (care-of) or the others: what is missing, then what is too much."""
        present = [rule for rule in self._rules() if rule.protocol == PROTOCOL and (rule.priority == 30) == care_of]
        missing = [add_rule(rule) for rule in wanted if rule not in present]
        return [*missing, *(delete_rule(rule) for rule in present if rule not in wanted)]

    # --- lines and tunnels ------------------------------------------------------------------------------------------

    def _line_changes(self, uplinks: Sequence[UplinkPath], interfaces: dict[int, int]) -> list[Message]:
        """Each care-of address leaves by its own line."""
        messages = []
        for uplink in uplinks:
            table = TUNNEL_TABLE + uplink.bid
            gateway, interface = uplink.gateway, interfaces[uplink.bid]
            route = Route(ANYWHERE, PROTOCOL, table, metric=DEFAULT_METRIC, gateway=gateway, interface=interface)
            present = self._routes(table)
            if route not in present:
                messages.append(put_route(route))
            messages += [delete_route(old) for old in present if old.metric != DEFAULT_METRIC]
        return [*messages, *self._rule_changes(self._line_rules(uplinks), care_of=True)]

    def _tunnel_changes(self, uplinks: Sequence[UplinkPath], interfaces: dict[int, int]) -> list[Message]:
        """The group of tunnels that outgoing traffic takes."""
        assert self._plan is not None
        wanted = [Nexthop(FIRST_ID + one.bid, PROTOCOL, self._plan.home_agent, interfaces[one.bid]) for one in uplinks]
        present = self._nexthops()
        messages = [put_nexthop(nexthop) for nexthop in wanted if present.get(nexthop.id) != nexthop]
        default = Route(ANYWHERE, PROTOCOL, TUNNEL_TABLE, metric=DEFAULT_METRIC, nexthop_id=GROUP_ID)
        has_default = default in self._routes(TUNNEL_TABLE)
        members = tuple(sorted((FIRST_ID + one.bid, one.weight) for one in uplinks))
        group = present.get(GROUP_ID)
        if not members:
            messages += [delete_route(default)] if has_default else []
            messages += [delete_nexthop(GROUP_ID)] if group else []
        else:
            if group is None or tuple(sorted(group.members)) != members:
                messages.append(put_nexthop(Nexthop(GROUP_ID, PROTOCOL, members=members)))
            messages += [] if has_default else [put_route(default)]
        kept = {nexthop.id for nexthop in wanted} | {GROUP_ID, DECAPSULATION_ID}
        return [*messages, *(delete_nexthop(id_) for id_ in present if id_ not in kept)]

    def _nexthops(self) -> dict[int, Nexthop]:
        found = [parse_nexthop(body) for body in self._socket.dump(*nexthop_dump())]
        return {one.id: one for one in found if FIRST_ID <= one.id <= LAST_ID}

    def _routes(self, table: int) -> list[Route]:
        routes = [parse_route(body) for body in self._socket.dump(*route_dump(table, PROTOCOL))]
        return [route for route in routes if route.protocol == PROTOCOL and route.table == table]

    def _rules(self) -> list[Rule]:
        return [parse_rule(body) for body in self._socket.dump(*rule_dump())]


def _index(uplink: UplinkPath) -> int:
    if not 1 <= uplink.bid <= BID_MAX:
        raise DataPlaneError(f"applying line {uplink.interface}", f"its BID is not in 1..{BID_MAX}")
    try:
        return socket.if_nametoindex(uplink.interface)
    except OSError as error:
        raise DataPlaneError(f"applying line {uplink.interface}", "no such interface") from error
