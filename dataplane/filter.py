"""The nftables side: which tunnelled packets a home agent believes, and what a mobile router must not say.

Owns the tables `ip6 xsp_ha` and `ip6 xsp_mr`. The source check (RFC 6275 10.4.5, RFC 3963 9): the outer source must
be a care-of address of the customer that owns the inner source. One hash set per prefix length in use, keyed by both;
with and without the encapsulation limit option (RFC 2473 4.1.1) that stock tunnels send. The tables are loaded by
`nft` when the daemon starts; elements change by netlink.
"""

import ipaddress
import subprocess

from dataplane.entry import Prefix
from dataplane.errors import DataPlaneError
from dataplane.plan import Element

HOME_AGENT_TABLE, ROUTER_TABLE = "xsp_ha", "xsp_mr"
COUNTERS = ("source_check", "tunnel_payload", "tunnelled_in")

_HOME_AGENT = """
table ip6 xsp_ha {{
    counter source_check {{ }}
    counter tunnel_payload {{ }}
    counter tunnelled_in {{ }}
    chain tunnelled {{ }}
    chain tunnelled_limit {{ }}
    chain prerouting {{
        type filter hook prerouting priority raw; policy accept;
    }}
    chain postrouting {{
        type filter hook postrouting priority 0; policy accept;
    }}
}}
flush chain ip6 xsp_ha prerouting
flush chain ip6 xsp_ha postrouting
table ip6 xsp_ha {{
    chain prerouting {{
        ip6 daddr {address} ip6 nexthdr 41 jump tunnelled
        ip6 daddr {address} ip6 nexthdr 60 @nh,320,16 0x2900 jump tunnelled_limit
        ip6 daddr {address} meta l4proto 41 counter name source_check drop
        ip6 daddr {address} meta l4proto {{ 4, 47, 137 }} counter name tunnel_payload drop
    }}
    chain postrouting {{
        ip6 saddr {address} meta l4proto 41 ip6 hoplimit set 64
    }}
}}
"""

_LENGTH = """
table ip6 xsp_ha {{
    set ok{length} {{ typeof ip6 saddr . @nh,384,{length}; }}
    chain tunnelled {{ ip6 saddr . @nh,384,{length} @ok{length} counter name tunnelled_in accept; }}
    chain tunnelled_limit {{ ip6 saddr . @nh,448,{length} @ok{length} counter name tunnelled_in accept; }}
}}
"""

# The kernel knows no type 2 routing header and would answer each with a Parameter Problem (RFC 6275 6.4).
_ROUTER = """
table ip6 xsp_mr {{
    chain output {{
        type filter hook output priority raw; policy accept;
    }}
}}
flush chain ip6 xsp_mr output
table ip6 xsp_mr {{
    chain output {{
        icmpv6 type parameter-problem @th,112,8 43 @th,400,8 2 drop
    }}
}}
"""


def load_home_agent(address: bytes) -> None:
    """Make the home agent's table; sets and their elements stay as they are. Raises: DataPlaneError."""
    _nft(_HOME_AGENT.format(address=ipaddress.IPv6Address(address)))


def load_length(length: int) -> None:
    """Make the set for one prefix length and the rules that ask it, once for each. Raises: DataPlaneError."""
    _nft(_LENGTH.format(length=length))


def load_router() -> None:
    """Make the mobile router's table. Raises: DataPlaneError."""
    _nft(_ROUTER.format())


def delete_table(name: str) -> None:
    """Remove a table if it is there. Raises: DataPlaneError."""
    _nft(f"table ip6 {name}\ndelete table ip6 {name}\n")


def lengths_in_use() -> set[int]:
    """The prefix lengths that have a set already. Raises: DataPlaneError."""
    listed = _nft("list sets ip6\n")
    lines = [line.strip() for line in _of_table(listed, HOME_AGENT_TABLE)]
    return {int(line.split()[1][2:]) for line in lines if line.startswith("set ok")}


def element_key(element: Element) -> tuple[str, bytes]:
    """The set and the key of one element of the source check."""
    care_of, (network, length) = element
    size = (length + 7) // 8
    inside = (int.from_bytes(network, "big") >> (128 - length)).to_bytes(size, "big")
    return set_name(length), care_of + inside + bytes(-size % 4)


def set_name(length: int) -> str:
    """The set for inner sources inside prefixes of this length."""
    return f"ok{length}"


def element(length: int, key: bytes) -> Element:
    """The element that a key of the set for `length` stands for."""
    size = (length + 7) // 8
    network = int.from_bytes(key[16 : 16 + size], "big") << (128 - length)
    return key[:16], Prefix(network.to_bytes(16, "big"), length)


def _of_table(listed: str, table: str) -> list[str]:
    inside, lines = False, []
    for line in listed.splitlines():
        if line.startswith("table "):
            inside = line.split()[2] == table
        elif inside:
            lines.append(line)
    return lines


def _nft(script: str) -> str:
    try:
        done = subprocess.run(["nft", "-f", "-"], input=script, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError as error:
        raise DataPlaneError("filtering tunnelled packets", "the program nft is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise DataPlaneError("filtering tunnelled packets", "nft did not end within 20 s") from error
    if done.returncode:
        raise DataPlaneError("filtering tunnelled packets", done.stderr.strip().splitlines()[0])
    return done.stdout
