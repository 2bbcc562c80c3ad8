"""An uplink: one ISP line, its BID, and the care-of address it has at the moment.

Owns what makes a line usable and which of an interface's addresses becomes the care-of address. Refuses to know where
the facts come from (the kernel, a test) or what has been registered. RFC 5648 (BID), RFC 4862 5.4 (tentative
addresses), RFC 4193.
"""

from collections.abc import Iterable
from dataclasses import dataclass

# RFC 4007: scope of an address as the kernel numbers it (rtnetlink.h RT_SCOPE_UNIVERSE).
SCOPE_GLOBAL = 0
# linux/if_addr.h
FLAG_TEMPORARY = 0x01
FLAG_DUPLICATE = 0x08
FLAG_DEPRECATED = 0x20
FLAG_TENTATIVE = 0x40


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """One IPv6 address of an interface as the kernel reports it."""

    address: bytes
    scope: int
    flags: int


@dataclass(frozen=True, slots=True)
class Uplink:
    """A configured line and what is known about it now.

    `priority`: lower is better; lines of a worse priority carry outgoing traffic only when no better one lives.
    """

    bid: int
    name: str
    interface: str
    weight: int = 1
    priority: int = 0
    carrier: bool = False
    care_of: bytes | None = None
    gateway: bytes | None = None

    @property
    def usable(self) -> bool:
        """Whether packets can be sent over this line, as far as the kernel knows."""
        return self.carrier and self.care_of is not None and self.gateway is not None

    @property
    def fault(self) -> str:
        """Why the line is not usable, for an operator; empty if it is."""
        if not self.carrier:
            return "no carrier"
        if self.care_of is None:
            return "no global address"
        return "" if self.gateway is not None else "no default gateway"


def choose_care_of(addresses: Iterable[InterfaceAddress], current: bytes | None = None) -> bytes | None:
    """The address to register: the present one while it is good, else a stable one, else the smallest.

    Deprecated addresses are a last resort, because the ISP is about to take them away (RFC 4862 5.5.4).
    """
    candidates = sorted(
        (
            bool(entry.flags & FLAG_DEPRECATED),
            entry.address != current,
            bool(entry.flags & FLAG_TEMPORARY),
            entry.address,
        )
        for entry in addresses
        if _is_global_unicast(entry.address)
        and entry.scope == SCOPE_GLOBAL
        and not entry.flags & (FLAG_TENTATIVE | FLAG_DUPLICATE)
    )
    return candidates[0][3] if candidates else None


def _is_global_unicast(address: bytes) -> bool:
    """RFC 4291 2.4 and RFC 4193: 2000::/3 is what ISPs hand out; unique local addresses reach no home agent."""
    return len(address) == 16 and address[0] & 0xE0 == 0x20
