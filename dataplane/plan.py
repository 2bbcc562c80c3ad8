"""From what is present to what is wanted for one customer: the steps and their order. Pure.

Order (nothing is lost on the way): filter elements in, nexthops, group, routes; then what is too much: routes, group,
nexthops; filter elements out last, after a linger. Ids: each customer has a slot of 256 nexthop ids; its first is the
group, those behind are its paths, so that a care-of address change is one message and `ip nexthop` shows a customer's
objects together.
"""

from dataclasses import dataclass

from dataplane.entry import ForwardingEntry, Path, Prefix
from dataplane.message import Message
from dataplane.rtnetlink import Nexthop, Route, delete_nexthop, delete_route, put_nexthop, put_route

PROTOCOL = 208
FIRST_ID, LAST_ID = 0x20000000, 0x2FFFFFFF
SLOT_IDS = 256
DECAPSULATION_ID = FIRST_ID  # slot 0 is not a customer's
SLOTS = (LAST_ID - FIRST_ID + 1) // SLOT_IDS
CUSTOMER_METRIC = 1024

# (care-of address, prefix): the inner source may lie in the prefix when the outer source is the care-of address.
Element = tuple[bytes, Prefix]


@dataclass(frozen=True, slots=True)
class Installed:
    """A customer in the kernel: its slot, its entry, and the place of each path in the slot (BID -> 1..255)."""

    slot: int
    entry: ForwardingEntry
    places: dict[int, int]


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do: elements to enter first, messages in order, elements to take out last, and what is then installed."""

    enter: frozenset[Element]
    messages: tuple[Message, ...]
    leave: frozenset[Element]
    installed: Installed | None


def difference(slot: int, wanted: ForwardingEntry | None, present: Installed | None, lo: int) -> Steps:
    """The steps from `present` to `wanted`; `lo` is the index of the loopback interface."""
    before, after = elements(present.entry if present else None), elements(wanted)
    if wanted is None:
        messages = _removal(present) if present else ()
        return Steps(frozenset(), messages, before, None)
    places = _places(wanted, present)
    installed = Installed(slot, wanted, places)
    messages = _change(installed, present, lo)
    return Steps(after - before, messages, before - after, installed)


def elements(entry: ForwardingEntry | None) -> frozenset[Element]:
    """The source check of a customer: each of its care-of addresses with its home address and each MNP."""
    if entry is None:
        return frozenset()
    return frozenset((path.care_of, prefix) for path in entry.paths for prefix in all_prefixes(entry))


def all_prefixes(entry: ForwardingEntry) -> tuple[Prefix, ...]:
    """What is routed to the customer: its home address and its MNPs."""
    return (Prefix(entry.home_address, 128), *entry.prefixes)


def active(entry: ForwardingEntry) -> tuple[Path, ...]:
    """The paths that carry traffic: those of the lowest priority value."""
    best = min(path.priority for path in entry.paths)
    return tuple(path for path in entry.paths if path.priority == best)


def nexthop_id(slot: int, place: int) -> int:
    """The id of a place in a slot; place 0 is the group."""
    return FIRST_ID + slot * SLOT_IDS + place


def _places(wanted: ForwardingEntry, present: Installed | None) -> dict[int, int]:
    """A BID keeps its place; a new one takes the place of its own number if that is free, else the first free one."""
    kept = present.places if present else {}
    places = {path.bid: kept[path.bid] for path in wanted.paths if path.bid in kept}
    for path in wanted.paths:
        if path.bid in places:
            continue
        taken = {*places.values(), *kept.values()}
        own = path.bid if 1 <= path.bid < SLOT_IDS and path.bid not in taken else 0
        places[path.bid] = own or next(place for place in range(SLOT_IDS - 1, 0, -1) if place not in taken)
    return places


def _change(installed: Installed, present: Installed | None, lo: int) -> tuple[Message, ...]:
    entry, slot = installed.entry, installed.slot
    old = {path.bid: path for path in present.entry.paths} if present else {}
    messages = [
        put_nexthop(Nexthop(nexthop_id(slot, installed.places[path.bid]), PROTOCOL, path.care_of, lo))
        for path in entry.paths
        if path.bid not in old or old[path.bid].care_of != path.care_of
    ]
    members = group_members(installed)
    if present is None or members != group_members(present):
        messages.append(put_nexthop(Nexthop(nexthop_id(slot, 0), PROTOCOL, members=members)))
    had = all_prefixes(present.entry) if present else ()
    wanted = all_prefixes(entry)
    messages += [put_route(customer_route(prefix, slot)) for prefix in wanted if prefix not in had]
    messages += [delete_route(customer_route(prefix, slot)) for prefix in had if prefix not in wanted]
    gone = [bid for bid in old if bid not in installed.places]
    assert present is not None or not gone
    messages += [delete_nexthop(nexthop_id(slot, present.places[bid])) for bid in gone if present]
    return tuple(messages)


def _removal(present: Installed) -> tuple[Message, ...]:
    slot = present.slot
    routes = [delete_route(customer_route(prefix, slot)) for prefix in all_prefixes(present.entry)]
    ids = [nexthop_id(slot, 0), *(nexthop_id(slot, place) for place in present.places.values())]
    return (*routes, *(delete_nexthop(id_) for id_ in ids))


def group_members(installed: Installed) -> tuple[tuple[int, int], ...]:
    """The group as (nexthop id, weight), sorted."""
    return tuple(
        sorted((nexthop_id(installed.slot, installed.places[p.bid]), p.weight) for p in active(installed.entry))
    )


def customer_route(prefix: Prefix, slot: int) -> Route:
    """The route of a customer's prefix to its group."""
    return Route(prefix, PROTOCOL, metric=CUSTOMER_METRIC, nexthop_id=nexthop_id(slot, 0))
