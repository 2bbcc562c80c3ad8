"""The BGP neighbours of the sites, each change one transaction like those of `xsp.registry`.

Owns their rules: an ISP's router has an AS number that is not ours, one of our own may have it (IBGP), a route
reflector must; a prepend would put our own AS into an IBGP path, where it is a loop; GTSM and BFD are for one hop.
Refuses what BGP or a configuration file could not carry. Returns plain JSON values without passwords.
"""

import re
from ipaddress import ip_address

from sqlalchemy.orm import Session

from bgp.route import MAX_COMMUNITIES, MAX_PREPEND, is_community
from xsp import roles
from xsp.database import ChangeOptions, Database, Json
from xsp.errors import Refused
from xsp.exits import Exit
from xsp.model import Address, Kind, Neighbour, Role
from xsp.tables import NeighbourRow, SessionRow, Setting, SiteRow
from xsp.vault import Vault

MAX_MRAI_S = 120
# What ExaBGP, FRR and BIRD all read as it stands; 80 octets is the kernel's limit (TCP_MD5SIG_MAXKEYLEN).
PASSWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+=@%,~^*-]{0,79}")
AS_TRANS = 23456  # RFC 6793 2: stands for numbers that an old speaker cannot read
_RESERVED_AS = {0, AS_TRANS, 65535, 2**32 - 1}  # RFC 7607, RFC 6793, RFC 7300


class Neighbours:
    """The neighbours in a registry's database."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def add(self, site: str, neighbour: Neighbour, password: str, options: ChangeOptions) -> Json:
        """A neighbour of a site; `password` (RFC 2385) is empty if it has none. Raises: Refused."""

        def add(session: Session) -> Json:
            row = _site_row(session, site)
            if roles.of_row(row) is Role.REFLECTOR:
                raise Refused(f"{site} is a reflector alone and speaks no BGP", "Name a home agent's site")
            check_neighbour(neighbour, row, int(session.get_one(Setting, "local_as").value))
            if password and not PASSWORD.fullmatch(password):
                what = "the password has characters that some BGP program cannot read, or is too long"
                remedy = "Use 1 to 80 letters, digits and _.:/+=@%,~^*-, a letter or digit first"
                raise Refused(what, remedy, Exit.USAGE)
            made = new_row(neighbour, self._vault.lock(password.encode()) if password else "")
            row.neighbours.append(made)
            return {"site": site, **neighbour_json(to_neighbour(made))}

        return self._database.change("neighbour add", f"{site} {neighbour.address}", add, options)

    def delete(self, site: str, address: Address, options: ChangeOptions) -> Json:
        """Forget a neighbour; the last one of a site stays. Raises: Refused."""

        def delete(session: Session) -> Json:
            row = _site_row(session, site)
            gone = _neighbour_row(row, address)
            if len(row.neighbours) == 1:
                raise Refused(f"{address} is the last neighbour of {site}", "Add another one first", Exit.CONFLICT)
            session.delete(gone)
            return {"site": site, **neighbour_json(to_neighbour(gone))}

        return self._database.change("neighbour delete", f"{site} {address}", delete, options)

    def show(self, site: str, address: Address) -> Json:
        """One neighbour. Raises: Refused if there is none."""
        return self._database.read(
            lambda session: {
                "site": site,
                **neighbour_json(to_neighbour(_neighbour_row(_site_row(session, site), address))),
            }
        )

    def passwords(self, site: str) -> dict[Address, str]:
        """The passwords of a site's neighbours that have one, for their rendered files only."""
        locked = self._database.read(
            lambda session: {one.address: one.password for one in _site_row(session, site).neighbours if one.password}
        )
        return {ip_address(address): self._vault.unlock(secret).decode() for address, secret in locked.items()}


def check_neighbour(neighbour: Neighbour, site: SiteRow, local_as: int) -> None:
    """Raises: Refused if `site` cannot have this neighbour."""
    address, number = neighbour.address, neighbour.autonomous_system
    internal = number == local_as
    if str(address) == site.locator:
        raise Refused(f"{address} is the locator of {site.name} itself", "Give the address of the other router")
    if not _is_a_hosts(address):
        raise Refused(f"{address} cannot be a neighbour", "Give the router's global address", Exit.USAGE)
    _check_ours(neighbour)
    if any(one.address == str(address) for one in site.neighbours):
        what = f"{site.name} has the neighbour {address} already"
        raise Refused(what, "Delete it first with 'xsp neighbour delete'", Exit.CONFLICT)
    if not 0 < number < 2**32 or number in _RESERVED_AS:
        raise Refused(f"{number} cannot be a neighbour's AS number", "Ask the router's operator for it", Exit.USAGE)
    if internal and neighbour.kind is Kind.ISP:
        raise Refused(f"AS {number} is our own, not an ISP's", "Use --kind own-router or route-reflector", 2)
    if neighbour.reflects:
        _check_reflector(neighbour, internal)
    if internal and neighbour.prepend:
        raise Refused("our AS cannot be prepended towards a router of our own AS", "Leave --prepend out", Exit.USAGE)
    for community in neighbour.communities:
        if not is_community(community):
            what = f"{community!r} is no BGP community"
            raise Refused(what, "Write it as 64500:1 or, large, as 64500:1:2", Exit.USAGE)
    if len(set(neighbour.communities)) != len(neighbour.communities) or len(neighbour.communities) > MAX_COMMUNITIES:
        remedy = f"Give each once, at most {MAX_COMMUNITIES}"
        raise Refused("a community is given twice, or there are too many", remedy, Exit.USAGE)
    limits = (("prepend", neighbour.prepend, MAX_PREPEND), ("MED", neighbour.med or 0, 2**32 - 1))
    for name, value, limit in (*limits, ("MRAI", neighbour.mrai_s, MAX_MRAI_S)):
        if not 0 <= value <= limit:
            raise Refused(f"{name} {value} is out of range", f"Use a number from 0 to {limit}", Exit.USAGE)


def _check_reflector(neighbour: Neighbour, internal: bool) -> None:
    """Raises: Refused what cannot be had from a route reflector, hops away."""
    if not internal:
        what = f"a route reflector is of our own AS, and AS {neighbour.autonomous_system} is not"
        raise Refused(what, "Give our own number with --as", Exit.USAGE)
    if neighbour.gtsm:
        raise Refused(
            "GTSM asks for one hop, and a route reflector may be further away", "Leave --gtsm out", Exit.USAGE
        )
    if neighbour.bfd:
        what = "BFD is for one hop (RFC 5881), and a route reflector may be further away"
        raise Refused(what, "Leave --bfd out: the hold time of 3 s finds a silent site", Exit.USAGE)


def _is_a_hosts(address: Address) -> bool:
    """Whether a router may have it on a link to another."""
    unfit = address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local
    return not (unfit or (address.version == 4 and address.is_reserved))


def _check_ours(neighbour: Neighbour) -> None:
    """Raises: Refused if our own addresses do not fit the session."""
    address, local, hop = neighbour.address, neighbour.local_address, neighbour.next_hop
    if local is None and address.version == 4:
        what = f"a session with {address} needs an IPv4 address of ours: the locator is none"
        raise Refused(what, "Give it with --local-address", Exit.USAGE)
    if local is not None and (local.version != address.version or local == address or not _is_a_hosts(local)):
        what = f"{local} cannot be our end of a session with {address}"
        raise Refused(what, f"Give the site's own IPv{address.version} address on that link", Exit.USAGE)
    if hop is not None and (hop.version == address.version or not _is_a_hosts(hop)):
        what = f"{hop} cannot be our next hop for the other family over a session of IPv{address.version}"
        raise Refused(what, f"Give an IPv{10 - address.version} address of the site, or leave it out", Exit.USAGE)


def new_row(neighbour: Neighbour, password: str) -> NeighbourRow:
    """The row of a neighbour; `password` is encrypted already."""
    return NeighbourRow(
        address=str(neighbour.address),
        autonomous_system=neighbour.autonomous_system,
        kind=str(neighbour.kind),
        communities=" ".join(neighbour.communities),
        prepend=neighbour.prepend,
        med=neighbour.med,
        password=password,
        gtsm=neighbour.gtsm,
        bfd=neighbour.bfd,
        mrai_s=neighbour.mrai_s,
        session=_session_row(neighbour),
    )


def _session_row(neighbour: Neighbour) -> SessionRow | None:
    local, hop = neighbour.local_address, neighbour.next_hop
    return SessionRow(local_address=str(local or ""), next_hop=str(hop or "")) if local or hop else None


def to_neighbour(row: NeighbourRow) -> Neighbour:
    """A row as a value, without its password."""
    local, hop = (row.session.local_address, row.session.next_hop) if row.session else ("", "")
    return Neighbour(
        ip_address(row.address),
        row.autonomous_system,
        Kind(row.kind),
        tuple(row.communities.split()),
        row.prepend,
        row.med,
        bool(row.password),
        row.gtsm,
        row.bfd,
        row.mrai_s,
        ip_address(local) if local else None,
        ip_address(hop) if hop else None,
    )


def in_order(neighbour: Neighbour) -> tuple[int, int]:
    """By what neighbours are sorted: IPv6 first, as aggregates are."""
    return (-neighbour.address.version, int(neighbour.address))


def neighbour_json(neighbour: Neighbour) -> Json:
    """A neighbour as `--json` shows it: never its password."""
    return {
        "address": str(neighbour.address),
        "as": neighbour.autonomous_system,
        "kind": str(neighbour.kind),
        "communities": list(neighbour.communities),
        "prepend": neighbour.prepend,
        "med": neighbour.med,
        "md5": neighbour.md5,
        "gtsm": neighbour.gtsm,
        "bfd": neighbour.bfd,
        "mrai_s": neighbour.mrai_s,
        "local_address": None if neighbour.local_address is None else str(neighbour.local_address),
        "next_hop": None if neighbour.next_hop is None else str(neighbour.next_hop),
    }


def _site_row(session: Session, name: str) -> SiteRow:
    row = session.get(SiteRow, name)
    if row is None:
        raise Refused(f"there is no site {name}", "List them with 'xsp site list'")
    return row


def _neighbour_row(site: SiteRow, address: Address) -> NeighbourRow:
    for row in site.neighbours:
        if row.address == str(address):
            return row
    raise Refused(f"{site.name} has no neighbour {address}", f"List them with 'xsp neighbour list {site.name}'")
