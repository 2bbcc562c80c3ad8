"""What a status says of the kernel beside what the home agent believes."""

from dataclasses import replace

import pytest

from dataplane.entry import ForwardingEntry
from ha import status
from tests.ha.cast import CARE_OF_1, CARE_OF_2, HOME, Router, Site, address, both_lines

NOW = 100.0
OTHER = address("2001:db8:f000::52")


def served() -> tuple[Site, dict[bytes, ForwardingEntry]]:
    site = Site()
    site.feed(Router().update(NOW, both_lines()), NOW)
    return site, dict(site.agent.cache.installed)


def test_a_kernel_that_holds_what_we_believe_differs_in_nothing() -> None:
    site, present = served()
    found = status.dumped(present, site.agent.cache.installed, status.shown(site.agent))
    assert (found.customers, found.different) == (1, 0)
    assert {path.care_of for path in found.entries[HOME].paths} == {CARE_OF_1, CARE_OF_2}


def test_what_is_missing_foreign_or_otherwise_is_counted_each() -> None:
    site, present = served()
    believed = {**site.agent.cache.installed, OTHER: replace(present[HOME], home_address=OTHER)}
    present[HOME] = replace(present[HOME], paths=present[HOME].paths[:1])
    present[bytes(16)] = replace(present[HOME], home_address=bytes(16))
    found = status.dumped(present, believed, status.shown(site.agent))
    assert (found.customers, found.different) == (2, 3)


def test_of_many_the_first_are_shown_in_order_whatever_the_kernel_holds() -> None:
    site, _ = served()
    homes = [bytes(12) + number.to_bytes(4, "big") for number in reversed(range(2 * status.BINDINGS_SHOWN))]
    for home in homes:
        site.agent.cache.records[home] = site.agent.cache.records[HOME]
    chosen = status.shown(site.agent)
    assert chosen == sorted(homes)[: status.BINDINGS_SHOWN]
    found = status.dumped({}, {}, chosen)
    assert found.entries == {}
    said = status.cache(site.agent, found)
    assert (said["records"], said["shown"]) == (2 * status.BINDINGS_SHOWN + 1, status.BINDINGS_SHOWN)


def test_the_one_that_is_asked_for_is_shown_alone_bound_or_not() -> None:
    site, present = served()
    first = bytes(16)  # who would be shown otherwise
    site.agent.cache.records[first] = site.agent.cache.records[HOME]
    assert status.shown(site.agent) == [first, HOME]
    chosen = status.shown(site.agent, "2001:DB8:f000:0::51")
    assert chosen == [HOME]
    found = status.dumped(present, site.agent.cache.installed, chosen)
    assert list(found.entries) == [HOME]
    assert status.cache(site.agent, found)["shown"] == 1
    del site.agent.cache.records[HOME]
    assert status.shown(site.agent, "2001:db8:f000::51") == [HOME]
    assert status.cache(site.agent, found)["shown"] == 0


def test_of_all_that_are_there_no_number_is_said() -> None:
    site, present = served()
    found = status.dumped(present, site.agent.cache.installed, status.shown(site.agent))
    assert "shown" not in status.cache(site.agent, found)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nonsense", "no home address"),
        ("", "no home address"),
        (5, "no home address"),
        ("192.0.2.1", "no home address"),
        ("2001:db8:f000::52", "no customer's home address here"),
    ],
)
def test_who_is_no_customer_is_not_shown_as_one_without_bindings(asked: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        status.shown(served()[0].agent, asked)
