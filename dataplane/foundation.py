"""What a site's data plane stands on, whatever customers there are: as messages, and what of it is out of date. Pure.

main        aggregate -> unreachable: unallocated and unbound space never loops; a customer's routes are longer
            of IPv4 too, if the site serves any; without, nothing of IPv4 is touched
main        home agent address -> local: decapsulation asks main alone, and inner packets may be for ourselves
main        other addresses of ours -> local, such as the anycast address of home agents (RFC 2526)
local       where IPv6 in IPv6 ends -> decapsulate, look the inner packet up in main (seg6)
local       where IPv4 in IPv6 ends -> decapsulate, forward what was inside (seg6)
lo          the home agent address

With seg6 a tunnelled packet comes to the home agent address, where there are sockets too. The nftables rule that
believed it sends it on to one of two addresses that end tunnels and nothing else (`tunnel_end.py`); without that rule
nothing is decapsulated. No policy rule is needed: a single one would have the kernel look up the route of every packet
that this machine forwards, where it otherwise does so once for a batch to one address.

With ip6tnl the tunnel device decapsulates, behind the kernel's own rule for local addresses.
"""

from collections.abc import Collection, Iterable

from dataplane import seg6
from dataplane.driver import Driver
from dataplane.entry import SitePlan
from dataplane.message import Message
from dataplane.numbers import (
    FIXED_METRIC,
    FORMER_DECAPSULATION_IDS,
    HOME_AGENT_PROTOCOL,
    UNREACHABLE_METRIC,
)
from dataplane.rtnetlink import (
    LOCAL_TABLE,
    MAIN_TABLE,
    RTN_LOCAL,
    RTN_UNREACHABLE,
    Route,
    Rule,
    add_address,
    add_rule,
    delete_address,
    delete_nexthop,
    delete_route,
    delete_rule,
    put_route,
)
from dataplane.tunnel_end import tunnel_end

_SYSCTLS = {
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/fib_multipath_hash_policy": "1",  # by ports: flows spread over the lines
}
# The kernel leaves the Home Address option to us, without an ICMP error. With ip6tnl it must not: it would drop the
# Tunnel Encapsulation Limit option (RFC 2473 4.1.1) as well, before the tunnel's end; an nftables rule drops the error.
_SYSCTLS_OF = {
    Driver.SEG6: {"net/ipv6/max_dst_opts_number": "-8"},
    Driver.IP6TNL: {"net/ipv6/max_dst_opts_number": "8"},
}
_SYSCTLS_OF_IPV4 = {"net/ipv4/ip_forward": "1", "net/ipv4/fib_multipath_hash_policy": "1"}
ROUTE_KINDS = (RTN_UNREACHABLE, RTN_LOCAL)  # of the fixed routes of all tables; a customer's is neither
KERNEL_LOCAL_RULE = Rule(0, LOCAL_TABLE, 0)


def sysctls(plan: SitePlan, driver: Driver) -> dict[str, str]:
    """The kernel settings that forwarding needs, by path below /proc/sys."""
    return {**_SYSCTLS, **_SYSCTLS_OF[driver], **(_SYSCTLS_OF_IPV4 if plan.serves_ipv4 else {})}


def ends(plan: SitePlan, driver: Driver, lo: int) -> tuple[Route, ...]:
    """The routes that decapsulate; they are of no use to anybody whom the source check does not send there.

    Not by way of a nexthop object: a route by way of one the kernel looks up for every packet of a batch. And local
    ones, for out of a loopback interface it makes of all others that they reject.
    """
    if driver is Driver.IP6TNL:
        return ()
    actions = {6: seg6.decapsulation(MAIN_TABLE)}
    if plan.serves_ipv4:
        actions[4] = seg6.decapsulation_of_ipv4()
    return tuple(
        Route(
            (tunnel_end(plan.home_agent_address, version), 128),
            *(HOME_AGENT_PROTOCOL, LOCAL_TABLE, RTN_LOCAL, FIXED_METRIC),
            interface=lo,
            decapsulation=action,
        )
        for version, action in actions.items()
    )


def routes(plan: SitePlan, lo: int) -> tuple[Route, ...]:
    """The routes of a site, but for its egresses and ends; `lo` is the index of the loopback interface."""
    address = (plan.home_agent_address, 128)
    unreachable = (
        Route(
            (aggregate.network, aggregate.length), HOME_AGENT_PROTOCOL, kind=RTN_UNREACHABLE, metric=UNREACHABLE_METRIC
        )
        for aggregate in plan.aggregates
    )
    return (
        *unreachable,
        Route(address, HOME_AGENT_PROTOCOL, MAIN_TABLE, RTN_LOCAL, FIXED_METRIC, interface=lo),
        *(
            Route((also, 128), HOME_AGENT_PROTOCOL, MAIN_TABLE, RTN_LOCAL, FIXED_METRIC, interface=lo)
            for also in plan.answers_at
        ),
    )


def build(plan: SitePlan, lo: int) -> list[Message]:
    """The messages that make it so, but for the ends, in an order in which nothing is lost, not even the first time."""
    return [add_address(plan.home_agent_address, lo), *map(put_route, routes(plan, lo))]


def outdated(
    plan: SitePlan, driver: Driver, lo: int, found_rules: Collection[Rule], found_routes: Iterable[Route]
) -> list[Message]:
    """The messages that remove what an earlier plan left and this one does not name. Egress routes are not looked at.

    Args:
        plan, driver: what is right.
        lo: index of the loopback interface.
        found_rules: all rules.
        found_routes: our routes of `ROUTE_KINDS`, and those of the tables for decapsulation that there were once.
    """
    wanted = (*routes(plan, lo), *ends(plan, driver, lo))
    kept = {(route.prefix, route.table, route.kind) for route in wanted}
    messages = without_rules(found_rules)
    for route in found_routes:
        if (route.prefix, route.table, route.kind) not in kept:
            messages.append(delete_route(route))
            if is_of_an_address(route):
                messages.append(delete_address(route.prefix[0], lo))
    return [*messages, *map(delete_nexthop, FORMER_DECAPSULATION_IDS)]


def is_of_an_address(route: Route) -> bool:
    """Is this route of ours the one for an address that we put on `lo`?"""
    return route.kind == RTN_LOCAL and route.table == MAIN_TABLE


def without_rules(found: Collection[Rule]) -> list[Message]:
    """The messages that take out the policy rules of ours that there were once.

    The kernel's own for local addresses, which they displaced, is put back first: also where somebody else took it
    away, but not where he has another one for all packets.
    """
    ours = [rule for rule in found if rule.protocol == HOME_AGENT_PROTOCOL]
    has_local = any(rule == Rule(rule.priority, LOCAL_TABLE, rule.protocol) for rule in found if rule not in ours)
    return [*(() if has_local else (add_rule(KERNEL_LOCAL_RULE),)), *map(delete_rule, ours)]
