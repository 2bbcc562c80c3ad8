"""From an MR record to the forwarding entry that this site should have.

Owns the filter between what sites tell each other and what the kernel is told: only a known, active customer, only
its own prefixes, only care-of addresses that the rules allow. A record of an unknown home address is kept but not
installed.
"""

from dataplane.entry import ForwardingEntry, Path, Prefix
from ha import care_of
from ha.customer_table import Customer
from ha.prefix import address_text
from ha.record import PLAIN_BID, Record
from ha.site import Policy

# Added to the priority of a path not verified: it stands by while a verified one lives, and its tunnel may already be
# used by the router, which cannot know how far the proof is. BID-PRI has 7 bits (RFC 6089 4.1).
UNVERIFIED_PENALTY = 1000


def entry(record: Record | None, customer: Customer | None, policy: Policy, now: float) -> ForwardingEntry | None:
    """The entry wanted for `record` at `now`; None if nothing is to be forwarded."""
    if record is None or customer is None or not customer.active:
        return None
    paths = tuple(_paths(record, customer, policy, now))
    if not paths:
        return None
    return ForwardingEntry(record.home_address, prefixes(record, customer), paths)


def is_whole(record: Record, entry: ForwardingEntry | None, now: float) -> bool:
    """True if the record's entry leaves out nothing that it wants: each binding in force, each network that it names.

    In implicit mode it names none: then a network that our table lacks is not missed.
    """
    live = record.live(now)
    if not live:
        return True
    if entry is None or len(entry.paths) < len(live):
        return False
    named = record.network.value.prefixes if record.network.value.mobile_router else None
    return not named or all(prefix in entry.prefixes for prefix in named)


def unchanged(before: Record | None, after: Record, now: float) -> bool:
    """True if both surely want the same entry under the same rules: a refresh need not work it out again."""
    if before is None or before.network.value != after.network.value or before.cells.keys() != after.cells.keys():
        return False
    if PLAIN_BID in after.cells and len(after.cells) > 1:
        return False  # which kind is in force hangs on the versions
    for bid, new in after.cells.items():
        old = before.cells[bid]
        if old.care_of != new.care_of or old.priority != new.priority or old.verified != new.verified:
            return False
        if old.expires_at <= now:
            return False
    return True


def prefixes(record: Record, customer: Customer) -> tuple[Prefix, ...]:
    """The networks to forward.

    Of IPv6 none without the R flag, all of the table in implicit mode (RFC 3963 6.2), else those named. Those of IPv4
    have no option to be named by: all of the table.
    """
    network = record.network.value
    if network.mobile_router and network.prefixes is None:
        return customer.prefixes
    named = network.prefixes if network.mobile_router and network.prefixes else ()
    return tuple(prefix for prefix in customer.prefixes if len(prefix.network) == 4 or prefix in named)


def describe(home_address: bytes, entry: ForwardingEntry | None) -> dict[str, str]:
    """An entry as the fields of a log line."""
    paths = entry.paths if entry else ()
    lines = " ".join(f"{path.bid}={address_text(path.care_of)}" for path in paths) or "none"
    return {"home_address": address_text(home_address), "care_of": lines}


def _paths(record: Record, customer: Customer, policy: Policy, now: float) -> list[Path]:
    paths = []
    for bid, binding in sorted(record.live(now).items()):
        assert binding.care_of is not None  # live() leaves tombstones out
        if care_of.refusal(binding.care_of, bid, customer, policy):
            continue
        uplink = customer.uplinks.get(bid)
        weight, priority = (uplink.weight, uplink.priority) if uplink else (1, 0)
        preference = binding.priority or priority
        if not binding.verified:
            preference += UNVERIFIED_PENALTY
        paths.append(Path(bid, binding.care_of, weight, preference))
    return paths
