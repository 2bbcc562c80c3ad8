"""Binding Revocation at the mobile router (RFC 5846 9): whether an indication is believed, and what is answered.

It must come from the home agent, name our home address in its routing header, be authentic, and be newer than the one
before; a repeated one is answered again, for the first answer may have got lost. Pure.
"""

from mip6 import ntp
from mip6.auth import SecurityAssociation, verify
from mip6.messages import BindingRevocation
from mip6.numbers import BindingRevocationType, RevocationStatus
from mip6.options import BindingIdentifier, MessageIdentification
from mr.events import RevocationReceived
from mr.settings import Settings

WINDOW_S = 7.0  # RFC 4285 6


def fault(
    received: RevocationReceived, settings: Settings, association: SecurityAssociation, clock: int, last: int
) -> str | None:
    """Why an indication is not believed, or None.

    `clock` is our corrected clock, `last` the Mesg-ID of the last one believed.
    """
    if received.message.revocation_type != BindingRevocationType.INDICATION:
        return "not_an_indication"
    if received.source != settings.home_agent or received.home_address != settings.home_address:
        return "not_from_home_agent"
    identification = received.message.first(MessageIdentification)
    if identification is None or identification.timestamp < last:
        return "replayed"
    if abs(ntp.to_unix(identification.timestamp) - ntp.to_unix(clock)) > WINDOW_S:
        return "outside_window"
    if not verify(received.octets, association, received.destination, settings.home_address):
        return "not_authentic"
    return None


def timestamp(message: BindingRevocation) -> int:
    """The Mesg-ID of a believed indication."""
    identification = message.first(MessageIdentification)
    return identification.timestamp if identification else 0


def bids(message: BindingRevocation) -> tuple[int, ...]:
    """The BIDs whose bindings are revoked; none means all (RFC 5846 7.2)."""
    return tuple(option.bid for option in message.all(BindingIdentifier))


def acknowledgement(message: BindingRevocation, had_any: bool) -> BindingRevocation:
    """The answer: the same sequence number and Mesg-ID, and whether there was such a binding."""
    status = RevocationStatus.SUCCESS if had_any else RevocationStatus.BINDING_DOES_NOT_EXIST
    options = tuple(message.all(MessageIdentification))
    return BindingRevocation(BindingRevocationType.ACKNOWLEDGEMENT, status, message.sequence, options=options)
