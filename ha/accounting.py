"""Who sent and received how much here: volumes by prefix, added up by customer. Pure.

The answer is made of pages, because that of 100,000 customers is too long to be written in one turn of the loop.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dataplane.entry import Prefix, Volume
from ha.customer_table import Customer, CustomerTable, changed
from ha.prefix import address_text

PAGE = 500  # customers: 5 ms of JSON


def owned(customer: Customer) -> tuple[Prefix, ...]:
    """The prefixes that a customer is counted by."""
    return (Prefix(customer.home_address, 128), *customer.prefixes)


def total(customer: Customer, volumes: Mapping[Prefix, Volume]) -> Volume:
    """What was counted for a customer."""
    sum_ = Volume()
    for prefix in owned(customer):
        if (volume := volumes.get(prefix)) is not None:
            sum_ = sum_.plus(volume)
    return sum_


def freed(before: CustomerTable, after: CustomerTable) -> list[Prefix]:
    """The prefixes that a customer had and does not have any more: who has them next is counted from nothing."""
    found = []
    for home in changed(before, after):
        if (former := before.customers.get(home)) is not None:
            present = after.customers.get(home)
            kept = owned(present) if present is not None and present.name == former.name else ()
            found += [prefix for prefix in owned(former) if prefix not in kept]
    return found


def rows(customers: Iterable[Customer], volumes: Mapping[Prefix, Volume]) -> list[dict[str, Any]]:
    """A row for each customer, by home address, with what was counted."""
    ordered = sorted(customers, key=lambda customer: customer.home_address)
    return [
        {
            "home_address": address_text(customer.home_address),
            "customer": customer.name,
            **total(customer, volumes)._asdict(),
        }
        for customer in ordered
    ]


def table(found: list[dict[str, Any]]) -> str:
    """Rows as text for people: one line a customer, columns as wide as they need."""
    head = ("home address", "customer", "sent: packets", "octets", "received: packets", "octets")
    lines = [head, *(tuple(f"{value}" for value in row.values()) for row in found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
