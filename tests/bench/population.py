"""Many customers alike: their rows of the table, and their Binding Updates, signed, as a socket would deliver them.

Customer `i` has one MNP, two lines with a care-of address each, and a key of its own.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ha import customer_table
from ha.prefix import address_text, prefix_text
from mip6 import auth, ntp
from mip6.messages import BindingUpdate
from mip6.mhsocket import Datagram
from mip6.numbers import BindingUpdateFlag
from mip6.options import BindingIdentifier, MessageIdentification, MobileNodeIdentifier
from tests.ha.cast import HOME_AGENT, address

CUSTOMERS = 100_000
SPI = 256
ALGORITHM = "hmac-sha256-128"
REFRESH = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION | BindingUpdateFlag.MOBILE_ROUTER
FIRST = REFRESH | BindingUpdateFlag.OVERWRITE
LIFETIME_S = 300
OFFICE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OFFICE_PUBLIC = OFFICE.public_key().public_bytes_raw()
EXTENSION_OCTETS = 24


def _from(first: str, place: int, step_bits: int) -> bytes:
    return (int.from_bytes(address(first), "big") + (place << step_bits)).to_bytes(16, "big")


def home(customer: int) -> bytes:
    """The home address of a customer."""
    return _from("2001:db8:f000::1:0", customer, 0)


def prefix(customer: int) -> tuple[bytes, int]:
    """Its MNP."""
    return _from("2001:db8:f100::", customer, 72), 56


def care_of(customer: int, line: int) -> bytes:
    """The address of one of its lines, 1 or 2."""
    return _from(f"2001:db8:{line}:c::1:0", customer, 0)


def key(customer: int) -> bytes:
    """Its key, 32 octets."""
    return hashlib.sha256(customer.to_bytes(4, "big")).digest()


def public_key_text() -> str:
    """The key that the table is signed with, as a configuration names it."""
    return base64.b64encode(OFFICE_PUBLIC).decode()


def table_octets(customers: int, version: int = 1) -> bytes:
    """The table of the first `customers`, as the office publishes it."""
    rest = b"".join(rows(range(customers)))
    head = {"format": 1, "version": version, "set": "default", "generated_at": "2026-01-01T00:00:00Z"}
    head |= {"count": customers, "sha256": hashlib.sha256(rest).hexdigest()}
    signature = base64.b64encode(OFFICE.sign(customer_table.signed_octets(head))).decode()
    return json.dumps(head | {"signature": signature}).encode() + b"\n" + rest


def rows(customers: Iterable[int]) -> Iterator[bytes]:
    """The rows of these customers, a line each."""
    return map(_row, customers)


def _row(customer: int) -> bytes:
    secret = base64.b64encode(key(customer)).decode()
    lines = [
        {"bid": bid, "name": f"line{bid}", "weight": 1, "priority": 0, "allowed_care_of": [f"2001:db8:{bid}:c::/64"]}
        for bid in (1, 2)
    ]
    row = {
        "customer": f"office{customer}",
        "home_address": address_text(home(customer)),
        "prefixes": [prefix_text(prefix(customer))],
        "keys": [{"spi": SPI, "algorithm": ALGORITHM, "secret": secret, "not_after": None}],
        "uplinks": lines,
        "state": "active",
        "limits": {},
        "options": {"verify_care_of": True, "allow_nested": False, "require_authentication": True},
    }
    return json.dumps(row).encode() + b"\n"


def moved_care_of(customer: int, move: int) -> bytes:
    """The address of its first line after that many moves."""
    return care_of(customer + (move << 24), 1)


def mobility_header(
    customer: int,
    sequence: int,
    unix_s: float,
    flags: BindingUpdateFlag = REFRESH,
    secret: bytes | None = None,
    move: int = 0,
) -> bytes:
    """A bulk Binding Update for both lines, from the first, said at `unix_s`; signed with `secret` or the right key."""
    source = moved_care_of(customer, move)
    options = (
        BindingIdentifier(1, care_of=source),
        BindingIdentifier(2, care_of=care_of(customer, 2)),
        MobileNodeIdentifier(1, f"office{customer}@xsp.example".encode()),
        MessageIdentification(ntp.to_timestamp(unix_s)),
    )
    association = auth.SecurityAssociation(SPI, ALGORITHM, secret or key(customer))
    message = BindingUpdate(sequence, flags, LIFETIME_S, options)
    at_home = home(customer)
    return auth.encode_signed(message, association, source, at_home, at_home, HOME_AGENT)


def received(customer: int, octets: bytes) -> Datagram:
    """A mobility header of a customer behind its Home Address option, as `MobilitySocket.receive` gives it."""
    at_home = home(customer)
    extension = bytes((135, 2, 1, 2, 0, 0, 201, 16)) + at_home
    return Datagram(octets, care_of(customer, 1), HOME_AGENT, at_home, 1, None, 135, extension)


def first_registrations(customers: int, unix_s: float) -> Iterator[Datagram]:
    """Everybody's first Binding Update."""
    sign = partial(mobility_header, sequence=1, unix_s=unix_s, flags=FIRST)
    return (received(one, sign(one)) for one in range(customers))
