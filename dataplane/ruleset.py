"""The texts of our nftables tables: what a home agent believes, counts and rewrites; what a router keeps to itself.

Pure: `filter.py` loads them. The tables are `ip6 xsp_ha` and `ip6 xsp_mr`. For each prefix length in use, of IPv6 or
IPv4 inside, there are three sets:

    ok56   (care-of address, prefix): who may send what, entered by us
    in56   prefix, with a counter: what was believed, filled by the kernel at a customer's first packet
    out56  the same for what goes to customers

The counters hang on the prefix, not on the care-of address: a line that comes and goes loses no count. To be counted
costs a packet from a customer one more hash lookup, one to a customer none but that (but for its first, which must be
known to be a customer's), and nothing when a customer is installed.

The home agent's table is one text that is always loaded as a whole, which keeps sets, elements and counters. Every
packet passes it: what most packets are stands first, and each expression less is some twenty nanoseconds.
"""

import ipaddress
from collections.abc import Iterable

from dataplane.driver import Driver
from dataplane.element import Kind
from dataplane.entry import Prefix, SelfTestLine, SitePlan
from dataplane.numbers import TUNNEL_HOP_LIMIT
from dataplane.tunnel_end import tunnel_end

HOME_AGENT_TABLE, ROUTER_TABLE, TRIAL_TABLE = "xsp_ha", "xsp_mr", "xsp_trial"
HOME_ADDRESSES = Kind(6, 128)
OUTER_OCTETS = 40  # the tunnel's header; an encapsulation limit option, eight more, counts as inside
COUNTED_MAX = 1 << 18  # prefixes of one length that are counted; those beyond pass uncounted
CLOSED_LENGTHS = 3  # of closed networks: each costs a packet a lookup, four as much as the set of intervals

# Of what is neither UDP nor TCP the home agent address takes tunnels that were believed, mobility headers and ICMPv6;
# and behind Destination Options, if it is no tunnel, data with a Home Address option, which is answered (RFC 6275
# 9.3.1). Everything else is dropped, above all what some tunnel of this machine could unpack.
#
# The device of ip6tnl ends every tunnel to any address of this machine, so `input` lets none through but those that
# `prerouting` has judged: a packet whose outer destination is not the home agent address was judged by nobody. With
# seg6 the kernel refuses such packets by itself, and customers' packets come by there only where the operator has set
# `nf_hooks_lwtunnel`, on their way to where tunnels end. No other tunnel gets there, and none goes on from there.
#
# A piece of a packet that does not say what it is a piece of, behind more headers, could become a tunnelled packet
# after all rules; every other piece matches `meta l4proto != 255`, for nobody has that number, and no rule about a
# protocol matches where none can be told.
_HOME_AGENT = """
table ip6 xsp_ha {{
    counter source_check {{ }}
    counter fragment {{ }}
    counter tunnel_payload {{ }}
    counter elsewhere {{ }}
    counter inner_destination {{ }}
    counter tunnelled_in {{ }}
    counter tunnelled_out {{ }}
    counter signalling_of_one {{ }}
    counter signalling_of_all {{ }}
    counter self_test {{ }}
    set signalling {{ type ipv6_addr; flags dynamic; timeout 10s; size 65536; }}
    set closed6 {{ typeof @nh,512,128; flags interval; }}
    set closed4 {{ typeof @nh,448,32; flags interval; }}
    chain clamp_in {{ }}
    chain clamp_out {{ }}
{chains}    chain prerouting {{ type filter hook prerouting priority raw; policy accept; }}
    chain postrouting {{ type filter hook postrouting priority 0; policy accept; }}
    chain output {{ type filter hook output priority raw; policy accept; }}
    chain input {{ type filter hook input priority raw; policy accept; }}
}}
flush set ip6 xsp_ha closed6
flush set ip6 xsp_ha closed4
{flushes}table ip6 xsp_ha {{
    set closed6 {{ typeof @nh,512,128; flags interval; elements = {{ {closed6} }}; }}
    set closed4 {{ typeof @nh,448,32; flags interval; elements = {{ {closed4} }}; }}
    chain inside6 {{
        {open6}
    }}
    chain perhaps_closed6 {{ @nh,512,128 @closed6 counter name inner_destination drop; goto tunnelled6; }}
    chain inside6_limit {{ @nh,576,128 @closed6 counter name inner_destination drop; goto tunnelled6_limit; }}
    chain inside4 {{ @nh,448,32 @closed4 counter name inner_destination drop; goto tunnelled4; }}
    chain inside4_limit {{ @nh,512,32 @closed4 counter name inner_destination drop; goto tunnelled4_limit; }}
    chain prerouting {{
        ip6 nexthdr 41 ip6 daddr {address} jump inside6
        meta l4proto udp accept
        meta l4proto tcp goto clamp_in
        ip6 nexthdr 4 ip6 daddr {address} jump inside4
        ip6 nexthdr 60 @nh,320,16 0x2900 ip6 daddr {address} jump inside6_limit
        ip6 nexthdr 60 @nh,320,16 0x0400 ip6 daddr {address} jump inside4_limit
        ip6 daddr {{ {ends} }} counter name elsewhere drop
        meta l4proto {{ 4, 41 }} ip6 daddr {address} goto unbelieved
        meta l4proto 135 ip6 daddr {address} goto signalling
        ip6 daddr {address} meta l4proto {{ 47, 97, 115, 137, 143 }} counter name tunnel_payload drop
        ip6 daddr {address} ip6 nexthdr != 60 meta l4proto != {{ 58, 59 }} counter name tunnel_payload drop
    }}
    chain unbelieved {{
        exthdr frag exists counter name fragment drop
        {but_self_test}counter name source_check
        drop
    }}
    chain signalling {{
        update @signalling {{ ip6 saddr & ffff:ffff:ffff:: limit rate over {of_one}/second burst {of_one} packets }} \
            counter name signalling_of_one drop
        limit rate over {of_all}/second burst {of_all} packets counter name signalling_of_all drop
    }}
    chain sent6 {{ ip6 hoplimit set {hop_limit} goto counted6; }}
    chain sent4 {{ ip6 hoplimit set {hop_limit} goto counted4; }}
    chain postrouting {{
        ip6 nexthdr 41 ip6 saddr {address} goto sent6
        meta l4proto udp accept
        meta l4proto tcp goto clamp_out
        ip6 nexthdr 4 ip6 saddr {address} goto sent4
        ip6 daddr {{ {ends} }} counter name elsewhere drop
    }}
    chain output {{ icmpv6 type parameter-problem icmpv6 code 2 @th,112,8 60 drop; }}
    chain input {{
        ip6 daddr != {{ {address}, {ends} }} meta l4proto {{ 4, 41 }} counter name elsewhere drop
        exthdr frag exists goto pieces
    }}
    chain pieces {{
        meta l4proto != 255 accept
        counter name fragment drop
    }}
}}
"""
_HOOKED = ("prerouting", "postrouting", "output", "input")  # the text says where
_CHAINS = (
    *("pieces", "unbelieved", "signalling"),
    *("inside6", "perhaps_closed6", "inside6_limit", "inside4", "inside4_limit"),
    *("tunnelled6", "tunnelled6_limit", "tunnelled4", "tunnelled4_limit"),
    *("sent6", "sent4", "counted6", "counted4", "uncounted6", "uncounted4"),
)

# Fragments of a tunnelled packet would be decapsulated one by one. That a `tproxy` rule exists, in a chain which
# nothing enters, makes the kernel put fragments together before any other rule sees them; `notrack` before that leaves
# those to customers as they are. No connection is tracked.
_REASSEMBLY = """
table ip6 xsp_ha {{
    chain reassembly {{ }}
    chain apart {{ type filter hook prerouting priority -450; policy accept; }}
}}
flush chain ip6 xsp_ha reassembly
flush chain ip6 xsp_ha apart
table ip6 xsp_ha {{
    chain reassembly {{ meta l4proto udp tproxy to :1; }}
    chain apart {{
        ip6 nexthdr 41 accept
        ip6 nexthdr 17 accept
        ip6 nexthdr 6 accept
        exthdr frag exists ip6 daddr != {address} ip6 daddr {{ {aggregates} }} notrack
    }}
}}
"""

_SETS = """
table ip6 xsp_ha {{
    set ok{name} {{ typeof ip6 saddr . @nh,{source},{bits}; }}
    set in{name} {{ typeof @nh,{source},{bits}; size {size}; flags dynamic; counter; }}
    set out{name} {{ typeof @nh,{source},{bits}; size {size}; flags dynamic; counter; }}
    chain in{name} {{ }}
    chain in{name}_limit {{ }}
    chain out{name} {{ }}
}}
flush chain ip6 xsp_ha in{name}
flush chain ip6 xsp_ha in{name}_limit
flush chain ip6 xsp_ha out{name}
"""
# A full set makes `update` give up on its rule alone; the packet passes by the next.
_PATHS = """
table ip6 xsp_ha {{
    chain in{name} {{
        update @in{name} {{ @nh,{source},{bits}{mask} }}
        counter name tunnelled_in {believed}accept
    }}
    chain in{name}_limit {{
        update @in{name} {{ @nh,{source_limit},{bits}{mask} }}
        counter name tunnelled_in {believed}accept
    }}
    chain out{name} {{
        {shield}
        update @out{name} {{ @nh,{destination},{bits}{mask} }}
        counter name tunnelled_out accept
    }}
    chain tunnelled{version} {{ ip6 saddr . @nh,{source},{bits}{mask} @ok{name} goto in{name}; }}
    chain tunnelled{version}_limit {{ ip6 saddr . @nh,{source_limit},{bits}{mask} @ok{name} goto in{name}_limit; }}
    chain uncounted{version} {{ ip6 daddr . @nh,{destination},{bits}{mask} @ok{name} goto out{name}; }}
}}
"""
# A lookup counts with the element that it finds: by the prefix alone, for nobody else's packets leave from our address
# here. Home addresses have none, for the self-test's shield is behind it.
_COUNTED = """
add rule ip6 xsp_ha counted{version} @nh,{destination},{bits}{mask} @out{name} counter name tunnelled_out accept
"""
_END = """
add rule ip6 xsp_ha counted6 goto uncounted6
add rule ip6 xsp_ha counted4 goto uncounted4
"""

# The home address of the self-test's customer is one of our own aggregate, to which anybody may send. Only what comes
# from the test's host, whose address nobody else knows, leaves for its device. To see to it here costs other customers
# nothing but a comparison for what goes to their home addresses.
_SHIELD = "ip6 daddr {care_of} @nh,{source},128 != {host:#034x} counter name self_test drop"

# The kernel knows no type 2 routing header and would answer each with a Parameter Problem (RFC 6275 6.4).
_ROUTER = """
table ip6 xsp_mr {{
    counter elsewhere {{ }}
    chain input {{ type filter hook input priority raw; policy accept; }}
    chain pieces {{ }}
    chain output {{ type filter hook output priority raw; policy accept; }}
    chain postrouting {{ type filter hook postrouting priority 0; policy accept; }}
}}
flush chain ip6 xsp_mr output
flush chain ip6 xsp_mr input
flush chain ip6 xsp_mr pieces
flush chain ip6 xsp_mr postrouting
table ip6 xsp_mr {{
    chain output {{
        icmpv6 type parameter-problem @th,112,8 43 @th,400,8 2 drop
    }}
    chain postrouting {{
        ip6 daddr {address} ip6 nexthdr {{ 4, 41 }} ip6 hoplimit set {hop_limit}
    }}
}}
"""

# Where one device ends every tunnel, only the home agent may send through one. With seg6 a policy rule says so, and
# tunnels of the office's own, such as DS-Lite, are none of our business.
_ROUTER_BELIEVES = """
table ip6 xsp_mr {{
    chain input {{
        ip6 saddr {address} accept
        meta l4proto {{ 4, 41 }} counter name elsewhere drop
        exthdr frag exists goto pieces
    }}
    chain pieces {{
        meta l4proto != 255 accept
        counter name elsewhere drop
    }}
}}
"""

_OUTER_BITS, _OPTION_BITS = (
    320,
    64,
)  # an IPv6 header, and a Tunnel Encapsulation Limit option behind it (RFC 2473 4.1.1)
_SOURCE_BITS = {6: 64, 4: 96}  # where the source begins in the header inside
_DESTINATION_BITS = 192  # and in that of IPv6 the destination
_ADDRESS_OCTETS = {6: 16, 4: 4}
_VERSIONS = (6, 4)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

# Never a packet's destination beyond a router: unspecified, loopback, link-local, multicast, and in IPv4 reserved.
_NEVER = {
    6: (Prefix(bytes(16), 127), Prefix(b"\xfe\x80" + bytes(14), 10), Prefix(b"\xff" + bytes(15), 8)),
    4: (
        Prefix(bytes(4), 8),
        Prefix(bytes((127, 0, 0, 0)), 8),
        Prefix(bytes((169, 254, 0, 0)), 16),
        Prefix(bytes((224, 0, 0, 0)), 3),
    ),
}


def kinds(set_names: Iterable[str]) -> set[Kind]:
    """The kinds that have their sets, and so their rules: all came in one transaction."""
    found = set()
    for name in set_names:
        if name.startswith("ok"):
            version, _, length = name.removeprefix("ok").rpartition("_")
            found.add(Kind(int(version or 6), int(length)))
    return found


def home_agent(plan: SitePlan, driver: Driver, present: Iterable[Kind]) -> str:
    """The home agent's table with these kinds of prefixes; loading it again keeps sets, elements and counters."""
    of_one, of_all = plan.signalling
    line = plan.self_test
    script = _HOME_AGENT.format(
        chains="".join(f"    chain {name} {{ }}\n" for name in _CHAINS),
        flushes="".join(f"flush chain ip6 xsp_ha {name}\n" for name in (*_HOOKED, *_CHAINS)),
        address=ipaddress.IPv6Address(plan.home_agent_address),
        ends=", ".join(str(ipaddress.IPv6Address(tunnel_end(plan.home_agent_address, one))) for one in _VERSIONS),
        hop_limit=TUNNEL_HOP_LIMIT,
        of_one=of_one,
        of_all=of_all,
        but_self_test=f"ip6 saddr != {ipaddress.IPv6Address(line.care_of)} " if line else "",
        open6="\n        ".join(_open6(plan.closed)),
        closed6=_ranges(6, plan.closed),
        closed4=_ranges(4, plan.closed),
    )
    return script + "".join(_of_kind(kind, plan, driver) for kind in sorted(present)) + _END


def _of_kind(kind: Kind, plan: SitePlan, driver: Driver) -> str:
    """Sets and rules for one kind of prefix. Home addresses come with the self-test's shield.

    At a site without IPv4 such a network of a customer has its sets, for it is no fault of the customer, and no rules.
    """
    bits = 8 * kind.octets
    source = _OUTER_BITS + _SOURCE_BITS[kind.version]
    end = ipaddress.IPv6Address(tunnel_end(plan.home_agent_address, kind.version))
    line = plan.self_test if kind == HOME_ADDRESSES else None
    script = _SETS
    if kind.version == 6 or plan.serves_ipv4:
        script += _PATHS if kind == HOME_ADDRESSES else _PATHS + _COUNTED
    return script.format(
        name=kind,
        version=kind.version,
        bits=bits,
        mask="" if bits == kind.length else f" & {((1 << kind.length) - 1) << (bits - kind.length):#x}",
        source=source,
        source_limit=source + _OPTION_BITS,
        destination=source + 8 * _ADDRESS_OCTETS[kind.version],
        size=COUNTED_MAX,
        believed=f"ip6 daddr set {end} " if driver is Driver.SEG6 else "",
        shield="" if line is None else _shield(line),
    )


def _shield(line: SelfTestLine) -> str:
    return _SHIELD.format(
        care_of=ipaddress.IPv6Address(line.care_of),
        host=int.from_bytes(line.host, "big"),
        source=_OUTER_BITS + _SOURCE_BITS[6],
    )


def _open6(closed: Iterable[Prefix]) -> list[str]:
    """Rules that have the set of intervals asked, which is slow, only about what may be in it.

    Of global unicast addresses that is told by the last two or four octets within the length of a closed network: so
    much, where it is aligned, the kernel compares quickest.
    """
    heads: dict[tuple[int, int], set[str]] = {}
    for network in _networks(6, closed):
        end = network.prefixlen // 16 * 16
        if not network.overlaps(_GLOBAL_UNICAST):
            continue
        if not end:
            return ["goto perhaps_closed6"]
        bits = 16 if end % 32 else 32
        head = int(network.network_address) >> (128 - end) & ((1 << bits) - 1)
        heads.setdefault((_OUTER_BITS + _DESTINATION_BITS + end - bits, bits), set()).add(f"{head:#x}")
    if len(heads) > CLOSED_LENGTHS:
        return ["goto perhaps_closed6"]
    return [
        f"@nh,{_OUTER_BITS + _DESTINATION_BITS},8 & 0xe0 != 0x20 goto perhaps_closed6",
        *(
            f"@nh,{at},{bits} {{ {', '.join(sorted(some))} }} goto perhaps_closed6"
            for (at, bits), some in heads.items()
        ),
        "goto tunnelled6",
    ]


def reassembly(plan: SitePlan) -> str:
    """What makes tunnelled packets whole that come in fragments; to be loaded after `home_agent`."""
    return _REASSEMBLY.format(
        address=ipaddress.IPv6Address(plan.home_agent_address), aggregates=elements(6, plan.aggregates) or "::/128"
    )


def router(home_agent_address: bytes, driver: Driver) -> str:
    """The mobile router's table."""
    script = _ROUTER + (_ROUTER_BELIEVES if driver is Driver.IP6TNL else "")
    return script.format(address=ipaddress.IPv6Address(home_agent_address), hop_limit=TUNNEL_HOP_LIMIT)


def elements(version: int, prefixes: Iterable[Prefix]) -> str:
    """Those of a version, without overlaps, as the elements of a set."""
    return ", ".join(map(str, _networks(version, prefixes)))


def _ranges(version: int, closed: Iterable[Prefix]) -> str:
    """Where no tunnelled packet may go, as numbers: the set is asked for octets of a packet, not for an address."""
    octets = _ADDRESS_OCTETS[version]
    networks = _networks(version, (*_NEVER[version], *closed))
    return ", ".join(
        f"{int(network.network_address):#0{2 + 2 * octets}x}-{int(network.broadcast_address):#0{2 + 2 * octets}x}"
        for network in networks
    )


def _networks(version: int, prefixes: Iterable[Prefix]) -> list[ipaddress.IPv6Network] | list[ipaddress.IPv4Network]:
    octets = _ADDRESS_OCTETS[version]
    of_version = [prefix for prefix in prefixes if len(prefix.network) == octets]
    if version == 6:
        return list(ipaddress.collapse_addresses(ipaddress.IPv6Network(tuple(prefix)) for prefix in of_version))
    return list(ipaddress.collapse_addresses(ipaddress.IPv4Network(tuple(prefix)) for prefix in of_version))


def trial() -> str:
    """Everything that a home agent needs, in a table of its own that is gone again at the end."""
    plan = SitePlan(bytes(16), (Prefix(bytes(4), 8),), (), closed=(Prefix(b"\x20" + bytes(15), 56),))
    script = home_agent(plan, Driver.SEG6, (Kind(6, 56), Kind(4, 24)))
    return script.replace(HOME_AGENT_TABLE, TRIAL_TABLE) + f"delete table ip6 {TRIAL_TABLE}\n"
