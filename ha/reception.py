"""What a datagram on a mobility socket means to the home agent. Pure: octets in, one event out, never an exception."""

from ha import events
from mip6 import discovery, header
from mip6.errors import MalformedMessage
from mip6.messages import BindingRevocation, BindingUpdate, Heartbeat, UnknownMessage
from mip6.mhsocket import Datagram
from mip6.numbers import ICMPV6, MOBILITY_HEADER


def event(datagram: Datagram) -> events.Event:
    """The event that a datagram is."""
    source, home, octets = datagram.source, datagram.home_address, datagram.octets
    try:
        if datagram.error is not None:
            raise datagram.error
        if datagram.next_header == ICMPV6:
            return _icmp(datagram)
        if datagram.next_header != MOBILITY_HEADER:
            assert home is not None  # otherwise it is no datagram of ours
            return events.HomeAddressUsed(source, home, datagram.next_header)
        message = header.decode(octets, home or source, datagram.destination)
    except MalformedMessage as error:
        where = (source, datagram.destination, datagram.extension, octets)
        return events.HeaderMalformed(error.reason, error.pointer, *where)
    match message:
        case BindingUpdate():
            return events.BindingUpdateReceived(message, octets, source, home)
        case Heartbeat():
            return events.HeartbeatReceived(message, octets, source)
        case BindingRevocation():
            return events.RevocationReceived(message, octets, source, home)
        case UnknownMessage():
            return events.MessageUnknown(source, home)
    return events.MessageIgnored(type(message).__name__)


def _icmp(datagram: Datagram) -> events.Event:
    """A question about ourselves, or data with a Home Address option like any other. Raises: MalformedMessage."""
    source, home, octets = datagram.source, datagram.home_address, datagram.octets
    if home is not None and octets[:1] != bytes((discovery.PREFIXES_ASKED,)):
        return events.HomeAddressUsed(source, home, ICMPV6)
    asked = discovery.decode_request(octets, home or source, datagram.destination)
    if home is not None:
        return events.PrefixesAsked(asked.identifier, source, home)
    if asked.type != discovery.HOME_AGENTS_ASKED:
        raise MalformedMessage("icmp_without_home_address")  # RFC 6275 6.7: a solicitation has one
    return events.HomeAgentsAsked(asked.identifier, asked.mobile_router, source)
