"""How a mobile router shows that it hears at a care-of address: what its Heartbeats and their answers carry.

Theory of operation. A bulk registration (RFC 5648 5.3) names care-of addresses from which the home agent has heard
nothing. The mobile router sends a Heartbeat request (RFC 5847 3.3) from each of them, without a Home Address option,
with these options in this order: mobile node identifier (subtype 2, the home address as an IPv6 address, RFC 8371
4.1), the cookie if it has one, Mesg-ID (RFC 4285 6), MN-HA (RFC 4285 5; its care-of address is the packet's source).
The response carries the Restart Counter (RFC 5847 3.4) and, as long as the care-of address is not shown to be the
router's, a cookie that the next request must bring back; without a cookie in it the care-of address is verified.

The cookie travels in the experimental mobility option (RFC 5096): one octet 1, then the cookie. Pure.
"""

from mip6.messages import Heartbeat
from mip6.numbers import OptionType
from mip6.options import MobileNodeIdentifier, Option, UnknownOption

IPV6_ADDRESS = 2  # mobile node identifier subtype, RFC 8371 3
COOKIE_OCTETS = 16
_KIND = b"\x01"  # what of ours an experimental option holds


def cookie_option(cookie: bytes) -> Option:
    """The option that carries a cookie."""
    return UnknownOption(OptionType.EXPERIMENTAL, _KIND + cookie)


def cookie(message: Heartbeat) -> bytes | None:
    """The cookie in a Heartbeat; None if there is none."""
    for option in message.all(UnknownOption):
        is_ours = option.type == OptionType.EXPERIMENTAL and option.octets[:1] == _KIND
        if is_ours and len(option.octets) == 1 + COOKIE_OCTETS:
            return option.octets[1:]
    return None


def identifier(home_address: bytes) -> Option:
    """The option that says whose care-of address it is."""
    return MobileNodeIdentifier(IPV6_ADDRESS, home_address)


def home_address(message: Heartbeat) -> bytes | None:
    """The home address that a Heartbeat names; None if it names none."""
    for option in message.all(MobileNodeIdentifier):
        if option.subtype == IPV6_ADDRESS and len(option.identifier) == 16:
            return option.identifier
    return None
