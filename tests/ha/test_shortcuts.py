"""What is skipped because nothing can have changed: the short way and the long way always say the same."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataplane.entry import Prefix
from ha import customer_table, forwarding
from ha.cache import BindingCache
from ha.customer_table import CustomerTable
from ha.record import OLDEST, Binding, Network, Record, Register, Version
from ha.undo import Undo
from tests.ha.cast import CARE_OF_1, CARE_OF_2, CARE_OF_3, HOME, MNP, OTHER_MNP, POLICY, customer
from tests.ha.test_files import PUBLIC, ROW, table

NOW = 100.0


def record(cells: dict[int, Binding], network: Network) -> Record:
    register = Register(OLDEST, network)
    return Record(HOME, cells, OLDEST, Register(OLDEST, 1), register, 0, NOW + 500)


times = st.sampled_from([NOW - 1, NOW, NOW + 1, NOW + 60])
bindings = st.builds(
    Binding,
    st.builds(Version, st.integers(1, 3), st.sampled_from(["a", "b"])),
    st.sampled_from([None, CARE_OF_1, CARE_OF_2, CARE_OF_3]),
    times,
    st.integers(0, 1),
    st.booleans(),
)
networks = st.builds(Network, st.booleans(), st.sampled_from([None, (MNP,), (OTHER_MNP,)]))
cells = st.dictionaries(st.integers(0, 3), bindings, max_size=3)


@given(cells, networks, st.data())
def test_a_record_called_unchanged_wants_the_same_entry(
    old: dict[int, Binding], network: Network, data: st.DataObject
) -> None:
    new = {
        bid: data.draw(st.one_of(bindings, st.just(replace(cell, version=Version(4, "a"), expires_at=NOW + 90))))
        for bid, cell in old.items()
    }
    before, after = record(old, network), record(new, data.draw(st.one_of(networks, st.just(network))))
    if forwarding.unchanged(before, after, NOW):
        wanted = [forwarding.entry(one, customer(), POLICY, NOW) for one in (before, after)]
        assert wanted[0] == wanted[1]


def test_a_refresh_is_called_unchanged_and_a_first_registration_is_not() -> None:
    old = record({1: Binding(Version(1, "a"), CARE_OF_1, NOW + 10)}, Network(True, None))
    new = record({1: Binding(Version(2, "a"), CARE_OF_1, NOW + 70)}, Network(True, None))
    assert forwarding.unchanged(old, new, NOW)
    assert not forwarding.unchanged(None, new, NOW)


def test_a_record_refreshed_often_is_due_once_and_not_before_its_time() -> None:
    cache, undo = BindingCache(), Undo()
    for expires_at in (NOW + 10, NOW + 20, NOW + 30):
        cache.put(record({1: Binding(Version(1, "a"), CARE_OF_1, expires_at)}, Network(True, None)), undo)
    assert list(cache.due(NOW + 10, undo)) == []
    assert len(list(cache.due(NOW + 30, undo))) == 1
    assert list(cache.due(NOW + 40, undo)) == []


def test_a_record_that_ends_sooner_than_it_did_is_due_sooner() -> None:
    cache, undo = BindingCache(), Undo()
    for expires_at in (NOW + 30, NOW + 10):
        cache.put(record({1: Binding(Version(1, "a"), CARE_OF_1, expires_at)}, Network(True, None)), undo)
    assert cache.next_expiry() == NOW + 10
    assert len(list(cache.due(NOW + 10, undo))) == 1


def test_an_event_that_fails_leaves_what_is_due_as_it_was() -> None:
    cache, undo = BindingCache(), Undo()
    cache.put(record({1: Binding(Version(1, "a"), CARE_OF_1, NOW)}, Network(True, None)), undo)
    undo.commit()
    assert len(list(cache.due(NOW, undo))) == 1
    undo.roll_back()
    assert len(list(cache.due(NOW, undo))) == 1


def test_customers_that_a_new_table_leaves_alone_are_not_named_as_changed() -> None:
    other = {**ROW, "customer": "office2", "home_address": "2001:db8:f000::52", "prefixes": ["2001:db8:f200::/56"]}
    old = customer_table.parse(table(ROW, other), PUBLIC, "default")
    new = customer_table.parse(table(ROW, {**other, "state": "suspended"}, version=8), PUBLIC, "default", old)
    assert new.customers[HOME] is old.customers[HOME]
    assert customer_table.changed(old, new) == [home for home in old.customers if home != HOME]
    assert set(customer_table.changed(old, CustomerTable(9, {}))) == set(old.customers)


def test_lines_alike_are_the_same_object_for_all_customers() -> None:
    other = {**ROW, "customer": "office2", "home_address": "2001:db8:f000::52", "prefixes": ["2001:db8:f200::/56"]}
    [one, two] = customer_table.parse(table(ROW, other), PUBLIC, "default").customers.values()
    assert one.uplinks is two.uplinks
    assert one.prefixes == (Prefix(*MNP),) != two.prefixes
