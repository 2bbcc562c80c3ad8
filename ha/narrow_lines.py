"""Customers' lines that are too narrow for a tunnel, for the log and for status. An edge: it logs."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from dataplane.narrow import NarrowLine
from runtime import log


def tell(line: NarrowLine) -> None:
    """Log what a router on the way said: an operator must act, for packets of some sizes vanish there."""
    log.get().error("line too narrow for a tunnel", needs=line.needs, **_row(line))


def rows(lines: Iterable[NarrowLine]) -> list[dict[str, Any]]:
    """A row for each."""
    return list(map(_row, lines))


def _row(line: NarrowLine) -> dict[str, Any]:
    inside = IPv4Address(line.inside) if len(line.inside) == 4 else IPv6Address(line.inside)
    return {"care_of": str(IPv6Address(line.exit)), "mtu": line.mtu, "customer_address": str(inside)}
