"""Everything the office does, each as one transaction: the change, its refusals, its audit entry.

Owns the rules: prefixes lie inside aggregates, home addresses in the home prefix (the first /64 of the first
aggregate), nothing overlaps, names are given once. Returns plain JSON values without secrets.
"""

import hmac
import ipaddress
import re
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from xsp import addresses, roles
from xsp.certificates import issue_in
from xsp.database import ChangeOptions, Database, Json
from xsp.errors import Refused
from xsp.exits import Exit
from xsp.model import AuditEntry, Customer, Office, Site, Uplink
from xsp.neighbours import check_neighbour, in_order, neighbour_json, new_row, to_neighbour
from xsp.signing import new_signing_key
from xsp.tables import SCHEMA, AggregateRow, AuditRow, CustomerRow, PrefixRow, Setting, SiteRow, UplinkRow
from xsp.vault import Vault

FIRST_SPI = 256  # RFC 4285 5: those below are reserved
SECRET_OCTETS = {"hmac-sha256-128": 32, "hmac-sha1-96": 16}
MNP_LENGTH_MIN, MNP_LENGTH_MAX = 40, 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
ROUTER_IDS = ipaddress.IPv4Network("192.0.2.0/24")  # only has to be unique among the speakers of our AS


class Registry:
    """The office's registry. `open` one that exists, or `create` it."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database = database
        self.vault = vault

    @classmethod
    def create(cls, url: str, local_as: int, options: ChangeOptions) -> Json:
        """Make a registry, its key file and its signing key; on any failure nothing is left."""
        if not 1 <= local_as < 2**32:
            raise Refused(f"{local_as} is no AS number", "Use a number from 1 to 4294967295", Exit.USAGE)
        database = Database(url)
        result = {"database": url, "as": local_as}
        if options.dry_run:
            return result
        database.create()
        try:
            vault = Vault.create(database.key_file)
        except BaseException:
            database.remove()
            raise
        settings = {"schema": str(SCHEMA), "local_as": str(local_as), "table_version": "0"}
        settings["signing_key"] = vault.lock(new_signing_key())

        def fill(session: Session) -> Json:
            session.add_all(Setting(name=name, value=value) for name, value in settings.items())
            return result

        return database.change("init", url, fill, options)

    @classmethod
    def open(cls, url: str) -> "Registry":
        """Use a registry that exists. Raises: Refused."""
        database = Database(url)
        database.check()
        return cls(database, Vault.open(database.key_file))

    # --- aggregates -------------------------------------------------------------------------------------------------

    def add_aggregate(self, prefix: IPv6Network | IPv4Network, options: ChangeOptions) -> Json:
        """A prefix that every site announces; of IPv4: one that every site forwards, announced by other means."""

        def add(session: Session) -> Json:
            for known in map(ip_network, session.scalars(select(AggregateRow.prefix))):
                if known.overlaps(prefix):
                    raise Refused(f"{prefix} overlaps the aggregate {known}", "Use a prefix outside it", Exit.CONFLICT)
            if isinstance(prefix, IPv4Network):
                if (
                    prefix.prefixlen > addresses.IPV4_LENGTH_MAX
                    or not (prefix.is_global or prefix.is_private)
                    or prefix.is_multicast
                ):
                    raise Refused(f"{prefix} cannot be an aggregate", "Use a unicast prefix", Exit.USAGE)
            elif prefix.prefixlen > addresses.HOME_PREFIX_LENGTH - 8 or (
                not prefix.is_global and not prefix.subnet_of(_DOCUMENTATION)
            ):
                raise Refused(
                    f"{prefix} cannot be an aggregate", "Use a global unicast prefix of at most /56", Exit.USAGE
                )
            session.add(AggregateRow(prefix=str(prefix)))
            return {"prefix": str(prefix)}

        return self.database.change("aggregate add", str(prefix), add, options)

    def aggregates(self) -> list[IPv6Network]:
        """The aggregates of IPv6, sorted."""
        return self.database.read(addresses.aggregates)

    def ipv4_aggregates(self) -> list[IPv4Network]:
        """The aggregates of IPv4, sorted."""
        return self.database.read(addresses.ipv4_aggregates)

    def office(self) -> Office:
        """The xSP itself. The home agents' anycast address is the first of the first aggregate, behind its zero."""

        def ask(session: Session) -> Office:
            aggregates = addresses.aggregates(session)
            anycast = aggregates[0].network_address + 1 if aggregates else None
            return Office(int(_setting(session, "local_as")), anycast)

        return self.database.read(ask)

    # --- sites ------------------------------------------------------------------------------------------------------

    def add_site(self, site: Site, options: ChangeOptions) -> Json:
        """A home agent's site; its router id is allocated and its first certificate issued."""

        def add(session: Session) -> Json:
            _check_name(site.name)
            if session.get(SiteRow, site.name):
                raise Refused(f"the site {site.name} is there already", "Use another name", Exit.CONFLICT)
            if session.scalar(select(SiteRow).where(SiteRow.locator == str(site.locator))):
                raise Refused(f"{site.locator} is another site's locator", "Each site has its own", Exit.CONFLICT)
            if any(site.locator in aggregate for aggregate in addresses.aggregates(session)):
                raise Refused(f"the locator {site.locator} lies in an aggregate", "Use the hosting ISP's address")
            used = set(session.scalars(select(SiteRow.router_id)))
            router_id = next((str(one) for one in ROUTER_IDS.hosts() if str(one) not in used), None)
            if router_id is None:
                raise Refused("no router id is left", "Remove a site first")
            row = SiteRow(
                name=site.name,
                home_agent_set=site.home_agent_set,
                locator=str(site.locator),
                interface=site.interface,
                gateway=str(site.gateway or ""),
                router_id=router_id,
                reflector=roles.new_row(site),
            )
            for neighbour in site.neighbours:
                check_neighbour(neighbour, row, int(_setting(session, "local_as")))
                row.neighbours.append(new_row(neighbour, ""))
            session.add(row)
            session.flush()
            issue_in(session, self.vault, site.name)
            return site_json(_site(row))

        return self.database.change("site add", site.name, add, options)

    def sites(self) -> list[Site]:
        """All sites by name."""
        return self.database.read(
            lambda session: [_site(row) for row in session.scalars(select(SiteRow).order_by(SiteRow.name))]
        )

    def site(self, name: str) -> Site:
        """One site. Raises: Refused if there is none of that name."""
        for site in self.sites():
            if site.name == name:
                return site
        known = ", ".join(site.name for site in self.sites()) or "none"
        raise Refused(f"there is no site {name}", f"Known sites: {known}")

    # --- customers --------------------------------------------------------------------------------------------------

    def add_customer(
        self,
        name: str,
        prefix_length: int,
        uplinks: Sequence[Uplink],
        algorithm: str,
        options: ChangeOptions,
        ipv4_length: int | None = None,
    ) -> Json:
        """A customer with a home address, a mobile network prefix and a key, all allocated in one transaction.

        With `ipv4_length` also a network of IPv4.
        """

        def add(session: Session) -> Json:
            _check_name(name)
            if session.get(CustomerRow, name):
                raise Refused(f"the customer {name} is there already", "Use another name", Exit.CONFLICT)
            if not MNP_LENGTH_MIN <= prefix_length <= MNP_LENGTH_MAX:
                what = f"a customer cannot get a /{prefix_length}"
                raise Refused(what, f"Use a length from {MNP_LENGTH_MIN} to {MNP_LENGTH_MAX}", Exit.USAGE)
            _check_uplinks(uplinks)
            prefixes = [str(addresses.choose_prefix(session, prefix_length))]
            if ipv4_length is not None:
                prefixes.append(str(addresses.choose_ipv4(session, ipv4_length)))
            row = CustomerRow(
                name=name,
                state="active",
                home_address=str(addresses.choose_home_address(session)),
                spi=(session.scalar(select(func.max(CustomerRow.spi))) or FIRST_SPI - 1) + 1,
                algorithm=algorithm,
                secret=self.vault.lock(secrets.token_bytes(SECRET_OCTETS[algorithm])),
                prefixes=[PrefixRow(prefix=prefix) for prefix in prefixes],
                uplinks=[_uplink_row(uplink) for uplink in uplinks],
            )
            session.add(row)
            return customer_json(_customer(row))

        return self.database.change("customer add", name, add, options)

    def set_customer_state(self, name: str, state: str, options: ChangeOptions) -> Json:
        """Suspend a customer or make it active again; the sites learn it with the next published table."""

        def change(session: Session) -> Json:
            row = _customer_row(session, name)
            row.state = state
            return customer_json(_customer(row))

        return self.database.change(f"customer {state}", name, change, options)

    def customers(self) -> list[Customer]:
        """All customers by name."""
        return self.database.read(
            lambda session: [_customer(row) for row in session.scalars(select(CustomerRow).order_by(CustomerRow.name))]
        )

    def customer(self, name: str) -> Customer:
        """One customer. Raises: Refused if there is none of that name."""
        return self.database.read(lambda session: _customer(_customer_row(session, name)))

    def secret(self, name: str) -> bytes:
        """A customer's key, for its own router's file and the published table only."""
        return self.vault.unlock(self.database.read(lambda session: _customer_row(session, name).secret))

    def secrets(self) -> dict[str, bytes]:
        """All keys by customer."""
        rows = self.database.read(lambda session: session.execute(select(CustomerRow.name, CustomerRow.secret)).all())
        return {name: self.vault.unlock(secret) for name, secret in rows}

    # --- table and audit --------------------------------------------------------------------------------------------

    def signing_key(self) -> bytes:
        """The raw Ed25519 key that signs customer tables."""
        return self.vault.unlock(self.database.read(lambda session: _setting(session, "signing_key")))

    def cookie_key(self, home_agent_set: str) -> bytes:
        """What the sites of a set prove care-of addresses with: the same each time, without a place in the database."""
        return hmac.digest(self.signing_key(), b"care-of cookie of set " + home_agent_set.encode(), "sha256")

    def next_table_version(self, options: ChangeOptions) -> int:
        """The version of a table about to be published; it only grows."""

        def raise_version(session: Session) -> Json:
            row = session.get_one(Setting, "table_version")
            row.value = str(int(row.value) + 1)
            return {"version": int(row.value)}

        return int(self.database.change("table publish", "", raise_version, options)["version"])

    def audit(self, limit: int) -> list[AuditEntry]:
        """The last changes, newest first."""
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        return self.database.read(
            lambda session: [
                AuditEntry(row.at, row.actor, row.action, row.subject, row.reason) for row in session.scalars(query)
            ]
        )


_DOCUMENTATION = IPv6Network("2001:db8::/32")


def _setting(session: Session, name: str) -> str:
    return session.get_one(Setting, name).value


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Refused(
            f"{name!r} is no name", "Use at most 32 letters, digits, '-' and '_', a letter or digit first", Exit.USAGE
        )


def _check_uplinks(uplinks: Sequence[Uplink]) -> None:
    bids, names = [uplink.bid for uplink in uplinks], [uplink.name for uplink in uplinks]
    if not uplinks:
        raise Refused("a customer needs at least one line", "Add --uplink NAME", Exit.USAGE)
    if len(set(bids)) != len(bids) or len(set(names)) != len(names):
        raise Refused("two lines have the same name or BID", "Give each its own", Exit.USAGE)


def _customer_row(session: Session, name: str) -> CustomerRow:
    row = session.get(CustomerRow, name)
    if row is None:
        raise Refused(f"there is no customer {name}", "List them with 'xsp customer list'")
    return row


def _uplink_row(uplink: Uplink) -> UplinkRow:
    return UplinkRow(
        bid=uplink.bid,
        name=uplink.name,
        weight=uplink.weight,
        priority=uplink.priority,
        allowed_care_of=" ".join(str(prefix) for prefix in uplink.allowed_care_of),
    )


def _site(row: SiteRow) -> Site:
    return Site(
        row.name,
        row.home_agent_set,
        IPv6Address(row.locator),
        row.interface,
        IPv6Address(row.gateway) if row.gateway else None,
        row.router_id,
        tuple(sorted(map(to_neighbour, row.neighbours), key=in_order)),
        roles.of_row(row),
    )


def _customer(row: CustomerRow) -> Customer:
    uplinks = tuple(
        Uplink(one.bid, one.name, one.weight, one.priority, tuple(map(IPv6Network, one.allowed_care_of.split())))
        for one in row.uplinks
    )
    texts = [one.prefix for one in row.prefixes]
    prefixes: list[IPv6Network | IPv4Network] = [*addresses.of_version(IPv6Network, texts)]
    prefixes += addresses.of_version(IPv4Network, texts)
    return Customer(
        row.name, row.state, IPv6Address(row.home_address), tuple(prefixes), uplinks, row.spi, row.algorithm
    )


def site_json(site: Site) -> Json:
    """A site as `--json` shows it."""
    return {
        "name": site.name,
        "set": site.home_agent_set,
        "locator": str(site.locator),
        "interface": site.interface,
        "role": str(site.role),
        "gateway": None if site.gateway is None else str(site.gateway),
        "router_id": site.router_id,
        "mrai_s": site.mrai_s,
        "neighbours": [neighbour_json(neighbour) for neighbour in site.neighbours],
    }


def customer_json(customer: Customer) -> Json:
    """A customer as `--json` shows it: never its key."""
    return {
        "name": customer.name,
        "state": customer.state,
        "home_address": str(customer.home_address),
        "prefixes": [str(prefix) for prefix in customer.prefixes],
        "spi": customer.spi,
        "algorithm": customer.algorithm,
        "uplinks": [
            {
                "bid": uplink.bid,
                "name": uplink.name,
                "weight": uplink.weight,
                "priority": uplink.priority,
                "allowed_care_of": [str(prefix) for prefix in uplink.allowed_care_of],
            }
            for uplink in customer.uplinks
        ],
    }
