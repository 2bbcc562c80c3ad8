"""What an accepted Binding Update makes of the record, and which of its BIDs are refused on their own. Pure.

Owns the last step of judging, after all rules of `registration` have passed: RFC 6275 10.3.1 and 10.3.2, RFC 5648 6.2.
"""

from collections.abc import Mapping

from ha import care_of
from ha.prefix import is_global_unicast
from ha.record import OLDEST, PLAIN_BID, Binding, Network, Record, Register, Version
from ha.verdict import Accepted, Case, Refused
from mip6 import ntp
from mip6.numbers import BindingUpdateFlag, Status
from mip6.options import BindingIdentifier

OVERWRITE = int(BindingUpdateFlag.OVERWRITE)
LIFETIME_UNIT_S = 4  # RFC 6275 6.1.7


def accept(case: Case) -> Accepted | Refused:
    """Carry out the update on the record; refused only if not a single BID of it can be served."""
    if case.bids:
        return _delete_bids(case) if case.update.lifetime_s == 0 else _register_bids(case)
    return _delete_all(case) if case.update.lifetime_s == 0 else _register_plain(case)


def _register_bids(case: Case) -> Accepted | Refused:
    """RFC 5648 6.2: add, change or refresh each BID; a BID's own fault refuses only that BID (status 4)."""
    overwrite = case.flags & OVERWRITE != 0
    live = case.live()
    known = {} if overwrite else live
    version, granted_s = _version(case), _granted_s(case)
    cells: dict[int, Binding] = {}
    statuses = []
    for option in case.bids:
        address = option.care_of
        if address is None and option.bid in known:
            address = known[option.bid].care_of
        status = _bid_fault(case, option, address)
        statuses.append((option.bid, int(status)))
        if not status:
            verified = _is_verified(case, live, address)
            cells[option.bid] = Binding(version, address, case.now + granted_s, option.priority, verified)
    if not cells:
        return _all_bids_refused(statuses)
    status = Status.MCOA_NOTCOMPLETE if len(cells) < len(statuses) else _accepted(case, granted_s)
    floor = Version(version.time, "") if overwrite else None
    return Accepted(_changed(case, version, cells, floor), status, granted_s, tuple(statuses))


def _bid_fault(case: Case, option: BindingIdentifier, address: bytes | None) -> Status:
    """The status of one BID option; ACCEPTED if it can be registered."""
    if option.home:
        return Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED
    if address is None:
        return Status.MCOA_UNKNOWN_COA
    if len(address) != 16:
        return Status.MCOA_BULK_REGISTRATION_PROHIBITED  # an IPv4 care-of address (RFC 5648 8.1) is not offered
    if not is_global_unicast(address):
        return Status.MCOA_MALFORMED
    if care_of.refusal(address, option.bid, case.rights, case.policy):
        return Status.INVALID_CARE_OF_ADDRESS
    return Status.ACCEPTED


def _is_verified(case: Case, live: Mapping[int, Binding], address: bytes | None) -> bool:
    """RFC 5648 9.1: only the packet's own source shows anything; the others are claims until a Heartbeat proves them.

    What was shown once stays shown while the address is bound, whichever BID names it. Without authentication there
    is no proof either; then the table says where the addresses may lie.
    """
    if address == case.source or not case.rights.verify_care_of or not case.rights.require_authentication:
        return True
    for cell in live.values():  # noqa: SIM110  any() with a generator takes twice as long, for each binding
        if cell.care_of == address and cell.verified:
            return True
    return False


def _all_bids_refused(statuses: list[tuple[int, int]]) -> Refused:
    """RFC 5648 6.2: a common failure stands in the message and leaves the options 0."""
    codes = {status for _, status in statuses}
    first = Status(statuses[0][1])
    bids = tuple((bid, 0) for bid, _ in statuses) if len(codes) == 1 else tuple(statuses)
    return Refused(first, "bid_refused", bids=bids)


def _register_plain(case: Case) -> Accepted:
    """RFC 6275 10.3.1 and RFC 5648 6.2: the one binding replaces whatever was there."""
    version, granted_s = _version(case), _granted_s(case)
    verified = _is_verified(case, case.live(), case.plain_care_of)
    cell = Binding(version, case.plain_care_of, case.now + granted_s, verified=verified)
    record = _changed(case, version, {PLAIN_BID: cell}, Version(version.time, ""))
    return Accepted(record, _accepted(case, granted_s), granted_s, ())


def _delete_bids(case: Case) -> Accepted | Refused:
    """RFC 5648 6.2: Lifetime 0 with BID options deletes these; an unknown one is 133."""
    version, live = _version(case), case.live()
    statuses, cells = [], {}
    for option in case.bids:
        known = option.bid in live
        statuses.append((option.bid, 0 if known else int(Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE)))
        if known:
            cells[option.bid] = Binding(version, None, _forgotten_at(case))
    if not cells:
        return _all_bids_refused(statuses)
    status = Status.MCOA_NOTCOMPLETE if len(cells) < len(statuses) else Status.ACCEPTED
    return Accepted(_changed(case, version, cells, None), status, 0, tuple(statuses))


def _delete_all(case: Case) -> Accepted | Refused:
    """RFC 6275 10.3.2, RFC 5648 6.2: Lifetime 0 without BID option deletes every binding."""
    if not case.live():
        return Refused(Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, "nothing_to_delete")
    version = _version(case)
    return Accepted(_changed(case, version, {}, version), Status.ACCEPTED, 0, ())


def _changed(case: Case, version: Version, cells: dict[int, Binding], floor: Version | None) -> Record:
    """The record after an accepted update; `floor` None leaves it. The network is as it was when this deletes."""
    old = case.record
    if floor is None:
        floor = old.floor if old else OLDEST
    if old and case.update.lifetime_s == 0:
        network = old.network
    else:
        network = Register(version, Network(case.is_mobile_router, case.named_prefixes or None))
    if old:
        cells = {bid: cell for bid, cell in old.cells.items() if cell.version > floor} | cells
    return Record(
        home_address=case.home,
        cells=cells,
        floor=floor,
        sequence=Register(version, case.update.sequence),
        network=network,
        message_id=version.time,
        kept_until=_forgotten_at(case),
        more=old.more if old else {},
    )


def _version(case: Case) -> Version:
    """The Mesg-ID, or without authentication this site's clock, pushed past all that the record holds."""
    if case.message_id:
        return Version(case.message_id.timestamp, case.policy.site)
    newest = max(case.record.message_id, case.record.newest().time) if case.record else 0
    return Version(max(case.clock, newest + 1), case.policy.site)


def _granted_s(case: Case) -> int:
    """RFC 6275 10.3.1: never more than asked for, nor than the home prefix has left; whole units of 4 s."""
    granted = min(case.update.lifetime_s, case.policy.lifetime_max_s)
    home_prefix = case.home_prefix()
    if home_prefix and home_prefix.valid_until is not None:
        left = home_prefix.valid_s(ntp.to_unix(case.clock)) or 0
        granted = min(granted, left)
    return granted - granted % LIFETIME_UNIT_S


def _accepted(case: Case, granted_s: int) -> Status:
    """RFC 6275 10.3.1: status 1 if the home prefix is or will be deprecated within the lifetime."""
    home_prefix = case.home_prefix()
    if home_prefix is None or home_prefix.preferred_until is None:
        return Status.ACCEPTED
    left = home_prefix.preferred_s(ntp.to_unix(case.clock)) or 0
    return Status.ACCEPTED if left >= granted_s else Status.PREFIX_DISCOVERY_NECESSARY


def _forgotten_at(case: Case) -> float:
    """When no site can hold a living binding older than this update any more."""
    return case.now + case.policy.lifetime_max_s + case.policy.clock_skew_s + case.policy.replay_window_s
