"""Which address or prefix is given next, by what the registry holds; the choice itself is `allocation.py`'s.

Home addresses lie in the home prefix, the first /64 of the first aggregate.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from sqlalchemy import select
from sqlalchemy.orm import Session

from xsp import allocation
from xsp.allocation import Exhausted, Network
from xsp.errors import Refused
from xsp.exits import Exit
from xsp.tables import AggregateRow, CustomerRow, PrefixRow

HOME_PREFIX_LENGTH = 64
FIRST_HOME_OFFSET = 0x50  # addresses before it are for home agents
IPV4_LENGTH_MAX = 30


def aggregates(session: Session) -> list[IPv6Network]:
    """The aggregates of IPv6, sorted."""
    return of_version(IPv6Network, session.scalars(select(AggregateRow.prefix)))


def ipv4_aggregates(session: Session) -> list[IPv4Network]:
    """The aggregates of IPv4, sorted."""
    return of_version(IPv4Network, session.scalars(select(AggregateRow.prefix)))


def of_version(version: type[Network], texts: Iterable[str]) -> list[Network]:
    """Those of a version, sorted."""
    return sorted(found for found in map(ip_network, texts) if isinstance(found, version))


def choose_home_address(session: Session) -> IPv6Address:
    """The next free one. Raises: Refused."""
    taken = [IPv6Address(text) for text in session.scalars(select(CustomerRow.home_address))]
    home_prefix = _home_prefix(session)
    try:
        return allocation.first_address(home_prefix, taken, FIRST_HOME_OFFSET)
    except Exhausted as error:
        raise Refused(str(error), "Add an aggregate") from error


def choose_prefix(session: Session, length: int) -> IPv6Network:
    """A free mobile network prefix. Raises: Refused."""
    taken = of_version(IPv6Network, session.scalars(select(PrefixRow.prefix)))
    try:
        return allocation.first_fit(aggregates(session), [_home_prefix(session), *taken], length)
    except Exhausted as error:
        raise Refused(str(error), "Ask for a longer prefix, or add an aggregate") from error


def choose_ipv4(session: Session, length: int) -> IPv4Network:
    """A free network of IPv4. Raises: Refused."""
    if not 1 <= length <= IPV4_LENGTH_MAX:
        what = f"a customer cannot get a /{length} of IPv4"
        raise Refused(what, f"Use a length from 1 to {IPV4_LENGTH_MAX}", Exit.USAGE)
    taken = of_version(IPv4Network, session.scalars(select(PrefixRow.prefix)))
    try:
        return allocation.first_fit(ipv4_aggregates(session), taken, length)
    except Exhausted as error:
        raise Refused(str(error), "Ask for a longer prefix, or add an aggregate of IPv4") from error


def _home_prefix(session: Session) -> IPv6Network:
    known = aggregates(session)
    if not known:
        raise Refused("there is no aggregate to allocate from", "Run 'xsp aggregate add PREFIX' first")
    return IPv6Network((known[0].network_address, HOME_PREFIX_LENGTH))
