"""The registry's tables (SQLAlchemy 2). Addresses are kept as text, so that an operator can read the database."""

from sqlalchemy import ForeignKey, ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

SCHEMA = 5  # raised with every change of these tables; another number in the database is refused
ONLY_TABLES_MISSING = (2, 3, 4)  # older schemas that lack nothing but whole tables: those are made when first opened


class Table(DeclarativeBase):
    """What all tables share."""


class Setting(Table):
    """A value of the office itself: schema, local_as, home_agent_address, table_version, signing_key (encrypted),
    authority (PEM), authority_key (encrypted).
    """

    __tablename__ = "setting"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str]


class AggregateRow(Table):
    """A prefix announced by every site."""

    __tablename__ = "aggregate"
    prefix: Mapped[str] = mapped_column(String(64), primary_key=True)


class SiteRow(Table):
    """A site; a reflector alone has no interface and no gateway."""

    __tablename__ = "site"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    home_agent_set: Mapped[str] = mapped_column(String(64))
    locator: Mapped[str] = mapped_column(String(64), unique=True)
    interface: Mapped[str] = mapped_column(String(15))
    gateway: Mapped[str] = mapped_column(String(64))
    router_id: Mapped[str] = mapped_column(String(15), unique=True)
    neighbours: Mapped[list["NeighbourRow"]] = relationship(order_by="NeighbourRow.address")
    reflector: Mapped["ReflectorRow | None"] = relationship()


class ReflectorRow(Table):
    """A site that passes on what the others say; `serves`: it is a home agent as well."""

    __tablename__ = "reflector"
    site: Mapped[str] = mapped_column(ForeignKey("site.name"), primary_key=True)
    serves: Mapped[bool]


class NeighbourRow(Table):
    """A BGP neighbour of a site; `communities` separated by blanks, `password` encrypted, empty if it has none."""

    __tablename__ = "neighbour"
    site: Mapped[str] = mapped_column(ForeignKey("site.name"), primary_key=True)
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    autonomous_system: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    communities: Mapped[str]
    prepend: Mapped[int]
    med: Mapped[int | None]
    password: Mapped[str]
    gtsm: Mapped[bool]
    bfd: Mapped[bool]
    mrai_s: Mapped[int]
    session: Mapped["SessionRow | None"] = relationship(cascade="all, delete-orphan")


class SessionRow(Table):
    """Addresses of ours in a session that is not simply one between the locator and IPv6; empty: as usual."""

    __tablename__ = "session"
    __table_args__ = (ForeignKeyConstraint(["site", "neighbour"], ["neighbour.site", "neighbour.address"]),)
    site: Mapped[str] = mapped_column(String(64), primary_key=True)
    neighbour: Mapped[str] = mapped_column(String(64), primary_key=True)
    local_address: Mapped[str] = mapped_column(String(64))
    next_hop: Mapped[str] = mapped_column(String(64))


class CertificateRow(Table):
    """A site's certificate, PEM, and its private key, encrypted; times in ISO 8601, `revoked_at` empty if never."""

    __tablename__ = "certificate"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    serial: Mapped[str] = mapped_column(String(40), unique=True)
    site: Mapped[str] = mapped_column(ForeignKey("site.name"))
    issued_at: Mapped[str] = mapped_column(String(40))
    not_after: Mapped[str] = mapped_column(String(40))
    certificate: Mapped[str]
    key: Mapped[str]
    revoked_at: Mapped[str] = mapped_column(String(40))


class CustomerRow(Table):
    """A customer: its home address, its key (encrypted) and its state."""

    __tablename__ = "customer"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    home_address: Mapped[str] = mapped_column(String(64), unique=True)
    spi: Mapped[int]
    algorithm: Mapped[str] = mapped_column(String(32))
    secret: Mapped[str]
    prefixes: Mapped[list["PrefixRow"]] = relationship(order_by="PrefixRow.prefix")
    uplinks: Mapped[list["UplinkRow"]] = relationship(order_by="UplinkRow.bid")


class PrefixRow(Table):
    """A mobile network prefix of a customer."""

    __tablename__ = "prefix"
    prefix: Mapped[str] = mapped_column(String(64), primary_key=True)
    customer: Mapped[str] = mapped_column(ForeignKey("customer.name"))


class UplinkRow(Table):
    """A line of a customer; `allowed_care_of` is a list of prefixes, separated by blanks."""

    __tablename__ = "uplink"
    __table_args__ = (UniqueConstraint("customer", "name"),)
    customer: Mapped[str] = mapped_column(ForeignKey("customer.name"), primary_key=True)
    bid: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(15))
    weight: Mapped[int]
    priority: Mapped[int]
    allowed_care_of: Mapped[str]


class AuditRow(Table):
    """One change: written in the same transaction."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(128))
    reason: Mapped[str]


class DoneRow(Table):
    """What an idempotency key has brought about, so that the same command again changes nothing."""

    __tablename__ = "done"
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    action: Mapped[str] = mapped_column(String(256))
    result: Mapped[str]
