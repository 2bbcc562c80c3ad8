"""From what is present to what is wanted for one customer: the steps and their order. Pure.

Each customer has a slot of 256 nexthop ids: the first is its group, those behind are the places of its paths. So a
care-of address change is one message, `ip nexthop` shows a customer's objects together, and an id alone tells after a
restart to which customer it belongs. A BID (16 bits) does not fit into a place; small ones take the place of their own
number, which is for the reader's eye only.

Order, so that nothing is lost on the way: filter elements in; tunnels, group, routes in; then routes, group, tunnels
out; filter elements out last, after a linger. What goes out waits until the kernel has confirmed what comes in: a group
whose last tunnel is removed before it has another is removed by the kernel, with all its routes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from dataplane.driver import Tunnels
from dataplane.element import Element, combine
from dataplane.entry import ForwardingEntry, Path, Prefix
from dataplane.message import Message
from dataplane.numbers import HOME_AGENT_IDS, HOME_AGENT_PROTOCOL, HOME_METRIC, NETWORK_METRIC
from dataplane.rtnetlink import (
    Route,
    delete_nexthop,
    delete_route,
    put_group,
    put_route_through,
    put_tunnel,
)

SLOT_IDS = 256
SLOTS = range(1, len(HOME_AGENT_IDS) // SLOT_IDS - 1)  # the first was decapsulation's, the last is for trials
LAST_ID = HOME_AGENT_IDS[-1]
PATHS_MAX = 100  # a new path needs a free place while the old ones still stand
WEIGHT_MAX = 256  # linux/nexthop.h: eight bits, of the weight less one

_NONE: Mapping[int, bytes] = MappingProxyType({})

_NO_ELEMENTS: frozenset[Element] = frozenset()
# A route to a customer by (prefix, metric).
RouteKey = tuple[Prefix, int]


class Objects(NamedTuple):
    """What of one slot the kernel holds: tunnels by place, members of the group as (place, weight), routes to it."""

    slot: int
    tunnels: Mapping[int, bytes] = _NONE
    members: tuple[tuple[int, int], ...] = ()
    routes: frozenset[RouteKey] = frozenset()

    def nexthops(self) -> int:
        """How many nexthop objects of the kernel: a tunnel each, and the group."""
        return len(self.tunnels) + bool(self.members)


class Installed(NamedTuple):
    """A customer in the kernel: its slot, its entry, the place of each BID.

    `found`: what the kernel holds of it, if that is otherwise, or if elements of the source check are missing.
    """

    slot: int
    entry: ForwardingEntry
    places: Mapping[int, int]
    found: Objects | None = None

    def objects(self) -> Objects:
        """What the kernel holds of it."""
        return self.found if self.found is not None else objects(self.slot, self.entry, self.places)


class Steps(NamedTuple):
    """From `present` to `installed`: elements to enter, messages that put, those that take, elements to take out last.

    `moves`: lines get other care-of addresses and that is all, so that there are as many objects as before.
    """

    enter: frozenset[Element]
    puts: tuple[Message, ...]
    takes: tuple[Message, ...]
    leave: frozenset[Element]
    slot: int
    present: Installed | None
    installed: Installed | None
    moves: bool = False

    @property
    def before(self) -> Objects:
        """What the kernel holds."""
        return self.present.objects() if self.present else Objects(self.slot)

    @property
    def after(self) -> Objects:
        """What it will hold."""
        return self.installed.objects() if self.installed else Objects(self.slot)


def refusal(home_address: bytes, entry: ForwardingEntry, present: ForwardingEntry | None = None) -> str | None:
    """Why this entry cannot be put into the kernel at all; None if it can. `present` is one that could."""
    if entry.home_address != home_address:
        return "the entry is another home address's"
    if not 1 <= len(entry.paths) <= PATHS_MAX:
        return f"it has {len(entry.paths)} paths, not 1..{PATHS_MAX}"
    bids = set()
    for bid, care_of, weight, _ in entry.paths:
        bids.add(bid)
        if not 1 <= weight <= WEIGHT_MAX:
            return f"a weight is not in 1..{WEIGHT_MAX}"
        if len(care_of) != 16:
            return "an address has not 16 octets"
    if len(bids) != len(entry.paths):
        return "a BID occurs twice"
    if len(home_address) != 16:
        return "an address has not 16 octets"
    if present is not None and present.prefixes == entry.prefixes:
        return None
    for prefix in entry.prefixes:
        if not _is_prefix(prefix):
            return "a prefix is not of IPv6, 1..128 bits, or IPv4, 1..32 bits, without host bits"
    return None


def _is_prefix(prefix: Prefix) -> bool:
    network, length = prefix
    bits = 8 * len(network)
    if bits not in (32, 128) or not 1 <= length <= bits:
        return False
    return not int.from_bytes(network, "big") & ((1 << (bits - length)) - 1)


def difference(slot: int, wanted: ForwardingEntry | None, present: Installed | None, by: Tunnels) -> Steps:
    """The steps from `present` to `wanted`."""
    enter, leave = _exchanged(present.entry if present else None, wanted)
    if present and present.found is not None:
        enter = elements(wanted)
    if present and wanted and (moved := _moved(present, wanted)) is not None:
        group = nexthop_id(slot, 0)
        puts = [put_tunnel(group + present.places[path.bid], HOME_AGENT_PROTOCOL, path.care_of, by) for path in moved]
        return Steps(enter, tuple(puts), (), leave, slot, present, present._replace(entry=wanted), moves=True)
    before = present.objects() if present else Objects(slot)
    installed = None
    if wanted is not None:
        installed = Installed(slot, wanted, _places(wanted, present.places if present else {}, before))
    after = installed.objects() if installed else Objects(slot)
    messages = tuple(_puts(before, after, by)), tuple(_takes(before, after))
    return Steps(enter, *messages, leave, slot, present, installed)


def _moved(present: Installed, wanted: ForwardingEntry) -> list[Path] | None:
    """The paths whose care-of address alone is another, most of what ever happens; None if more is to be done."""
    old, new = present.entry, wanted
    if present.found is not None or old.prefixes != new.prefixes or len(old.paths) != len(new.paths):
        return None
    changed = [pair for pair in zip(old.paths, new.paths, strict=True) if pair[0] != pair[1]]
    if any(before[0] != after[0] or before[2:] != after[2:] for before, after in changed):
        return None
    return [after for _, after in changed]


def undo(steps: Steps, by: Tunnels) -> tuple[list[Message], list[Message]]:
    """From wherever a refusal on the way to `after` left the kernel back to `before`: what to put, then to take."""
    before = steps.before
    return _puts(Objects(steps.slot), before, by), _takes(steps.after, before)


def removal(objects: Objects) -> tuple[Message, ...]:
    """The messages that take everything of a slot out."""
    return tuple(_takes(objects, Objects(objects.slot)))


def elements(entry: ForwardingEntry | None) -> frozenset[Element]:
    """The source check of a customer: each of its care-of addresses with its home address and each MNP."""
    if entry is None:
        return _NO_ELEMENTS
    return frozenset(combine({path.care_of for path in entry.paths}, _reached(entry)))


def _reached(entry: ForwardingEntry) -> tuple[tuple[bytes, int], ...]:
    return ((entry.home_address, 128), *entry.prefixes)


def _exchanged(
    old: ForwardingEntry | None, new: ForwardingEntry | None
) -> tuple[frozenset[Element], frozenset[Element]]:
    """The elements that only the new entry has, and those that only the old one has."""
    if old is None or new is None or old.prefixes != new.prefixes:
        had, has = elements(old), elements(new)
        return has - had, had - has
    was, is_ = {path.care_of for path in old.paths}, {path.care_of for path in new.paths}
    if was == is_:
        return _NO_ELEMENTS, _NO_ELEMENTS
    prefixes = _reached(new)
    return frozenset(combine(is_ - was, prefixes)), frozenset(combine(was - is_, prefixes))


def active(entry: ForwardingEntry) -> tuple[Path, ...]:
    """The paths that carry traffic: those of the lowest priority value."""
    best = min([path.priority for path in entry.paths])
    return tuple([path for path in entry.paths if path.priority == best])


def objects(slot: int, entry: ForwardingEntry, places: Mapping[int, int]) -> Objects:
    """What the kernel should hold for an entry."""
    routes = [(Prefix(entry.home_address, 128), HOME_METRIC)]
    routes += [(prefix, NETWORK_METRIC) for prefix in entry.prefixes]
    return Objects(
        slot,
        {places[path.bid]: path.care_of for path in entry.paths},
        tuple(sorted([(places[path.bid], path.weight) for path in active(entry)])),
        frozenset(routes),
    )


def nexthop_id(slot: int, place: int) -> int:
    """The id of a place in a slot; place 0 is the group."""
    return HOME_AGENT_IDS[0] + slot * SLOT_IDS + place


def slot_and_place(id_: int) -> tuple[int, int]:
    """The inverse of `nexthop_id`."""
    return divmod(id_ - HOME_AGENT_IDS[0], SLOT_IDS)


def _places(wanted: ForwardingEntry, kept: Mapping[int, int], before: Objects) -> dict[int, int]:
    """A BID keeps its place; a new one takes the place of its own number if that is free, else the last free one."""
    places = {path.bid: kept[path.bid] for path in wanted.paths if path.bid in kept}
    taken = {*before.tunnels, *kept.values()}
    for path in wanted.paths:
        if path.bid in places:
            continue
        own = 0 < path.bid < SLOT_IDS and path.bid not in taken
        place = path.bid if own else next(place for place in range(SLOT_IDS - 1, 0, -1) if place not in taken)
        places[path.bid] = place
        taken.add(place)
    return places


def _puts(before: Objects, after: Objects, by: Tunnels) -> list[Message]:
    group = HOME_AGENT_IDS[0] + after.slot * SLOT_IDS
    messages = [
        put_tunnel(group + place, HOME_AGENT_PROTOCOL, care_of, by)
        for place, care_of in after.tunnels.items()
        if before.tunnels.get(place) != care_of
    ]
    if after.members and after.members != before.members:
        members = [(group + place, weight) for place, weight in after.members]
        messages.append(put_group(group, HOME_AGENT_PROTOCOL, members))
    for prefix, metric in sorted(after.routes - before.routes):
        messages.append(put_route_through(prefix, HOME_AGENT_PROTOCOL, metric, group))
    return messages


def _takes(before: Objects, after: Objects) -> list[Message]:
    if before.slot and not (before.tunnels or before.members or before.routes):
        return []
    slot = before.slot
    messages = [delete_route(route(key, slot)) for key in sorted(before.routes - after.routes)]
    if before.members and not after.members:
        messages.append(delete_nexthop(nexthop_id(slot, 0)))
    messages += [delete_nexthop(nexthop_id(slot, place)) for place in before.tunnels if place not in after.tunnels]
    return messages


def route(key: RouteKey, slot: int) -> Route:
    """The route of a customer's prefix to its group; deleting it never hits another customer's of the same prefix."""
    prefix, metric = key
    return Route(prefix, HOME_AGENT_PROTOCOL, metric=metric, nexthop_id=nexthop_id(slot, 0))
