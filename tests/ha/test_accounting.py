"""Volumes by prefix become rows by customer, and a long answer comes in pages of one reading."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dataplane.entry import Prefix, Volume
from dataplane.errors import DataPlaneError
from ha import accounting
from ha.accounting_command import AccountingCommand
from ha.customer_table import Customer, CustomerTable
from runtime.control import Refusal


def customer(number: int) -> Customer:
    network = IPv6Network((int(IPv6Address("2001:db8:f100::")) + (number << 72), 56))
    prefix = Prefix(network.network_address.packed, 56)
    home = IPv6Address(int(IPv6Address("2001:db8:f000::")) + 0x1000 + number).packed
    return Customer(f"c{number}", home, (prefix,), {}, {}, True, True, False)


FIRST, SECOND = customer(1), customer(2)
CUSTOMERS = {one.home_address: one for one in (SECOND, FIRST)}
VOLUMES = {
    Prefix(FIRST.home_address, 128): Volume(1, 100, 2, 200),
    FIRST.prefixes[0]: Volume(10, 1000, 20, 2000),
    Prefix(bytes(16), 56): Volume(9, 9, 9, 9),
}


def command(volumes: Mapping[Prefix, Volume], customers: Mapping[bytes, Customer]) -> AccountingCommand:
    async def read(prefixes: Iterable[Prefix] | None) -> Mapping[Prefix, Volume]:
        wanted = volumes.keys() if prefixes is None else prefixes
        return {prefix: volumes[prefix] for prefix in wanted if prefix in volumes}

    return AccountingCommand(read, lambda: customers)


def test_home_address_and_networks_of_a_customer_are_added_up() -> None:
    assert accounting.rows(CUSTOMERS.values(), VOLUMES) == [
        {
            "home_address": "2001:db8:f000::1001",
            "customer": "c1",
            "sent_packets": 11,
            "sent_octets": 1100,
            "received_packets": 22,
            "received_octets": 2200,
        },
        {
            "home_address": "2001:db8:f000::1002",
            "customer": "c2",
            "sent_packets": 0,
            "sent_octets": 0,
            "received_packets": 0,
            "received_octets": 0,
        },
    ]


def test_the_table_for_people_names_everybody() -> None:
    lines = accounting.table(accounting.rows(CUSTOMERS.values(), VOLUMES)).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["2001:db8:f000::1001", "c1", "11", "1100", "22", "2200"]


def test_one_customer_is_answered_alone_and_a_stranger_is_refused() -> None:
    asked = command(VOLUMES, CUSTOMERS)
    answer = asyncio.run(asked.answer({"home_address": "2001:db8:f000::1001"}))
    assert answer == {"customers": accounting.rows([FIRST], VOLUMES), "next": None}
    for wrong in ("2001:db8:f000::9", "nonsense"):
        with pytest.raises(Refusal):
            asyncio.run(asked.answer({"home_address": wrong}))
    with pytest.raises(Refusal):
        asyncio.run(asked.answer({"start": "x"}))


def test_all_pages_together_are_one_reading() -> None:
    customers = {one.home_address: one for one in map(customer, range(2 * accounting.PAGE + 1))}
    volumes = {Prefix(home, 128): Volume(1, 1, 1, 1) for home in customers}
    asked = command(volumes, customers)
    found: list[dict[str, object]] = []
    start: int | None = 0
    pages = 0
    while start is not None:
        answer = asyncio.run(asked.answer({"start": start}))
        volumes.clear()  # what is counted meanwhile is for the next reading
        some, after = answer["customers"], answer["next"]
        assert isinstance(some, list) and (after is None or isinstance(after, int))
        found += some
        start, pages = after, pages + 1
    assert pages == 3 and len(found) == len(customers)
    assert all(row["sent_packets"] == 1 for row in found)


def test_a_silent_kernel_is_a_refusal() -> None:
    async def read(prefixes: Iterable[Prefix] | None) -> Mapping[Prefix, Volume]:
        raise DataPlaneError("reading", "no")

    with pytest.raises(Refusal, match="cannot be read"):
        asyncio.run(AccountingCommand(read, lambda: CUSTOMERS).answer({}))


def test_what_a_customer_loses_or_leaves_to_another_one_is_freed() -> None:
    one, two, three = (customer(number) for number in (1, 2, 3))
    before = CustomerTable(1, {each.home_address: each for each in (one, two, three)})
    smaller, renamed = replace(one, prefixes=one.prefixes[1:]), replace(two, name="somebody else")
    after = CustomerTable(2, {each.home_address: each for each in (smaller, renamed)})
    expected = {*one.prefixes[:1], *accounting.owned(two), *accounting.owned(three)}
    assert set(accounting.freed(before, after)) == expected
    assert accounting.freed(before, CustomerTable(2, {**before.customers})) == []
