"""The drivers: how this kernel makes and ends tunnels. Values only.

    seg6     segment routing with one segment, which is plain RFC 2473 on the wire; no device; decapsulation by End.DT6
    ip6tnl   one `external` tunnel device; for kernels without seg6 by nexthop objects

Both use the same nexthop objects, groups and routes. Which one serves is found by trying (`probe`).
"""

from enum import StrEnum
from typing import NamedTuple


class Driver(StrEnum):
    """By name, in the order in which they are tried."""

    SEG6 = "seg6"
    IP6TNL = "ip6tnl"


class Tunnels(NamedTuple):
    """How tunnels are made here: out of which interface (index); `entry`, their outer source, with ip6tnl only."""

    interface: int
    entry: bytes | None = None
