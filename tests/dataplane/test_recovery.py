"""From a dump back to customers: whose slot, which BID, and what is shown when somebody else changed the kernel."""

from dataplane.driver import Tunnels
from dataplane.entry import ForwardingEntry, Path, Prefix
from dataplane.plan import Installed, Objects, difference, nexthop_id, objects, route
from dataplane.recovery import claims, dump, entry, installed
from dataplane.rtnetlink import RTN_UNREACHABLE, Nexthop, Route, nexthop_named, parse_nexthop

BY = Tunnels(1)
HOME, OTHER = (bytes.fromhex("20010db8f000000000000000000000" + last) for last in ("51", "52"))
MNP = Prefix(bytes.fromhex("20010db8f10000000000000000000000"), 56)
CARE_OF = [bytes.fromhex("20010db80001000000000000000000" + last) for last in ("01", "02", "03")]
TWO = ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF[0], 3), Path(300, CARE_OF[1], 2)))
STANDBY = ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF[0]), Path(2, CARE_OF[1], 7, 9)))


def kernel(slot: int, wanted: ForwardingEntry) -> tuple[list[Nexthop], list[Route]]:
    """The objects as a dump has them."""
    made = difference(slot, wanted, None, BY).installed
    assert made is not None
    found = made.objects()
    tunnels = [Nexthop(nexthop_id(slot, place), 208, care_of, 1) for place, care_of in found.tunnels.items()]
    members = tuple((nexthop_id(slot, place), weight) for place, weight in found.members)
    return [*tunnels, Nexthop(nexthop_id(slot, 0), 208, members=members, resilient=True)], [
        route(key, slot) for key in found.routes
    ]


def test_a_slot_is_known_by_its_home_address_and_its_lines_by_their_care_of_addresses() -> None:
    found = dump(*kernel(5, TWO), BY)
    assert claims(found, {HOME: TWO}) == {HOME: 5}
    known = installed(found.slots[5], TWO, {})
    assert known == Installed(5, TWO, {1: 1, 300: 255}, None)
    assert entry(HOME, found.slots[5], known) == TWO


def test_a_line_standing_by_keeps_its_priority_and_weight() -> None:
    found = dump(*kernel(5, STANDBY), BY).slots[5]
    assert entry(HOME, found, installed(found, STANDBY, {})) == STANDBY


def test_without_knowledge_a_line_is_shown_by_its_place() -> None:
    found = dump(*kernel(5, TWO), BY).slots[5]
    shown = entry(HOME, found, None)
    assert shown == ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF[0], 3), Path(255, CARE_OF[1], 2)))


def test_a_changed_care_of_address_keeps_the_remembered_place() -> None:
    found = dump(*kernel(5, TWO), BY).slots[5]
    moved = ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF[2], 3), Path(300, CARE_OF[1], 2)))
    known = installed(found, moved, {1: 1, 300: 255})
    assert known.places == {1: 1, 300: 255} and known.found == found
    shown = entry(HOME, found, known)
    assert shown is not None and [path.care_of for path in shown.paths] == [CARE_OF[0], CARE_OF[1]]


def test_a_customer_without_its_home_route_is_claimed_by_its_network_and_not_shown() -> None:
    nexthops, routes = kernel(5, TWO)
    found = dump(nexthops, [one for one in routes if one.prefix[1] != 128], BY)
    assert claims(found, {HOME: TWO}) == {HOME: 5}
    assert entry(HOME, found.slots[5], None) is None
    known = installed(found.slots[5], TWO, {})
    assert known.found == found.slots[5]
    assert len(difference(5, TWO, known, BY).puts) == 1


def test_a_tunnel_that_another_driver_made_is_made_anew() -> None:
    nexthops, routes = kernel(5, TWO)
    now = Tunnels(7, HOME)
    found = dump(nexthops, routes, now).slots[5]
    messages = difference(5, TWO, installed(found, TWO, {}), now).puts
    made = [parse_nexthop(one.body) for one in messages if nexthop_named(one)]
    assert {(one.entry, one.exit, one.interface) for one in made if one.exit} == {(HOME, end, 7) for end in CARE_OF[:2]}


def test_no_slot_has_two_owners() -> None:
    found = dump(*kernel(5, TWO), BY)
    other = ForwardingEntry(OTHER, (MNP,), TWO.paths)
    assert claims(found, {OTHER: other, HOME: TWO}) == {HOME: 5}


def test_what_is_not_ours_is_only_stepped_around() -> None:
    nexthops, routes = kernel(5, TWO)
    foreign = [
        Nexthop(nexthop_id(6, 3), 4, CARE_OF[0], 1),
        Nexthop(7, 208, CARE_OF[0], 1),
        Nexthop(0x30000001, 209, CARE_OF[0], 1),
    ]
    unreachable = Route((bytes(16), 36), 208, kind=RTN_UNREACHABLE, metric=5000)
    found = dump([*nexthops, *foreign], [*routes, unreachable], BY)
    assert found.slots.keys() == {5} and found.occupied == {5, 6}


def test_a_group_with_somebody_elses_member_is_not_taken_for_right() -> None:
    nexthops, routes = kernel(5, TWO)
    group = nexthops[-1]._replace(members=(*nexthops[-1].members, (7, 1)))
    found = dump([*nexthops[:-1], group], routes, BY).slots[5]
    assert found != objects(5, TWO, {1: 1, 300: 255})
    assert len(difference(5, TWO, installed(found, TWO, {}), BY).puts) == 1


def test_a_slot_without_a_group_forwards_nothing() -> None:
    assert entry(HOME, Objects(5, {1: CARE_OF[0]}, (), frozenset()), None) is None
