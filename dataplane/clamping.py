"""TCP segments that fit a tunnel: the texts of the rules that lower the MSS option of SYN segments (RFC 9293 3.7.1).

Theory of operation. Whoever opens or accepts a connection names the largest segment that it wants. Lowered on the way,
that is what the other side sends, so that no packet is too big for a line even where nobody hears that it is. Packets
into a tunnel are seen before they are encapsulated, those out of one when they leave; between two customers of one site
neither happens at the home agent, and the mobile routers do it. Pure.

The tables are those of `ruleset.py`, and for IPv4 `ip xsp_ha` and `ip xsp_mr`. Nothing is ever raised.
"""

from collections.abc import Sequence

from dataplane.entry import Prefix, RouterPlan, SitePlan
from dataplane.ruleset import HOME_AGENT_TABLE, ROUTER_TABLE, elements

_FAMILIES = {"ip6": 6, "ip": 4}
_HEADERS = {"ip6": 40 + 40 + 20, "ip": 40 + 20 + 20}  # the tunnel's, the packet's, TCP's; octets

# The home agent's chains for IPv6 are its table's own (`ruleset.py`), entered by TCP: a hook more costs each packet.
_HOOKS = """
table {family} {table} {{
    chain clamp_in {{ type filter hook prerouting priority mangle; policy accept; }}
    chain clamp_out {{ type filter hook postrouting priority mangle; policy accept; }}
}}
"""
_EMPTY = """
flush chain {family} {table} clamp_in
flush chain {family} {table} clamp_out
"""
_RULES = """
table {family} {table} {{
    chain clamp_in {{ tcp flags & (syn|rst) == syn {incoming} tcp option maxseg size set {mss}; }}
    chain clamp_out {{ tcp flags & (syn|rst) == syn {outgoing} tcp option maxseg size set {mss}; }}
}}
"""


def of_home_agent(plan: SitePlan) -> str:
    """The rules for packets to and from customers; without `clamp_mtu` none, and those of before go."""
    return _script(HOME_AGENT_TABLE, plan.aggregates, plan.clamp_mtu, "daddr", "saddr")


def of_router(plan: RouterPlan) -> str:
    """The rules for packets from and to the mobile networks."""
    return _script(ROUTER_TABLE, plan.prefixes, plan.clamp_mtu, "saddr", "daddr")


def _script(table: str, networks: Sequence[Prefix], mtu: int, into: str, out: str) -> str:
    """`into`: which address of a packet that goes into a tunnel is in the networks; `out`: of one that comes out."""
    script = ""
    for family, version in _FAMILIES.items():
        own = elements(version, networks)
        if (table, family) != (HOME_AGENT_TABLE, "ip6"):
            script += _HOOKS.format(family=family, table=table)
        script += _EMPTY.format(family=family, table=table)
        if mtu and own:
            matches = [f"{family} {one} {{ {own} }}" for one in (into, out)]
            mss = mtu - _HEADERS[family]
            script += _RULES.format(family=family, table=table, mss=mss, incoming=matches[0], outgoing=matches[1])
        elif family == "ip":
            script += f"delete table ip {table}\n"
    return script
