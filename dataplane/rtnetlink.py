"""The rtnetlink messages this project uses: nexthops, groups, routes, rules, addresses. Bytes only; sends nothing.

Layouts from linux/rtnetlink.h, linux/nexthop.h, linux/fib_rules.h. Everything made here carries our protocol number,
so that ours can be told from everybody else's.
"""

import struct
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from dataplane import ip6tnl, seg6
from dataplane.driver import Tunnels
from dataplane.message import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    attribute,
    attributes,
    integer,
    nested,
    number,
)
from dataplane.numbers import FIXED_METRIC, TUNNEL_HOP_LIMIT

IPV4, IPV6 = 2, 10  # AF_INET, AF_INET6
FAMILIES = (IPV6, IPV4)
ANY_TABLE, MAIN_TABLE, LOCAL_TABLE = 0, 254, 255
RTN_UNICAST, RTN_LOCAL, RTN_UNREACHABLE = 1, 2, 7

_GETLINK = 18
_NEWADDR, _DELADDR = 20, 21
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWRULE, _DELRULE, _GETRULE = 32, 33, 34
_NEWNEXTHOP, _DELNEXTHOP, _GETNEXTHOP = 104, 105, 106

_NHMSG = struct.Struct("=BBBxI")
_NEXTHOP_HEAD, _NEXTHOP_ID_SIZE = struct.Struct("=BBBxIHHI"), 8  # with the id, which all have
_NHA_ID, _NHA_GROUP, _NHA_GROUP_TYPE, _NHA_OIF, _NHA_GATEWAY, _NHA_ENCAP_TYPE, _NHA_ENCAP = 1, 2, 3, 5, 6, 7, 8
_NHA_RES_GROUP, _NHA_RES_GROUP_BUCKETS, _NHA_RES_GROUP_IDLE_TIMER = 12, 1, 2
_RESILIENT = 1  # NEXTHOP_GRP_TYPE_RES (Linux 5.13)
_GROUP_MEMBER = struct.Struct("=IBxH")
_RTMSG = struct.Struct("=BBBBBBBBI")
_THROUGH = struct.Struct("=BBBBBBBBIHHIHHIHH16sHHI")  # with table, metric, destination, nexthop
_RTM_F_FIB_MATCH, _RTNH_F_DEAD, _RTNH_F_LINKDOWN = 0x2000, 1, 16
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_TABLE, _RTA_NH_ID = 1, 4, 5, 6, 15, 30
_RTA_ENCAP_TYPE, _RTA_ENCAP = 21, 22
_RULE = struct.Struct("=BBBBBBBBI")
_FRA_DST, _FRA_SRC, _FRA_PRIORITY, _FRA_TABLE, _FRA_PROTOCOL, _FRA_IP_PROTO = 1, 2, 6, 15, 21, 22
_FRA_NARROW = (3, 10, 17, 19, 20, 23, 24)  # interfaces, mark, VRF, users, ports
_TO_TABLE = 1
_RTPROT_KERNEL = 2
_NO_ADDRESS = {IPV4: bytes(4), IPV6: bytes(16)}
_IFINFOMSG, _IFF_LOWER_UP = struct.Struct("=BxHiII"), 1 << 16
_IFADDRMSG = struct.Struct("=BBBBI")
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_NODAD, _IFA_F_NOPREFIXROUTE = 0x02, 0x200


class Nexthop(NamedTuple):
    """A nexthop object as the kernel shows it: a tunnel to `exit` out of `interface` (index), or a group.

    `members`: those of a group, by (id, weight). `resilient`: see `put_group`.
    `entry`: the outer source, of an ip6tnl tunnel; None: a seg6 tunnel, which takes that of the namespace.
    """

    id: int
    protocol: int
    exit: bytes | None = None
    interface: int = 0
    members: tuple[tuple[int, int], ...] = ()
    entry: bytes | None = None
    resilient: bool = False


class Route(NamedTuple):
    """A route: through nexthop object `nexthop_id`, or via `gateway` and `interface`, or of a `kind` without either.

    `decapsulation`: what is done to a packet that takes it (`seg6.py`); not told of a route that the kernel shows.
    """

    prefix: tuple[bytes, int]
    protocol: int
    table: int = MAIN_TABLE
    kind: int = RTN_UNICAST
    metric: int = FIXED_METRIC
    nexthop_id: int = 0
    gateway: bytes | None = None
    interface: int = 0
    decapsulation: bytes = b""


class Rule(NamedTuple):
    """A policy rule that looks up `table`; `ip_protocol` 0 is any; `protocol` 0 leaves the rule unmarked.

    Of IPv4 if its addresses are. `is_narrow`: it is not for all packets, by something that is not told here.
    """

    priority: int
    table: int
    protocol: int
    source: tuple[bytes, int] | None = None
    destination: tuple[bytes, int] | None = None
    ip_protocol: int = 0
    is_narrow: bool = False


# --- nexthops ------------------------------------------------------------------------------------------------------


def put_tunnel(nexthop_id: int, protocol: int, exit: bytes, by: Tunnels) -> Message:
    """Make this nexthop a tunnel to `exit`, whatever its id stood for before."""
    head = _NEXTHOP_HEAD.pack(IPV6, 0, protocol, 0, _NEXTHOP_ID_SIZE, _NHA_ID, nexthop_id)
    return Message(_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, head + _up_to_exit(by) + exit)


@cache
def _up_to_exit(by: Tunnels) -> bytes:
    """What all tunnels of a driver have in common behind their ids; the exit follows and ends the message."""
    if by.entry is None:
        encap = _encap(seg6.ENCAP_TYPE, seg6.encapsulation(_NO_ADDRESS[IPV6]))
    else:
        encap = _encap(ip6tnl.ENCAP_TYPE, ip6tnl.encapsulation(by.entry, _NO_ADDRESS[IPV6], TUNNEL_HOP_LIMIT))
    return (number(_NHA_OIF, by.interface) + encap)[: -len(_NO_ADDRESS[IPV6])]


def put_group(nexthop_id: int, protocol: int, members: Iterable[tuple[int, int]]) -> Message:
    """Make this nexthop the resilient group of others by (id, weight), whatever resilient group its id stood for.

    Flows are sorted into buckets and these given to the members: when one leaves only its own buckets move, and when it
    comes back it gets its share from the others, at once (no idle timer). A plain group moves flows of the others too.
    """
    head = _NEXTHOP_HEAD.pack(0, 0, protocol, 0, _NEXTHOP_ID_SIZE, _NHA_ID, nexthop_id)
    packed = b"".join([_GROUP_MEMBER.pack(member, weight - 1, 0) for member, weight in members])
    return Message(_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, head + attribute(_NHA_GROUP, packed) + _IN_BUCKETS)


def put_decapsulation(nexthop_id: int, protocol: int, interface: int) -> Message:
    """A nexthop that takes IPv6 out of IPv6 and looks the inner packet up in the main table."""
    body = _NHMSG.pack(IPV6, 0, protocol, 0) + number(_NHA_ID, nexthop_id) + number(_NHA_OIF, interface)
    body += _encap(seg6.LOCAL_ENCAP_TYPE, seg6.decapsulation(MAIN_TABLE))
    return Message(_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, body)


def put_decapsulation_of_ipv4(nexthop_id: int, protocol: int, interface: int) -> Message:
    """A nexthop that takes IPv4 out of IPv6 and forwards it by the rules for what arrives."""
    body = _NHMSG.pack(IPV6, 0, protocol, 0) + number(_NHA_ID, nexthop_id) + number(_NHA_OIF, interface)
    body += _encap(seg6.LOCAL_ENCAP_TYPE, seg6.decapsulation_of_ipv4())
    return Message(_NEWNEXTHOP, NLM_F_CREATE | NLM_F_REPLACE, body)


def delete_nexthop(nexthop_id: int) -> Message:
    """Remove a nexthop, and with it every route that uses it."""
    return Message(_DELNEXTHOP, 0, _NHMSG.pack(0, 0, 0, 0) + number(_NHA_ID, nexthop_id))


def nexthop_named(request: Message) -> int:
    """The id of the nexthop that a request puts or removes; 0 if it is about something else."""
    if request.type not in (_NEWNEXTHOP, _DELNEXTHOP):
        return 0
    return integer(attributes(request.body, _NHMSG.size)[_NHA_ID])


def nexthop_dump() -> tuple[int, bytes]:
    """The request for all nexthops."""
    return _GETNEXTHOP, _NHMSG.pack(0, 0, 0, 0)


def parse_nexthop(body: bytes) -> Nexthop:
    """One nexthop of a dump."""
    protocol = body[2]
    found = attributes(body, _NHMSG.size)
    id_, group = integer(found[_NHA_ID]), found.get(_NHA_GROUP)
    if group is not None:
        members = tuple((member, weight + 1) for member, weight, _ in _GROUP_MEMBER.iter_unpack(group))
        return Nexthop(id_, protocol, members=members, resilient=integer(found[_NHA_GROUP_TYPE]) == _RESILIENT)
    entry = exit = None
    encap, kind = found.get(_NHA_ENCAP, b""), integer(found.get(_NHA_ENCAP_TYPE, b""))
    if kind == seg6.ENCAP_TYPE:
        exit = seg6.segment(encap)
    elif kind == ip6tnl.ENCAP_TYPE and (ends := ip6tnl.ends(encap)):
        entry, exit = ends
    return Nexthop(id_, protocol, exit, integer(found.get(_NHA_OIF, b"")), entry=entry)


# The share of a member comes in steps of one bucket. So many, with what the kernel keeps beside them, fill the one page
# that it takes for a group; and 2, 3, 4, 5 or 6 lines alike get exactly equal shares.
BUCKETS = 120
_IN_BUCKETS = attribute(_NHA_GROUP_TYPE, struct.pack("=H", _RESILIENT)) + nested(
    _NHA_RES_GROUP, attribute(_NHA_RES_GROUP_BUCKETS, struct.pack("=H", BUCKETS)) + number(_NHA_RES_GROUP_IDLE_TIMER, 0)
)


def _encap(kind: int, payload: bytes) -> bytes:
    return attribute(_NHA_ENCAP_TYPE, struct.pack("=H", kind)) + nested(_NHA_ENCAP, payload)


# --- routes --------------------------------------------------------------------------------------------------------


def put_route(route: Route) -> Message:
    """Make this route so; one with the same prefix, table and metric is replaced."""
    return Message(_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _route(route))


def put_route_through(prefix: tuple[bytes, int], protocol: int, metric: int, nexthop_id: int) -> Message:
    """`put_route` for a route of the main table through a nexthop object, packed in one go: there are very many."""
    network, length = prefix
    if len(network) == 4:
        return put_route(Route(prefix, protocol, metric=metric, nexthop_id=nexthop_id))
    body = _THROUGH.pack(
        *(IPV6, length, 0, 0, 0, protocol, 0, RTN_UNICAST, 0),
        *(8, _RTA_TABLE, MAIN_TABLE),
        *(8, _RTA_PRIORITY, metric),
        *(20, _RTA_DST, network),
        *(8, _RTA_NH_ID, nexthop_id),
    )
    return Message(_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def delete_route(route: Route) -> Message:
    """Remove this route."""
    return Message(_DELROUTE, 0, _route(route))


def route_dump(protocol: int, table: int = ANY_TABLE, kind: int = 0, family: int = IPV6) -> tuple[int, bytes]:
    """The request for the routes of a family with this protocol, of one table or all, of one kind or all."""
    body = _RTMSG.pack(family, 0, 0, 0, 0, protocol, 0, kind, 0)
    return _GETROUTE, body + (number(_RTA_TABLE, table) if table != ANY_TABLE else b"")


def default_route_question(interface: int) -> tuple[int, bytes]:
    """The request for the route that a packet to nowhere in particular takes out of `interface`."""
    body = _RTMSG.pack(IPV6, 128, 0, 0, 0, 0, 0, 0, _RTM_F_FIB_MATCH)
    return _GETROUTE, body + attribute(_RTA_DST, bytes(16)) + number(_RTA_OIF, interface)


def is_usable_default(answer: bytes) -> bool:
    """Is the answer to that question a default route that leads somewhere, over a link that is up?"""
    route, flags = parse_route(answer), _RTMSG.unpack_from(answer)[-1]
    return route.prefix[1] == 0 and route.kind == RTN_UNICAST and not flags & (_RTNH_F_DEAD | _RTNH_F_LINKDOWN)


def link_question(interface: int) -> tuple[int, bytes]:
    """The request for the state of a link itself.

    A route hears of a lost carrier late: the kernel tells of such changes, of all links together, once a second.
    """
    return _GETLINK, _IFINFOMSG.pack(0, 0, interface, 0, 0)


def has_carrier(answer: bytes) -> bool:
    """Is the link up at both its ends?"""
    return bool(_IFINFOMSG.unpack_from(answer)[3] & _IFF_LOWER_UP)


def parse_route(body: bytes) -> Route:
    """One route of a dump."""
    family, length, _, _, table, protocol, _, kind, _ = _RTMSG.unpack_from(body)
    get = attributes(body, _RTMSG.size).get
    return Route(
        (get(_RTA_DST, _NO_ADDRESS[family]), length),
        protocol,
        integer(get(_RTA_TABLE, b"")) or table,
        kind,
        integer(get(_RTA_PRIORITY, b"")),
        integer(get(_RTA_NH_ID, b"")),
        get(_RTA_GATEWAY),
        integer(get(_RTA_OIF, b"")),
    )


def _route(route: Route) -> bytes:
    network, length = route.prefix
    body = _RTMSG.pack(_family(network), length, 0, 0, 0, route.protocol, 0, route.kind, 0)
    body += number(_RTA_TABLE, route.table) + number(_RTA_PRIORITY, route.metric)
    if length:
        body += attribute(_RTA_DST, network)
    if route.nexthop_id:
        return body + number(_RTA_NH_ID, route.nexthop_id)
    if route.gateway is not None:
        body += attribute(_RTA_GATEWAY, route.gateway)
    if route.interface:
        body += number(_RTA_OIF, route.interface)
    if route.decapsulation:
        body += attribute(_RTA_ENCAP_TYPE, struct.pack("=H", seg6.LOCAL_ENCAP_TYPE))
        body += nested(_RTA_ENCAP, route.decapsulation)
    return body


def _family(address: bytes) -> int:
    return IPV6 if len(address) == 16 else IPV4


# --- rules and addresses -------------------------------------------------------------------------------------------


def add_rule(rule: Rule) -> Message:
    """Add a rule; one just like it is "already there"."""
    return Message(_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _rule(rule))


def delete_rule(rule: Rule) -> Message:
    """Remove a rule just like this."""
    return Message(_DELRULE, 0, _rule(rule))


def rule_dump(family: int = IPV6) -> tuple[int, bytes]:
    """The request for all rules of a family."""
    return _GETRULE, _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)


def parse_rule(body: bytes) -> Rule:
    """One rule of a dump."""
    _, to_length, from_length, tos, table, _, _, _, _ = _RULE.unpack_from(body)
    found = attributes(body, _RULE.size)
    source, destination = found.get(_FRA_SRC), found.get(_FRA_DST)
    return Rule(
        priority=integer(found.get(_FRA_PRIORITY, b"")),
        table=integer(found.get(_FRA_TABLE, b"")) or table,
        protocol=integer(found.get(_FRA_PROTOCOL, b"")),
        source=None if source is None else (source, from_length),
        destination=None if destination is None else (destination, to_length),
        ip_protocol=integer(found.get(_FRA_IP_PROTO, b"")),
        is_narrow=tos != 0 or any(kind in found for kind in _FRA_NARROW),
    )


def _rule(rule: Rule) -> bytes:
    to_length = rule.destination[1] if rule.destination else 0
    from_length = rule.source[1] if rule.source else 0
    addresses = rule.source or rule.destination
    family = _family(addresses[0]) if addresses else IPV6
    body = _RULE.pack(family, to_length, from_length, 0, 0, 0, 0, _TO_TABLE, 0)
    body += number(_FRA_PRIORITY, rule.priority) + number(_FRA_TABLE, rule.table)
    body += attribute(_FRA_PROTOCOL, bytes((rule.protocol or _RTPROT_KERNEL,)))
    if rule.source:
        body += attribute(_FRA_SRC, rule.source[0])
    if rule.destination:
        body += attribute(_FRA_DST, rule.destination[0])
    if rule.ip_protocol:
        body += attribute(_FRA_IP_PROTO, bytes((rule.ip_protocol,)))
    return body


def add_address(address: bytes, interface: int) -> Message:
    """Put a /128 on an interface: no duplicate address detection, and no route (on lo it would be a reject route)."""
    return Message(
        _NEWADDR,
        NLM_F_CREATE | NLM_F_REPLACE,
        _address(address, interface) + number(_IFA_FLAGS, _IFA_F_NODAD | _IFA_F_NOPREFIXROUTE),
    )


def delete_address(address: bytes, interface: int) -> Message:
    """Take a /128 off an interface."""
    return Message(_DELADDR, 0, _address(address, interface))


def _address(address: bytes, interface: int) -> bytes:
    head = _IFADDRMSG.pack(IPV6, 128, _IFA_F_NODAD, 0, interface)
    return head + attribute(_IFA_LOCAL, address) + attribute(_IFA_ADDRESS, address)
