"""Judges one Binding Update: accepted, refused with a status, or silently discarded. Pure; changes nothing.

Theory of operation. The RFCs say which faults are silent and which are answered, and only partly in which order. Ours
is the order of `RULES`: who is it (discard strangers), is it authentic and fresh (RFC 4285), may it register at all
(RFC 6275 10.3.1), is it new (9.5.1), are its prefixes right (RFC 3963 6.2), are its binding identifiers right (RFC
5648 6.2). The first refusal wins. Faults of single BIDs in a bulk registration come last and refuse only these
(status 4). Validity is judged before authorisation. Accepted means that the record changes: what would not win the
merge of records is refused (144). A refusal leaves the record as it was. Every refusal carries a reason slug for the
counters.
"""

from collections.abc import Callable

from ha import care_of
from ha.acceptance import accept
from ha.prefix import Prefix, has_host_bits, is_global_unicast, overlaps
from ha.record import OLDEST, PLAIN_BID
from ha.verdict import Case, Discarded, Refused, Verdict
from mip6 import auth, ntp, sequence
from mip6.numbers import BindingUpdateFlag, Status

HOME_REGISTRATION = int(BindingUpdateFlag.HOME_REGISTRATION)
OVERWRITE = int(BindingUpdateFlag.OVERWRITE)
NOT_OFFERED = int(BindingUpdateFlag.FORCE_UDP | BindingUpdateFlag.PROXY_REGISTRATION)
PREFIX_LENGTH_MAX = 128
TOMBSTONES_MAX = 32  # of one mobile router; they live as long as any binding could (ha/record.py)
DELETED_SEQUENCE_KEPT_S = 10.0  # RFC 6275 12, MAX_DELETE_BCE_TIMEOUT


Rule = Callable[[Case], Discarded | Refused | None]


def judge(case: Case) -> Verdict:
    """Apply all rules in order, then accept."""
    for rule in RULES:
        if verdict := rule(case):
            return verdict
    return accept(case)


# --- who is it -----------------------------------------------------------------------------------------------------


def not_unicast(case: Case) -> Discarded | None:
    """RFC 6275 9.5.1: home address and care-of address must be unicast routable."""
    if not is_global_unicast(case.home) or not is_global_unicast(case.source):
        return Discarded("address_not_unicast")
    if case.alternate and not is_global_unicast(case.alternate.care_of):
        return Discarded("alternate_care_of_not_unicast")
    return None


def home_address_unknown(case: Case) -> Discarded | None:
    """RFC 4285 5.1: without a security association there is nothing to answer with."""
    return Discarded("home_address_unknown") if case.customer is None else None


def authentication_missing(case: Case) -> Discarded | None:
    """RFC 4285 5.1: an association is configured and the option is absent, or it names an unknown SPI."""
    if case.mn_ha is None:
        return Discarded("authentication_missing") if case.rights.require_authentication else None
    return Discarded("spi_unknown") if case.association is None else None


def authentication_failed(case: Case) -> Refused | None:
    """RFC 4285 5.1.1: status 146 for a wrong authenticator."""
    if case.association is None or auth.verify(case.octets, case.association, case.source, case.home):
        return None
    return Refused(Status.AUTHENTICATION_FAILED, "authentication_failed", stranger=True)


# --- is it fresh ---------------------------------------------------------------------------------------------------


def message_id_missing(case: Case) -> Refused | None:
    """RFC 4285 6: status 145 where the policy wants replay protection."""
    if case.message_id or not case.rights.require_authentication:
        return None
    return Refused(Status.MESSAGE_ID_REQUIRED, "message_id_missing")


def message_id_mismatch(case: Case) -> Refused | None:
    """RFC 4285 6: inside the window and after every accepted one; also after whatever an operator wrote."""
    option = case.message_id
    if option is None:
        return None
    if abs(ntp.difference_s(option.timestamp, case.clock)) > case.policy.replay_window_s:
        return Refused(Status.ID_MISMATCH, "message_id_outside_window")
    if case.record and option.timestamp <= max(case.record.message_id, case.record.newest().time):
        return Refused(Status.ID_MISMATCH, "message_id_replayed")
    return None


def too_many_updates(case: Case) -> Refused | None:
    """Status 130: an authenticated router that asks too often is told so. Not before: a stranger can replay a BU."""
    return Refused(Status.INSUFFICIENT_RESOURCES, "too_many_updates") if case.exhausted else None


# --- may it register -----------------------------------------------------------------------------------------------


def no_home_registration(case: Case) -> Discarded | Refused | None:
    """RFC 3963 6.2: R without H is 140. RFC 6275 9.5.1: H does not change while a binding lives, 139.

    Any other update without H is for correspondents, not for us.
    """
    if case.flags & HOME_REGISTRATION:
        return None
    if case.is_mobile_router:
        return Refused(Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED, "router_without_home_registration")
    if case.live():
        return Refused(Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, "home_registration_changed")
    return Discarded("no_home_registration")


def prohibited(case: Case) -> Refused | None:
    """RFC 6275 10.3.1: status 129 for a suspended customer; F (forced UDP, RFC 5555) is not offered."""
    if not case.rights.active:
        return Refused(Status.ADMINISTRATIVELY_PROHIBITED, "customer_suspended")
    if case.flags & NOT_OFFERED:
        return Refused(Status.ADMINISTRATIVELY_PROHIBITED, "flag_not_offered")
    if 0 < case.update.lifetime_s < case.policy.lifetime_min_s:
        return Refused(Status.ADMINISTRATIVELY_PROHIBITED, "lifetime_too_short")
    return None


def not_home_subnet(case: Case) -> Refused | None:
    """RFC 6275 10.3.1, status 132: the home address lies in no prefix that is served here, or its time is over."""
    home_prefix = case.home_prefix()
    if home_prefix is None or home_prefix.valid_s(ntp.to_unix(case.clock)) == 0:
        return Refused(Status.NOT_HOME_SUBNET, "not_home_subnet")
    return None


def sequence_out_of_window(case: Case) -> Refused | None:
    """RFC 6275 9.5.1: newer modulo 2**16 than the last one, while a binding exists and 10 s after.

    One counter for all BIDs.
    """
    record = case.record
    if record is None or record.sequence.version == OLDEST:
        return None
    if sequence.is_newer(case.update.sequence, record.sequence.value):
        return None
    age_s = ntp.difference_s(case.clock, record.sequence.version.time)
    if not case.live() and age_s > DELETED_SEQUENCE_KEPT_S:
        return None
    return Refused(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, "sequence_out_of_window", sequence=record.sequence.value)


def registration_type_changed(case: Case) -> Refused | None:
    """RFC 3963 6.2: the R flag of a living binding does not change; ignored when deleting."""
    if case.record is None or not case.live() or case.update.lifetime_s == 0:
        return None
    if case.record.network.value.mobile_router == case.is_mobile_router:
        return None
    return Refused(Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, "registration_type_changed")


# --- prefixes ------------------------------------------------------------------------------------------------------


def prefix_invalid(case: Case) -> Refused | None:
    """RFC 3963 6.2, status 141.

    Not global unicast, host bits set, or across the customer's own without being one of them.
    """
    named = case.named_prefixes
    if not named or all(_is_possible_prefix(prefix, case.rights.prefixes) for prefix in named):
        return None
    return Refused(Status.INVALID_PREFIX, "prefix_invalid")


def _is_possible_prefix(prefix: Prefix, own: tuple[Prefix, ...]) -> bool:
    network, length = prefix
    if length > PREFIX_LENGTH_MAX or not is_global_unicast(network) or has_host_bits(prefix):
        return False
    return prefix in own or not any(overlaps(prefix, one) for one in own)


def prefix_not_authorized(case: Case) -> Refused | None:
    """RFC 3963 6.2, status 142: well-formed, but not in this home address's prefix table. All or nothing."""
    named = case.named_prefixes
    if len(named) > case.policy.prefixes_max:
        return Refused(Status.INSUFFICIENT_RESOURCES, "too_many_prefixes")
    if not named or all(prefix in case.rights.prefixes for prefix in named):
        return None
    return Refused(Status.NOT_AUTHORIZED_FOR_PREFIX, "prefix_not_authorized")


def no_prefix_known(case: Case) -> Refused | None:
    """RFC 3963 6.2, status 143: implicit mode and no prefix in the table. Never for a BU with MNP options."""
    if not case.is_mobile_router or case.update.lifetime_s == 0 or case.rights.prefixes:
        return None
    return Refused(Status.FORWARDING_SETUP_FAILED, "no_prefix_known")


# --- binding identifiers -------------------------------------------------------------------------------------------


def bid_malformed(case: Case) -> Refused | None:
    """RFC 5648 6.2, status 164: wrong length, BID 0, or (no rule in the RFC) the same BID twice."""
    bids = [option.bid for option in case.bids]
    if case.has_malformed_bid or PLAIN_BID in bids or len(set(bids)) != len(bids):
        return Refused(Status.MCOA_MALFORMED, "bid_malformed")
    return None


def multiple_care_of_prohibited(case: Case) -> Refused | None:
    """RFC 5648 6.2, status 166: this customer has one care-of address at a time."""
    if case.bids and case.update.lifetime_s and case.rights.bids_max == 0:
        return Refused(Status.MCOA_PROHIBITED, "multiple_care_of_prohibited")
    return None


def too_many_bids(case: Case) -> Refused | None:
    """Status 130: each BID costs kernel memory, and each deleted one, for a while, a tombstone."""
    if case.update.lifetime_s == 0:
        return None
    most = case.policy.bids_max
    if case.rights.bids_max is not None:
        most = min(most, case.rights.bids_max)
    named = {option.bid for option in case.bids}
    if len(named) > most:
        return Refused(Status.INSUFFICIENT_RESOURCES, "too_many_bids")
    if case.record is None or case.flags & OVERWRITE or not named:
        return None
    if len((named | case.live().keys()) - {PLAIN_BID}) > most:
        return Refused(Status.INSUFFICIENT_RESOURCES, "too_many_bids")
    if len(named | case.record.cells.keys()) > most + TOMBSTONES_MAX:
        return Refused(Status.INSUFFICIENT_RESOURCES, "too_many_tombstones")
    return None


def plain_binding_exists(case: Case) -> Refused | None:
    """RFC 5648 6.2, status 165: a binding without BID exists and O does not say to overwrite it."""
    if case.update.lifetime_s == 0 or case.flags & OVERWRITE:
        return None
    if case.bids and PLAIN_BID in case.live():
        return Refused(Status.MCOA_NON_MCOA_BINDING_EXISTS, "plain_binding_exists")
    return None


def plain_care_of_refused(case: Case) -> Refused | None:
    """Status 174 for the care-of address of a BU without BID option."""
    if case.update.lifetime_s == 0 or case.bids:
        return None
    reason = care_of.refusal(case.plain_care_of, PLAIN_BID, case.rights, case.policy)
    return Refused(Status.INVALID_CARE_OF_ADDRESS, reason) if reason else None


RULES: tuple[Rule, ...] = (
    not_unicast,
    home_address_unknown,
    authentication_missing,
    authentication_failed,
    message_id_missing,
    message_id_mismatch,
    too_many_updates,
    no_home_registration,
    prohibited,
    not_home_subnet,
    sequence_out_of_window,
    registration_type_changed,
    prefix_invalid,
    prefix_not_authorized,
    no_prefix_known,
    bid_malformed,
    multiple_care_of_prohibited,
    too_many_bids,
    plain_binding_exists,
    plain_care_of_refused,
)
