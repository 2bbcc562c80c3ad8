"""What is fuzzed and what must hold whatever the octets: two targets, each a function of octets that raises if not.

`decode` takes a mobility header. `handle` takes a whole packet to a home agent, by the way that one from a socket
takes. Random octets hardly pass a checksum or a length, so both put these right in most of their inputs.
"""

from collections.abc import Callable

from ha import reception
from mip6 import header
from mip6.errors import MalformedMessage
from mip6.numbers import MOBILITY_HEADER
from mip6.wire import checksum
from tests.ha import test_vectors as cast
from tests.ha.cast import Site
from tests.ha.wire import datagram

Target = Callable[[bytes], None]
IPV6_OCTETS, HOME_ADDRESS_OCTETS = 40, 24
AS_IT_IS = 0x0F  # of 16 inputs one keeps its wrong length and checksum
STEP_S = 0.01
A_LIFE = 50  # inputs
MORE_COUNTERS_THAN_ANY = 100


def decode(octets: bytes) -> None:
    """Decoding gives a message or `MalformedMessage`; what was decoded comes back from what it is encoded to."""
    octets = _mended(octets, cast.HOME, cast.HOME_AGENT)
    try:
        message = header.decode(octets, cast.HOME, cast.HOME_AGENT)
    except MalformedMessage as error:
        assert error.pointer is None or 0 <= error.pointer < len(octets)
        return
    try:
        again = header.encode(message, cast.HOME, cast.HOME_AGENT)
    except ValueError:
        return  # with the padding that we would write it is longer than a header can be
    assert header.decode(again, cast.HOME, cast.HOME_AGENT) == message


class Handle:
    """A home agent that lives for some inputs: later most updates would be old, or too many."""

    def __init__(self) -> None:
        self.site: Site = cast.site()
        self.now = cast.NOW
        self.accepted = 0
        self._inputs = 0

    def __call__(self, octets: bytes) -> None:
        """No input raises, each is counted, and none that was refused changed a record."""
        found = datagram(_packet(octets))
        if found is None:
            return
        self._inputs += 1
        if self._inputs % A_LIFE == 0:
            self.site, self.now = cast.site(), cast.NOW
        self.now += STEP_S
        site = self.site
        before, counted = dict(site.agent.cache.records), site.counters.as_dict()
        accepted = counted.get("binding_updates_accepted", 0)
        site.feed(reception.event(found), self.now)
        after = site.counters.as_dict()
        ups = sum(after.values()) - sum(counted.values())
        quiet = found.home_address is not None and found.next_header != MOBILITY_HEADER  # data of a bound address
        assert ups >= 1 or quiet, "an input was not counted"
        assert len(after) < MORE_COUNTERS_THAN_ANY, "a counter's label comes from the input"
        self.accepted += after.get("binding_updates_accepted", 0) - accepted
        if after.get("binding_updates_accepted", 0) == accepted:
            assert site.agent.cache.records == before, "what was refused changed a record"


def _mended(octets: bytes, source: bytes, destination: bytes) -> bytes:
    """The same as a mobility header with a right length and checksum, or as it is."""
    if len(octets) < 8 or octets[3] & AS_IT_IS == AS_IT_IS:
        return octets
    whole = bytearray(octets[: min(len(octets) // 8, 256) * 8])
    whole[1] = len(whole) // 8 - 1
    whole[4:6] = b"\0\0"
    whole[4:6] = checksum(source, destination, MOBILITY_HEADER, bytes(whole)).to_bytes(2, "big")
    return bytes(whole)


def _packet(octets: bytes) -> bytes:
    """A packet whose payload length is right, and if it is a mobility header its length and checksum as well."""
    if len(octets) < IPV6_OCTETS or octets[0] >> 4 != 6:
        return octets
    whole = bytearray(octets)
    source, destination, at = octets[8:24], octets[24:40], IPV6_OCTETS
    if whole[6] == 60 and len(whole) >= IPV6_OCTETS + HOME_ADDRESS_OCTETS:
        source, at = octets[IPV6_OCTETS + 8 : IPV6_OCTETS + HOME_ADDRESS_OCTETS], IPV6_OCTETS + HOME_ADDRESS_OCTETS
    if whole[6] == 60 or whole[6] == MOBILITY_HEADER:
        whole[at:] = _mended(bytes(whole[at:]), source, destination)
    whole[4:6] = min(len(whole) - IPV6_OCTETS, 0xFFFF).to_bytes(2, "big")
    return bytes(whole)


def corpus() -> list[bytes]:
    """Whole packets to begin with: the vectors."""
    return list(cast.OCTETS.values())


def mobility_headers() -> list[bytes]:
    """The mobility headers in them."""
    found = (datagram(octets) for octets in corpus() if octets[0] >> 4 == 6)
    return [one.octets for one in found if one is not None and one.next_header == MOBILITY_HEADER]
