"""Builds the Binding Acknowledgement for a verdict (RFC 6275 9.5.4, RFC 5648 6.3, RFC 4285 5). Pure."""

from ha.effects import SendBindingAck
from ha.verdict import Accepted, Case, Refused
from mip6.messages import BindingAck
from mip6.numbers import BindingAckFlag, Status
from mip6.options import BindingIdentifier, BindingRefreshAdvice, MessageIdentification, Option

LOW_32_BITS = 0xFFFFFFFF
ROUTER, NO_FLAGS = BindingAckFlag.MOBILE_ROUTER, BindingAckFlag(0)


def acknowledge(case: Case, verdict: Accepted | Refused) -> SendBindingAck:
    """The answer to `case`: to the wire source, with a type 2 routing header iff the BU had a Home Address option."""
    accepted = isinstance(verdict, Accepted)
    sequence = case.update.sequence
    if isinstance(verdict, Refused) and verdict.sequence is not None:
        sequence = verdict.sequence
    ack = BindingAck(
        status=verdict.status,
        flags=ROUTER if case.is_mobile_router else NO_FLAGS,
        sequence=sequence,
        lifetime_s=verdict.lifetime_s if isinstance(verdict, Accepted) else 0,
        options=_options(case, verdict, verdict.bids if accepted or verdict.bids else _echoed(case)),
    )
    return SendBindingAck(ack, case.source, case.home_address, case.home, case.association)


def _echoed(case: Case) -> tuple[tuple[int, int], ...]:
    """RFC 5648 6.2: a common failure stands in the message; the BID options are copied with status 0."""
    return tuple((option.bid, 0) for option in case.bids)


def _options(case: Case, verdict: Accepted | Refused, bids: tuple[tuple[int, int], ...]) -> tuple[Option, ...]:
    options: list[Option] = [BindingIdentifier(bid, bid_status) for bid, bid_status in bids]
    advice_s = case.policy.refresh_advice_s
    if advice_s is not None and isinstance(verdict, Accepted) and advice_s < verdict.lifetime_s:
        options.append(BindingRefreshAdvice(advice_s))  # RFC 6275 6.2.4: less than the lifetime, never when deleting
    if case.identifier:
        options.append(case.identifier)
    if case.message_id:
        options.append(_message_id(case, case.message_id, verdict.status))
    return tuple(options)


def _message_id(case: Case, option: MessageIdentification, status: Status) -> MessageIdentification:
    """RFC 4285 6: copied; with status 144 only the low half is, and the high half is this site's clock in seconds."""
    if status != Status.ID_MISMATCH:
        return option
    return MessageIdentification((case.clock & ~LOW_32_BITS) | (option.timestamp & LOW_32_BITS))
