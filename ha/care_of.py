"""Which care-of addresses a site uses. Care-of addresses are claims, also an authenticated customer's and a peer's.

Owns the reasons for status 174 (RFC 6275, invalid care-of address). Asked twice for each binding: when a BU brings
it, and when a record, from whichever site, becomes a forwarding entry.
"""

from ha.customer_table import Customer
from ha.prefix import Prefix, is_global_unicast, within
from ha.site import Policy


def refusal(care_of: bytes, bid: int, customer: Customer, policy: Policy) -> str | None:
    """Why `care_of` is no care-of address for the line `bid` of this customer; None if it is one."""
    if not is_global_unicast(care_of):
        return "care_of_not_global_unicast"
    if care_of == policy.home_agent_address or care_of in policy.locators:
        return "care_of_is_home_agent"
    if within(customer.prefixes, care_of):
        return "care_of_inside_own_prefix"
    if not customer.allow_nested and within(policy.aggregates, care_of):
        return "care_of_inside_aggregate"
    allowed = _allowed(bid, customer)
    if allowed and not within(allowed, care_of):
        return "care_of_not_allowed"
    return None


def _allowed(bid: int, customer: Customer) -> tuple[Prefix, ...]:
    """Where the care-of address of this BID may lie; empty: anywhere.

    A BID that the table does not know, a plain binding's too, may be on any line that it does know.
    """
    uplink = customer.uplinks.get(bid)
    if uplink:
        return uplink.allowed_care_of
    lines = customer.uplinks.values()
    if not all(line.allowed_care_of for line in lines):
        return ()
    return tuple(prefix for line in lines for prefix in line.allowed_care_of)
