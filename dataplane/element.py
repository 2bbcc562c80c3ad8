"""An element of the source check as one string of octets: which set it is in, then its key as the kernel has it. Pure.

    octet 0      the kind of its prefix: length in bits of IPv6, or 128 more of IPv4
    then         the care-of address
    then         as many octets of the network as the prefix reaches into, padded to a multiple of four

The inner source may lie in the prefix when the outer source is the care-of address. One string and not a tuple of
them, because there are four for each customer and all day long they are looked up: a string knows its hash.
"""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from dataplane.entry import Prefix

Element = bytes

_ADDRESS_OCTETS = {6: 16, 4: 4}
_IPV4_FROM = 128  # the code of a kind of IPv4 is so much more than its length


class Kind(NamedTuple):
    """Prefixes that share sets: IP version and length in bits. As text `56`, or for IPv4 `4_24`."""

    version: int
    length: int

    def __str__(self) -> str:
        return f"{self.length}" if self.version == 6 else f"4_{self.length}"

    @property
    def octets(self) -> int:
        """How many octets of an address such a prefix reaches into."""
        return (self.length + 7) // 8

    @property
    def code(self) -> bytes:
        """The first octet of this kind's elements."""
        return bytes((self.length if self.version == 6 else _IPV4_FROM + self.length,))

    def prefix(self, octets: bytes) -> Prefix:
        """The prefix of a key's octets, which may be padded at the end."""
        return Prefix(octets[: self.octets].ljust(_ADDRESS_OCTETS[self.version], b"\0"), self.length)

    def around(self, address: bytes) -> Prefix | None:
        """The prefix of this kind that an address lies in; None for one of the other version."""
        if len(address) != _ADDRESS_OCTETS[self.version]:
            return None
        rest = 8 * len(address) - self.length
        return Prefix((int.from_bytes(address, "big") >> rest << rest).to_bytes(len(address), "big"), self.length)


def kind_of(prefix: Prefix) -> Kind:
    """The kind of a prefix."""
    return Kind(6 if len(prefix.network) == 16 else 4, prefix.length)


@cache
def kind_coded(code: int) -> Kind:
    """The kind with this code."""
    return Kind(4, code - _IPV4_FROM) if code > _IPV4_FROM else Kind(6, code)


def combine(care_ofs: Iterable[bytes], prefixes: Iterable[tuple[bytes, int]]) -> list[Element]:
    """The elements of each care-of address with each prefix."""
    ends = []
    for network, length in prefixes:
        code, octets, padding = _shape(len(network), length)
        ends.append((code, network[:octets] + padding))
    return [code + care_of + end for care_of in care_ofs for code, end in ends]


@cache
def _shape(address_octets: int, length: int) -> tuple[bytes, int, bytes]:
    kind = kind_of(Prefix(bytes(address_octets), length))
    return kind.code, kind.octets, bytes(-kind.octets % 4)
