"""What a site's data plane stands on, whatever customers there are: as messages, and what of it is out of date. Pure.

rule 0      IPv6 in IPv6 to the home agent   -> table 41000: decapsulate, look the inner packet up in main (seg6)
rule 0      IPv4 in IPv6 to the home agent   -> table 41001: decapsulate, forward what was inside (seg6)
rule 100    everything                       -> table local (the kernel's rule 0, moved behind decapsulation; seg6)
main        aggregate -> unreachable: unallocated and unbound space never loops; a customer's routes are longer
            of IPv4 too, if the site serves any; without, nothing of IPv4 is touched
main        home agent address -> local: decapsulation asks main alone, and inner packets may be for ourselves
main        other addresses of ours -> local, such as the anycast address of home agents (RFC 2526)
lo          the home agent address

With ip6tnl the tunnel device decapsulates, behind the kernel's own rule for local addresses.
"""

from collections.abc import Iterable

from dataplane.driver import Driver
from dataplane.entry import SitePlan
from dataplane.message import Message
from dataplane.numbers import (
    DECAPSULATION_RULE,
    FIXED_METRIC,
    HOME_AGENT_DECAPSULATION,
    HOME_AGENT_DECAPSULATION_OF_IPV4,
    HOME_AGENT_PROTOCOL,
    IPV4_IN_IPV6,
    IPV6_IN_IPV6,
    LOCAL_RULE,
    UNREACHABLE_METRIC,
)
from dataplane.plan import DECAPSULATION_ID, DECAPSULATION_OF_IPV4_ID
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
    put_decapsulation,
    put_decapsulation_of_ipv4,
    put_route,
)

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
ROUTE_KINDS = (RTN_UNREACHABLE, RTN_LOCAL)  # of the fixed routes in table main; a customer's is neither
KERNEL_LOCAL_RULE = Rule(0, LOCAL_TABLE, 0)


def sysctls(plan: SitePlan, driver: Driver) -> dict[str, str]:
    """The kernel settings that forwarding needs, by path below /proc/sys."""
    return {**_SYSCTLS, **_SYSCTLS_OF[driver], **(_SYSCTLS_OF_IPV4 if serves_ipv4(plan) else {})}


def serves_ipv4(plan: SitePlan) -> bool:
    """True if customers may have IPv4 networks here."""
    return any(len(aggregate.network) == 4 for aggregate in plan.aggregates)


def rules(plan: SitePlan, driver: Driver) -> tuple[Rule, ...]:
    """The policy rules of a site."""
    if driver is Driver.IP6TNL:
        return ()
    destination = (plan.home_agent_address, 128)
    tables = {IPV6_IN_IPV6: HOME_AGENT_DECAPSULATION}
    if serves_ipv4(plan):
        tables[IPV4_IN_IPV6] = HOME_AGENT_DECAPSULATION_OF_IPV4
    return (
        Rule(LOCAL_RULE, LOCAL_TABLE, HOME_AGENT_PROTOCOL),
        *(
            Rule(DECAPSULATION_RULE, table, HOME_AGENT_PROTOCOL, destination=destination, ip_protocol=inside)
            for inside, table in tables.items()
        ),
    )


def routes(plan: SitePlan, driver: Driver, lo: int) -> tuple[Route, ...]:
    """The routes of a site, but for its egresses; `lo` is the index of the loopback interface."""
    address = (plan.home_agent_address, 128)
    unreachable = (
        Route(
            (aggregate.network, aggregate.length), HOME_AGENT_PROTOCOL, kind=RTN_UNREACHABLE, metric=UNREACHABLE_METRIC
        )
        for aggregate in plan.aggregates
    )
    ends = {HOME_AGENT_DECAPSULATION: DECAPSULATION_ID}
    if serves_ipv4(plan):
        ends[HOME_AGENT_DECAPSULATION_OF_IPV4] = DECAPSULATION_OF_IPV4_ID
    decapsulation = [Route(address, HOME_AGENT_PROTOCOL, table, nexthop_id=id_) for table, id_ in ends.items()]
    return (
        *unreachable,
        Route(address, HOME_AGENT_PROTOCOL, MAIN_TABLE, RTN_LOCAL, FIXED_METRIC, interface=lo),
        *(
            Route((also, 128), HOME_AGENT_PROTOCOL, MAIN_TABLE, RTN_LOCAL, FIXED_METRIC, interface=lo)
            for also in plan.answers_at
        ),
        *(decapsulation if driver is Driver.SEG6 else ()),
    )


def build(plan: SitePlan, driver: Driver, lo: int) -> list[Message]:
    """The messages that make it so, in an order in which nothing is lost, neither the first time nor again."""
    address = add_address(plan.home_agent_address, lo)
    fixed = map(put_route, routes(plan, driver, lo))
    if driver is Driver.IP6TNL:
        return [add_rule(KERNEL_LOCAL_RULE), address, *fixed]
    return [
        address,
        put_decapsulation(DECAPSULATION_ID, HOME_AGENT_PROTOCOL, lo),
        *((put_decapsulation_of_ipv4(DECAPSULATION_OF_IPV4_ID, HOME_AGENT_PROTOCOL, lo),) if serves_ipv4(plan) else ()),
        *fixed,
        *map(add_rule, rules(plan, driver)),
        delete_rule(KERNEL_LOCAL_RULE),  # only now: there is no moment without a rule for local addresses
    ]


def outdated(
    plan: SitePlan, driver: Driver, lo: int, found_rules: Iterable[Rule], found_routes: Iterable[Route]
) -> list[Message]:
    """The messages that remove what an earlier plan left and this one does not name. Egress routes are not looked at.

    Args:
        plan, driver: what is right.
        lo: index of the loopback interface.
        found_rules: all rules.
        found_routes: our routes of `ROUTE_KINDS`, and those of the decapsulation table.
    """
    kept = {(route.prefix, route.table, route.kind) for route in routes(plan, driver, lo)}
    messages = []
    for rule in found_rules:
        if rule.protocol == HOME_AGENT_PROTOCOL and rule not in rules(plan, driver):
            messages.append(delete_rule(rule))
    for route in found_routes:
        if (route.prefix, route.table, route.kind) not in kept:
            messages.append(delete_route(route))
            if route.kind == RTN_LOCAL:
                messages.append(delete_address(route.prefix[0], lo))
    if driver is Driver.IP6TNL:
        messages.append(delete_nexthop(DECAPSULATION_ID))
    if driver is Driver.IP6TNL or not serves_ipv4(plan):
        messages.append(delete_nexthop(DECAPSULATION_OF_IPV4_ID))
    return messages
