"""The customer table: what each home address may do, as the office published it.

Owns the file format of the table (JSON Lines, the reader's side) and its signature check (Ed25519). Refuses a table
that it does not understand in full: the caller keeps the old one and says why. RFC 3963 6.1.2 calls this the prefix
table.
"""

import base64
import binascii
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dataplane.entry import Prefix
from ha.prefix import address, network
from mip6.auth import SecurityAssociation

FORMAT = 1


NO_ENDS: Mapping[int, float] = MappingProxyType({})


class TableRefused(Exception):
    """The table cannot be used. Field: `why`, one sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class UplinkRight:
    """What one line (BID) may do: where its care-of address may lie (empty: anywhere) and its share of the traffic."""

    bid: int
    name: str
    weight: int
    priority: int
    allowed_care_of: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer of the table: rights and keys of one mobile router.

    `prefixes` may be of IPv6 or IPv4; a Binding Update names only those of IPv6 (RFC 3963 4.3), the others go with it.
    `bids_max`: how many BIDs at once, 0: one care-of address without a BID; None: as many as the site allows.
    `key_ends`: until when a key is good, Unix seconds by SPI; one that is not in there has no end.
    """

    name: str
    home_address: bytes
    prefixes: tuple[Prefix, ...]
    associations: Mapping[int, SecurityAssociation]
    uplinks: Mapping[int, UplinkRight]
    active: bool
    require_authentication: bool
    allow_nested: bool
    verify_care_of: bool = True
    key_ends: Mapping[int, float] = field(default_factory=lambda: NO_ENDS)
    bids_max: int | None = None

    def association(self, spi: int, unix_s: float) -> SecurityAssociation | None:
        """The key of this SPI, if it is good now; several may be, while one takes over from another."""
        ends_at = self.key_ends.get(spi)
        return None if ends_at is not None and ends_at <= unix_s else self.associations.get(spi)


@dataclass(frozen=True, slots=True)
class CustomerTable:
    """A whole published table; customers by home address."""

    version: int
    customers: Mapping[bytes, Customer]


EMPTY = CustomerTable(0, {})


def parse(octets: bytes, public_key: bytes, home_agent_set: str, before: CustomerTable = EMPTY) -> CustomerTable:
    """Read a published table, check its digest, signature and set.

    May run in a thread beside a loop: no single step of it holds the interpreter for long, however large the table.

    Args:
        octets: the whole file.
        public_key: the office's raw Ed25519 key, 32 octets.
        home_agent_set: the set this site serves; a table of another set is refused.
        before: the table in force. Who is the same in both is the same object in both, so that `changed` is quick.
    Raises: TableRefused.
    """
    head, rest_at = octets[: octets.find(b"\n") + 1], octets.find(b"\n") + 1
    header = _object(head, "its first line")
    if header.get("format") != FORMAT:
        raise TableRefused(f"its format is {header.get('format')!r}, this program reads {FORMAT}")
    if header.get("set") != home_agent_set:
        raise TableRefused(f"it is for the set {header.get('set')!r}, this site serves {home_agent_set!r}")
    digest = hashlib.sha256(memoryview(octets)[rest_at:]).hexdigest()
    if header.get("sha256") != digest:
        raise TableRefused("its digest does not match its content: the file is cut or changed")
    _check_signature(header, public_key)
    table: dict[bytes, Customer] = {}
    parts = _Shared()
    stream, count = io.BytesIO(octets), 0
    stream.seek(rest_at)
    for count, line in enumerate(stream, start=1):
        customer = _customer(line, count + 1, parts)
        known = before.customers.get(customer.home_address)
        table[customer.home_address] = known if known == customer else customer
    if header.get("count") != count:
        raise TableRefused(f"it announces {header.get('count')!r} customers and holds {count}")
    if len(table) != count:
        raise TableRefused("two of its customers have the same home address")
    return CustomerTable(int(header["version"]), table)


def changed(before: CustomerTable, after: CustomerTable) -> list[bytes]:
    """The home addresses whose customer is not the same in both tables."""
    old, new = before.customers, after.customers
    found = [home for home, customer in new.items() if old.get(home) is not customer]
    return found + [home for home in old if home not in new]


def signed_octets(header: Mapping[str, Any]) -> bytes:
    """What the signature covers: the header without `signature`, as compact JSON with sorted keys."""
    unsigned = {key: value for key, value in header.items() if key != "signature"}
    return json.dumps(unsigned, sort_keys=True, separators=(",", ":")).encode()


def _check_signature(header: Mapping[str, Any], public_key: bytes) -> None:
    try:
        signature = base64.b64decode(str(header.get("signature", "")), validate=True)
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, signed_octets(header))
    except (InvalidSignature, binascii.Error, ValueError, RecursionError) as error:
        raise TableRefused("its signature is not of the office whose public key is configured here") from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TableRefused(f"{where} is not JSON") from error
    if not isinstance(value, dict):
        raise TableRefused(f"{where} is not a JSON object")
    return value


class _Key(msgspec.Struct, frozen=True):
    """A key in a row. `not_after`: ISO 8601 with an offset."""

    spi: int
    algorithm: str
    secret: str
    not_after: str | None = None


class _Uplink(msgspec.Struct, frozen=True):
    """A line in a row."""

    bid: int
    name: str
    weight: int
    priority: int
    allowed_care_of: list[str]


class _Options(msgspec.Struct, frozen=True):
    """Where a customer differs from most."""

    require_authentication: bool = True
    allow_nested: bool = False
    verify_care_of: bool = True


class _Limits(msgspec.Struct, frozen=True):
    """See `Customer`."""

    bids: Annotated[int, msgspec.Meta(ge=0)] | None = None


_NO_LIMITS, _USUAL = _Limits(), _Options()


class _Row(msgspec.Struct, frozen=True):
    """A customer as a line of the file has it; what a newer office adds is ignored."""

    customer: str
    home_address: str
    prefixes: list[str]
    keys: list[_Key]
    uplinks: list[_Uplink]
    state: str
    options: _Options = _USUAL
    limits: _Limits = _NO_LIMITS


_ROWS = msgspec.json.Decoder(_Row)


class _Shared:
    """What many customers have alike is made once: lines of one kind, and the prefixes of the ISPs.

    Saves a third of the memory, and what is asked for every Binding Update stays in the processor's cache.
    """

    def __init__(self) -> None:
        self._uplinks: dict[UplinkRight, UplinkRight] = {}
        self._groups: dict[tuple[UplinkRight, ...], Mapping[int, UplinkRight]] = {}
        self._prefixes: dict[str, Prefix] = {}

    def allowed(self, text: str) -> Prefix:
        """A prefix in which care-of addresses may lie."""
        found = self._prefixes.get(text)
        if found is None:
            found = self._prefixes[text] = Prefix(*network(text))
            if len(found.network) != 16:
                raise ValueError(f"{text} is not of IPv6")
        return found

    def uplinks(self, rows: Iterable[_Uplink]) -> Mapping[int, UplinkRight]:
        """The lines of a customer, by BID."""
        alike = tuple(self._uplink(row) for row in rows)
        found = self._groups.get(alike)
        if found is None:
            found = self._groups[alike] = {one.bid: one for one in alike}
        return found

    def _uplink(self, row: _Uplink) -> UplinkRight:
        allowed = tuple(self.allowed(text) for text in row.allowed_care_of)
        one = UplinkRight(row.bid, sys.intern(row.name), row.weight, row.priority, allowed)
        return self._uplinks.setdefault(one, one)


def _customer(line: bytes, number: int, shared: _Shared) -> Customer:
    try:
        row = _ROWS.decode(line)
        customer = Customer(
            name=row.customer,
            home_address=address(row.home_address),
            prefixes=tuple(Prefix(*network(text)) for text in row.prefixes),
            associations={key.spi: _association(key) for key in row.keys},
            uplinks=shared.uplinks(row.uplinks),
            active=row.state == "active",
            require_authentication=row.options.require_authentication,
            allow_nested=row.options.allow_nested,
            verify_care_of=row.options.verify_care_of,
            key_ends={key.spi: _instant(key.not_after) for key in row.keys if key.not_after} or NO_ENDS,
            bids_max=row.limits.bids,
        )
    except (ValueError, RecursionError) as error:  # msgspec's are
        raise TableRefused(f"line {number} is not a customer this program understands ({error})") from error
    if not customer.require_authentication and not _is_bounded(customer):
        raise TableRefused(f"line {number} needs no authentication and has a line without allowed_care_of")
    return customer


def _is_bounded(customer: Customer) -> bool:
    """Without authentication, only where its care-of addresses may lie keeps a customer from being taken over."""
    return bool(customer.uplinks) and all(line.allowed_care_of for line in customer.uplinks.values())


def _association(key: _Key) -> SecurityAssociation:
    return SecurityAssociation(key.spi, sys.intern(key.algorithm), base64.b64decode(key.secret, validate=True))


def _instant(text: str) -> float:
    """ISO 8601 with an offset, in Unix seconds."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text} names no time zone")
    return instant.timestamp()
