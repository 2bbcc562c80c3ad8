"""From the kernel's dump back to customers: which slot is whose, and which of its places has which BID. Pure.

The kernel keeps no BID and nothing about lines that stand by. Both come back by comparing care-of addresses with the
entry that is known for the customer; what stays unmatched is shown by its place.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.driver import Tunnels
from dataplane.entry import ForwardingEntry, Path, Prefix
from dataplane.numbers import HOME_AGENT_IDS, HOME_AGENT_PROTOCOL, HOME_METRIC, NETWORK_METRIC
from dataplane.plan import Installed, Objects, RouteKey, objects, slot_and_place
from dataplane.rtnetlink import MAIN_TABLE, RTN_UNICAST, Nexthop, Route


@dataclass(frozen=True, slots=True)
class Dump:
    """What the kernel holds of ours.

    `slots`: by slot. `owners`: slot by route. `occupied`: slots with anything in them, were it somebody else's.
    """

    slots: dict[int, Objects]
    owners: dict[RouteKey, int]
    occupied: set[int]

    def dismantle(self) -> None:
        """Free it bit by bit; see `dismantle`."""
        dismantle(self.slots)
        dismantle(self.owners)

    def homes(self) -> dict[bytes, int]:
        """The slot of each home address."""
        return {prefix.network: slot for (prefix, metric), slot in self.owners.items() if metric == HOME_METRIC}


def dismantle(mapping: dict[Any, Any]) -> None:
    """Free a mapping of 100,000 bit by bit: freed at once it would keep all other threads waiting for long."""
    while mapping:
        mapping.popitem()


def dump(nexthops: Iterable[Nexthop], routes: Iterable[Route], by: Tunnels) -> Dump:
    """Sort a dump of all nexthops and of the home agent's routes into slots. A tunnel made otherwise leads nowhere.

    A slot whose group is of another type is nobody's: the kernel turns none into the other, so it is made anew.
    """
    tunnels: dict[int, dict[int, bytes]] = {}
    members: dict[int, tuple[tuple[int, int], ...]] = {}
    keys: dict[int, set[RouteKey]] = {}
    owners: dict[RouteKey, int] = {}
    occupied: set[int] = set()
    outdated: set[int] = set()
    first, end = HOME_AGENT_IDS.start, HOME_AGENT_IDS.stop
    for nexthop in nexthops:
        if not first <= nexthop.id < end:
            continue
        slot, place = slot_and_place(nexthop.id)
        occupied.add(slot)
        if nexthop.protocol != HOME_AGENT_PROTOCOL or not slot:
            continue
        if place:
            ours = (nexthop.interface, nexthop.entry) == by
            tunnels.setdefault(slot, {})[place] = nexthop.exit if ours and nexthop.exit else b""
        else:
            if nexthop.members and not nexthop.resilient:
                outdated.add(slot)
            members[slot] = tuple(sorted(_place(slot, id_, weight) for id_, weight in nexthop.members))
    for route in routes:
        if not first <= route.nexthop_id < end or route.table != MAIN_TABLE or route.kind != RTN_UNICAST:
            continue
        key = (Prefix(*route.prefix), route.metric)
        slot, _ = slot_and_place(route.nexthop_id)
        keys.setdefault(slot, set()).add(key)
        if slot not in outdated:
            owners[key] = slot
        occupied.add(slot)
    slots = {
        slot: Objects(slot, tunnels.pop(slot, {}), members.pop(slot, ()), frozenset(keys.pop(slot, ())))
        for slot in {*tunnels, *members, *keys}
    }
    return Dump(slots, owners, occupied)


def _place(slot: int, id_: int, weight: int) -> tuple[int, int]:
    """A group member by its place; one outside the slot has none, and -1 never equals what is wanted."""
    of_slot, place = slot_and_place(id_)
    return (place if of_slot == slot else -1, weight)


def claims(found: Dump, wanted: Mapping[bytes, ForwardingEntry]) -> dict[bytes, int]:
    """Which slot is whose: by the route of the home address, else by that of a network. A slot has one owner."""
    claimed = {home_address: slot for home_address, slot in found.homes().items() if home_address in wanted}
    taken = set(claimed.values())
    for home_address in wanted.keys() - claimed.keys():
        for prefix in wanted[home_address].prefixes:
            slot = found.owners.get((Prefix(*prefix), NETWORK_METRIC))
            if slot is not None and slot not in taken:
                taken.add(slot)
                claimed[home_address] = slot
                break
    return claimed


def installed(found: Objects, entry: ForwardingEntry, places: Mapping[int, int]) -> Installed:
    """A customer whose entry is known, as the kernel really holds it; `places` are those remembered."""
    kept = {bid: place for bid, place in places.items() if place in found.tunnels}
    free = [place for place in sorted(found.tunnels) if place not in kept.values()]
    for path in entry.paths:
        same = [place for place in free if found.tunnels[place] == path.care_of]
        if path.bid not in kept and same:
            kept[path.bid] = path.bid if path.bid in same else same[0]
            free.remove(kept[path.bid])
    right = kept.keys() == {path.bid for path in entry.paths} and objects(found.slot, entry, kept) == found
    return Installed(found.slot, entry, kept, None if right else found)


def entry(home_address: bytes, found: Objects, known: Installed | None) -> ForwardingEntry | None:
    """What a slot forwards; None if the home address is not reached. `known` is what was installed in this slot."""
    if known is not None and known.found is None and known.objects() == found:
        return known.entry
    if not found.members or (Prefix(home_address, 128), HOME_METRIC) not in found.routes:
        return None
    lines = {path.bid: path for path in known.entry.paths} if known else {}
    bids = {place: bid for bid, place in known.places.items()} if known else {}
    weights, paths = dict(found.members), []
    for place, care_of in sorted(found.tunnels.items()):
        line = lines.get(bids.get(place, 0))
        bid = line.bid if line else next(number for number in range(place, 1 << 16) if number not in lines)
        standing = line.priority if line and line.priority else 1
        priority = (line.priority if line else 0) if place in weights else standing
        paths.append(Path(bid, care_of, weights.get(place, line.weight if line else 1), priority))
    networks = {prefix for prefix, metric in found.routes if metric == NETWORK_METRIC}
    same = known is not None and set(known.entry.prefixes) == networks
    prefixes = known.entry.prefixes if known and same else tuple(sorted(networks))
    return ForwardingEntry(home_address, prefixes, tuple(sorted(paths)))
