"""What an operator types -> values: addresses, prefixes, lines. A mistake says what is expected."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from xsp.model import Uplink

UPLINK_FORM = "NAME[:bid=N,weight=N,priority=N,allowed=PREFIX,allowed=PREFIX...]"


def address(text: str) -> IPv6Address:
    """An IPv6 address."""
    try:
        return IPv6Address(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no IPv6 address") from error


def any_address(text: str) -> IPv6Address | IPv4Address:
    """An address of IPv6 or IPv4."""
    try:
        return ip_address(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no address of IPv6 or IPv4") from error


def prefix(text: str) -> IPv6Network:
    """An IPv6 prefix without host bits."""
    try:
        return IPv6Network(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no IPv6 prefix ({error})") from error


def network(text: str) -> IPv6Network | IPv4Network:
    """A prefix of IPv6 or IPv4 without host bits."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no prefix ({error})") from error


def uplinks(texts: list[str]) -> "list[Uplink]":
    """Lines as `UPLINK_FORM`; a BID that is not given is the line's place in the list."""
    return [_uplink(text, place) for place, text in enumerate(texts, start=1)]


def _uplink(text: str, place: int) -> "Uplink":
    from xsp.model import Uplink

    name, _, rest = text.partition(":")
    numbers = {"bid": place, "weight": 1, "priority": 0}
    limits = {"bid": (1, 899), "weight": (1, 255), "priority": (0, 127)}
    allowed = []
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key == "allowed":
            allowed.append(prefix(value))
        elif key in numbers and value.isdigit() and limits[key][0] <= int(value) <= limits[key][1]:
            numbers[key] = int(value)
        else:
            raise typer.BadParameter(f"{item!r} in the line {text!r}: expected {UPLINK_FORM}")
    if not name or len(name) > 15 or not name.isascii() or "/" in name or " " in name:
        raise typer.BadParameter(f"{name!r} is no interface name: expected {UPLINK_FORM}")
    return Uplink(numbers["bid"], name, numbers["weight"], numbers["priority"], tuple(allowed))
