"""The steps between two entries of a customer: which, how few, and in which order."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.driver import Tunnels
from dataplane.entry import ForwardingEntry, Path, Prefix
from dataplane.message import Message
from dataplane.plan import (
    LAST_ID,
    SLOT_IDS,
    SLOTS,
    Installed,
    Steps,
    difference,
    elements,
    nexthop_id,
    slot_and_place,
    undo,
)
from dataplane.rtnetlink import nexthop_named, parse_nexthop
from tests.dataplane.elements import parts

BY = Tunnels(1)
HOME = bytes.fromhex("20010db8f00000000000000000000051")
MNP = Prefix(bytes.fromhex("20010db8f10000000000000000000000"), 56)
MORE = Prefix(bytes.fromhex("20010db8f20000000000000000000000"), 56)
CARE_OF = {number: bytes.fromhex("20010db8000100000000000000000000")[:15] + bytes((number,)) for number in range(1, 9)}
NEW_ROUTE, DELETE_ROUTE, NEW_NEXTHOP, DELETE_NEXTHOP = 24, 25, 104, 105


def entry(*paths: Path, prefixes: tuple[Prefix, ...] = (MNP,)) -> ForwardingEntry:
    return ForwardingEntry(HOME, prefixes, paths)


TWO = entry(Path(1, CARE_OF[1]), Path(2, CARE_OF[2]))


def first(wanted: ForwardingEntry) -> Installed:
    installed = difference(1, wanted, None, BY).installed
    assert installed is not None
    return installed


def kinds(messages: Iterable[Message]) -> list[tuple[int, int]]:
    """What each message is: its type and, if it names a nexthop, the place in the slot."""
    return [(one.type, slot_and_place(nexthop_named(one))[1] if nexthop_named(one) else -1) for one in messages]


def change(before: ForwardingEntry, after: ForwardingEntry | None) -> Steps:
    return difference(1, after, first(before), BY)


def test_a_new_customer_is_built_from_below() -> None:
    steps = difference(1, TWO, None, BY)
    expected = [(NEW_NEXTHOP, 1), (NEW_NEXTHOP, 2), (NEW_NEXTHOP, 0), (NEW_ROUTE, -1), (NEW_ROUTE, -1)]
    assert kinds(steps.puts) == expected and not steps.takes
    assert steps.enter == elements(TWO) and len(steps.enter) == 4 and not steps.leave


def test_a_customer_is_taken_down_from_above() -> None:
    steps = change(TWO, None)
    expected = [(DELETE_ROUTE, -1), (DELETE_ROUTE, -1), (DELETE_NEXTHOP, 0), (DELETE_NEXTHOP, 1), (DELETE_NEXTHOP, 2)]
    assert kinds(steps.takes) == expected and not steps.puts
    assert steps.leave == elements(TWO) and not steps.enter


def test_a_refresh_is_no_message() -> None:
    steps = change(TWO, TWO)
    assert steps.puts == steps.takes == () and not steps.enter and not steps.leave


def test_a_changed_care_of_address_is_one_message() -> None:
    steps = change(TWO, entry(Path(1, CARE_OF[3]), Path(2, CARE_OF[2])))
    [message] = steps.puts
    assert not steps.takes
    assert parse_nexthop(message.body).exit == CARE_OF[3] and nexthop_named(message) == nexthop_id(1, 1)
    assert {care_of for care_of, _ in map(parts, steps.enter)} == {CARE_OF[3]}
    assert {care_of for care_of, _ in map(parts, steps.leave)} == {CARE_OF[1]}


care_of_addresses = st.sampled_from(sorted(CARE_OF.values()))
lines = st.lists(
    st.builds(Path, st.integers(1, 300), care_of_addresses, st.integers(1, 3), st.integers(0, 1)), min_size=1
)


@given(lines, st.data())
def test_lines_that_moved_are_planned_as_if_everything_were_looked_at(some: list[Path], data: st.DataObject) -> None:
    paths = sorted({path.bid: path for path in some}.values())
    before = first(entry(*paths))
    after = entry(*(path._replace(care_of=data.draw(care_of_addresses)) for path in paths))
    moved, whole = difference(1, after, before, BY), difference(1, after, before._replace(found=before.objects()), BY)
    assert moved.moves and not whole.moves
    assert (moved.puts, moved.takes, moved.after) == (whole.puts, whole.takes, whole.after)
    assert moved.installed == whole.installed
    assert moved.enter == elements(after) - elements(before.entry)
    assert moved.leave == elements(before.entry) - elements(after)


def test_a_changed_weight_is_one_message() -> None:
    steps = change(TWO, entry(Path(1, CARE_OF[1], 4), Path(2, CARE_OF[2])))
    [message] = steps.puts
    assert not steps.takes
    assert parse_nexthop(message.body).members == ((nexthop_id(1, 1), 4), (nexthop_id(1, 2), 1))


def test_a_lost_line_leaves_the_group_before_it_is_deleted() -> None:
    steps = change(TWO, entry(Path(2, CARE_OF[2])))
    assert kinds(steps.puts) == [(NEW_NEXTHOP, 0)] and kinds(steps.takes) == [(DELETE_NEXTHOP, 1)]


def test_a_changed_network_is_routed_before_the_old_one_goes() -> None:
    after = ForwardingEntry(HOME, (MORE,), TWO.paths)
    steps = change(TWO, after)
    assert kinds(steps.puts) == [(NEW_ROUTE, -1)] and kinds(steps.takes) == [(DELETE_ROUTE, -1)]


def test_only_the_lines_of_the_lowest_priority_value_carry_and_all_are_checked() -> None:
    paths = (Path(1, CARE_OF[1], 2, 10), Path(2, CARE_OF[2], 3, 5), Path(3, CARE_OF[3], 4, 5))
    installed = first(entry(*paths))
    assert installed.objects().members == ((2, 3), (3, 4))
    assert {care_of for care_of, _ in map(parts, elements(installed.entry))} == {CARE_OF[1], CARE_OF[2], CARE_OF[3]}


def test_the_line_that_stood_by_takes_over_by_one_group_message() -> None:
    paths = (Path(1, CARE_OF[1], 1, 0), Path(2, CARE_OF[2], 1, 1))
    steps = change(entry(*paths), entry(paths[1]))
    assert kinds(steps.puts) == [(NEW_NEXTHOP, 0)] and kinds(steps.takes) == [(DELETE_NEXTHOP, 1)]


def test_a_small_bid_has_the_place_of_its_number_and_a_large_one_the_last() -> None:
    installed = first(entry(Path(7, CARE_OF[1]), Path(255, CARE_OF[2]), Path(256, CARE_OF[3]), Path(65535, CARE_OF[4])))
    assert installed.places == {7: 7, 255: 255, 256: 254, 65535: 253}


def test_a_new_line_never_takes_the_place_of_one_that_leaves() -> None:
    before = first(entry(Path(300, CARE_OF[1])))
    assert before.places == {300: 255}
    steps = difference(1, entry(Path(255, CARE_OF[2])), before, BY)
    assert steps.installed is not None and steps.installed.places == {255: 254}


def test_undoing_a_first_change_removes_all_of_it() -> None:
    steps = difference(1, TWO, None, BY)
    expected = [(DELETE_ROUTE, -1), (DELETE_ROUTE, -1), (DELETE_NEXTHOP, 0), (DELETE_NEXTHOP, 1), (DELETE_NEXTHOP, 2)]
    put, take = undo(steps, BY)
    assert kinds(take) == expected and not put


def test_undoing_a_later_change_puts_back_what_was_and_removes_what_is_new() -> None:
    steps = change(TWO, entry(Path(1, CARE_OF[3]), Path(3, CARE_OF[4]), prefixes=(MORE,)))
    put, take = undo(steps, BY)
    assert kinds(put) == [(NEW_NEXTHOP, 1), (NEW_NEXTHOP, 2), (NEW_NEXTHOP, 0), (NEW_ROUTE, -1), (NEW_ROUTE, -1)]
    assert kinds(take) == [(DELETE_ROUTE, -1), (DELETE_NEXTHOP, 3)]
    assert parse_nexthop(put[0].body).exit == CARE_OF[1]


@pytest.mark.parametrize("slot", [SLOTS[0], 4711, SLOTS[-1]])
def test_an_id_tells_its_slot_and_place(slot: int) -> None:
    for place in (0, 1, SLOT_IDS - 1):
        assert slot_and_place(nexthop_id(slot, place)) == (slot, place)
        assert 0x20000000 < nexthop_id(slot, place) < LAST_ID <= 0x2FFFFFFF
