"""Chooses a free block: first fit over sorted free ranges. Pure and deterministic; explains a refusal.

The caller holds the database's write lock, so that choosing and taking are one step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

Network = TypeVar("Network", IPv4Network, IPv6Network)


@dataclass(frozen=True, slots=True)
class Exhausted(Exception):
    """No block of `length` is free in `parents`; `used` is the share taken, `longest` the largest free block."""

    length: int
    parents: tuple[IPv4Network, ...] | tuple[IPv6Network, ...]
    used: float
    longest: IPv4Network | IPv6Network | None

    def __str__(self) -> str:
        where = ", ".join(str(parent) for parent in self.parents) or "no aggregate"
        largest = f"the largest free block is {self.longest}" if self.longest else "nothing is free"
        return f"no /{self.length} is free in {where}: {self.used:.1%} is in use and {largest}"


def first_fit(parents: Iterable[Network], taken: Iterable[Network], length: int) -> Network:
    """The lowest free block of `length` in the lowest parent that has one. Raises: Exhausted."""
    parents = tuple(sorted(parents))
    taken = sorted(taken)
    for parent in parents:
        if length < parent.prefixlen:
            continue
        size = 1 << (parent.max_prefixlen - length)
        for start, end in free_ranges(parent, taken):
            block = -(-start // size) * size
            if block + size <= end:
                return type(parent)((block, length))
    raise Exhausted(length, parents, _used(parents, taken), _largest(parents, taken))


def free_ranges(parent: Network, taken: Iterable[Network]) -> Iterator[tuple[int, int]]:
    """Free address ranges (first, behind last) of `parent`; `taken` is sorted."""
    at, end = int(parent.network_address), int(parent.broadcast_address) + 1
    for block in taken:
        first, behind = int(block.network_address), int(block.broadcast_address) + 1
        if behind <= at or first >= end:
            continue
        if first > at:
            yield at, first
        at = max(at, behind)
    if at < end:
        yield at, end


def first_address(parent: IPv6Network, taken: Iterable[IPv6Address], start: int) -> IPv6Address:
    """The lowest free address of `parent` from offset `start` on. Raises: Exhausted."""
    used = {int(address) for address in taken}
    base = int(parent.network_address)
    for offset in range(start, min(parent.num_addresses, start + len(used) + 1)):
        if base + offset not in used:
            return IPv6Address(base + offset)
    raise Exhausted(128, (parent,), 1.0, None)


def _used(parents: tuple[Network, ...], taken: list[Network]) -> float:
    whole = sum(parent.num_addresses for parent in parents)
    free = sum(end - start for parent in parents for start, end in free_ranges(parent, taken))
    return 1 - free / whole if whole else 1.0


def _largest(parents: tuple[Network, ...], taken: list[Network]) -> Network | None:
    """The largest aligned block that is free."""
    blocks = [
        (length, parent, start, end)
        for parent in parents
        for length in range(parent.prefixlen, parent.max_prefixlen + 1)
        for start, end in free_ranges(parent, taken)
    ]
    for length, parent, start, end in sorted(blocks, key=lambda one: one[0]):
        size = 1 << (parent.max_prefixlen - length)
        block = -(-start // size) * size
        if block + size <= end:
            return type(parent)((block, length))
    return None
