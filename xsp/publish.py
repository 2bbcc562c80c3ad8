"""The customer table that sites live by: JSON Lines, a signed header first. The reader (`ha`) owns the format.

The signature covers the header without itself, as compact JSON with sorted keys; the header carries the digest of the
rest.
"""

import base64
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from xsp.model import Customer
from xsp.signing import sign

FORMAT = 1


def render_table(
    customers: Sequence[Customer], keys: Mapping[str, bytes], version: int, home_agent_set: str, signing_key: bytes
) -> str:
    """The whole file; `keys` are the customers' secrets by name, so the file is one too."""
    rest = "".join(_compact(_row(customer, keys[customer.name])) + "\n" for customer in customers)
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": version,
        "set": home_agent_set,
        "generated_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "count": len(customers),
        "sha256": hashlib.sha256(rest.encode()).hexdigest(),
    }
    signature = sign(signing_key, json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    header["signature"] = base64.b64encode(signature).decode()
    return _compact(header) + "\n" + rest


def _row(customer: Customer, key: bytes) -> dict[str, Any]:
    secret = base64.b64encode(key).decode()
    return {
        "customer": customer.name,
        "home_address": str(customer.home_address),
        "prefixes": [str(prefix) for prefix in customer.prefixes],
        "keys": [{"spi": customer.spi, "algorithm": customer.algorithm, "secret": secret, "not_after": None}],
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
        "state": customer.state,
        "limits": {},
        "options": {"verify_care_of": True, "allow_nested": False, "require_authentication": True},
    }


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
