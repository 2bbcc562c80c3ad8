"""Whether a Binding Acknowledgement is believed.

An acknowledgement is believed only if it answers a transmission of the outstanding BU and carries the home agent's
MN-HA authenticator; all else is dropped without a trace but a counter, so a forger can change nothing. The checks are
an ordered tuple, cheap ones first; the name of the first that fails is the counter's label. RFC 6275 11.7.3, RFC 4285
5, 6.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mip6.auth import SecurityAssociation, verify
from mip6.numbers import Status
from mip6.options import MessageIdentification
from mr.events import BindingAckReceived
from mr.outstanding import Transmission
from mr.settings import Settings

LOW_HALF = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Context:
    """What an acknowledgement is judged against."""

    settings: Settings
    association: SecurityAssociation
    transmissions: tuple[Transmission, ...]


def judge(received: BindingAckReceived, context: Context) -> Transmission | str:
    """The transmission that `received` answers, or the reason not to believe it."""
    for reason, holds in _CHECKS:
        if not holds(received, context):
            return reason
    answered = _answered(received, context)
    return answered if answered is not None else "sequence_unknown"


def _outstanding(received: BindingAckReceived, context: Context) -> bool:
    return bool(context.transmissions)


def _from_home_agent(received: BindingAckReceived, context: Context) -> bool:
    return received.source == context.settings.home_agent


def _for_our_home_address(received: BindingAckReceived, context: Context) -> bool:
    """RFC 6275 6.1.8: the type 2 routing header names the home address of the BU."""
    return received.home_address == context.settings.home_address


def _to_a_source_of_ours(received: BindingAckReceived, context: Context) -> bool:
    return any(transmission.care_of == received.destination for transmission in context.transmissions)


def _timestamp_ours(received: BindingAckReceived, context: Context) -> bool:
    return bool(_with_timestamp(received, context))


def _authentic(received: BindingAckReceived, context: Context) -> bool:
    settings = context.settings
    return verify(received.octets, context.association, received.destination, settings.home_address)


def _of_our_mode(received: BindingAckReceived, context: Context) -> bool:
    """RFC 3963 5.3: implicit mode knows no 141 and 142, explicit mode no 143; such answers are discarded."""
    foreign = (
        (Status.FORWARDING_SETUP_FAILED,)
        if context.settings.explicit
        else (Status.INVALID_PREFIX, Status.NOT_AUTHORIZED_FOR_PREFIX)
    )
    return received.message.status not in foreign


_CHECKS: tuple[tuple[str, Callable[[BindingAckReceived, Context], bool]], ...] = (
    ("nothing_outstanding", _outstanding),
    ("not_from_home_agent", _from_home_agent),
    ("home_address_not_ours", _for_our_home_address),
    ("destination_not_ours", _to_a_source_of_ours),
    ("timestamp_unknown", _timestamp_ours),
    ("not_authentic", _authentic),
    ("status_of_other_mode", _of_our_mode),
)


def _with_timestamp(received: BindingAckReceived, context: Context) -> list[Transmission]:
    """RFC 4285 6: status 144 keeps the low half of our timestamp, every other status all of it."""
    option = received.message.first(MessageIdentification)
    if option is None:
        return []
    mask = LOW_HALF if received.message.status == Status.ID_MISMATCH else (LOW_HALF << 32) | LOW_HALF
    return [
        transmission
        for transmission in context.transmissions
        if transmission.timestamp & mask == option.timestamp & mask and transmission.care_of == received.destination
    ]


def _answered(received: BindingAckReceived, context: Context) -> Transmission | None:
    """RFC 6275 11.7.3: the sequence number is that of the BU; status 135 carries the last accepted one instead."""
    message = received.message
    for transmission in _with_timestamp(received, context):
        if message.sequence == transmission.sequence or message.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW:
            return transmission
    return None
