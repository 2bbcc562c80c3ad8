"""Home agent discovery and mobile prefixes: scapy builds what we read and reads what we build."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    HAO,
    ICMPv6HAADReply,
    ICMPv6HAADRequest,
    ICMPv6MPAdv,
    ICMPv6MPSol,
    ICMPv6NDOptPrefixInfo,
    IPv6,
    IPv6ExtHdrDestOpt,
)

from mip6 import discovery, packet
from mip6.discovery import HomePrefix, Request
from mip6.errors import MalformedMessage
from mip6.numbers import ICMPV6
from tests.mip6.cast import CARE_OF_1, HOME_ADDRESS, HOME_AGENT

CARE_OF, HOME, AGENT = "2001:db8:1:c::20", "2001:db8:f000::51", "2001:db8:f000::1"


@pytest.mark.parametrize("router", [0, 1])
def test_a_discovery_request_of_scapys_is_read(router: int) -> None:
    octets = bytes(IPv6(src=CARE_OF, dst=AGENT) / ICMPv6HAADRequest(id=0x1234, R=router))[40:]
    assert discovery.decode_request(octets, CARE_OF_1, HOME_AGENT) == Request(144, 0x1234, bool(router))


def test_a_prefix_solicitation_of_scapys_is_read_with_the_home_address_in_its_checksum() -> None:
    # scapy writes the checksum for the wire source; that of RFC 6275 6.3 is for the home address.
    bare = bytes(IPv6(src=HOME, dst=AGENT) / ICMPv6MPSol(id=7))[40:]
    whole = IPv6(src=CARE_OF, dst=AGENT) / IPv6ExtHdrDestOpt(nh=ICMPV6, options=[HAO(hoa=HOME)])
    home_address, next_header, offset = packet.destination_options(bytes(whole)[40:] + bare)
    assert (home_address, next_header) == (HOME_ADDRESS, ICMPV6)
    octets = (bytes(whole)[40:] + bare)[offset:]
    assert discovery.decode_request(octets, HOME_ADDRESS, HOME_AGENT) == Request(146, 7, False)


def test_a_reply_is_read_by_scapy() -> None:
    octets = discovery.encode_home_agents(9, True, (HOME_AGENT,), HOME_AGENT, CARE_OF_1)
    whole = IPv6(packet.plain_packet(HOME_AGENT, CARE_OF_1, octets, ICMPV6))
    reply = whole[ICMPv6HAADReply]
    assert (reply.id, reply.R, reply.addresses) == (9, 1, [AGENT])
    rebuilt = whole.copy()
    del rebuilt[ICMPv6HAADReply].cksum
    assert bytes(rebuilt) == bytes(whole)


def test_an_advertisement_is_read_by_scapy() -> None:
    prefix = HomePrefix(HOME_ADDRESS[:8] + bytes(8), 64, 600, None)
    octets = discovery.encode_prefixes(9, (prefix,), HOME_AGENT, HOME_ADDRESS)
    told = IPv6(packet.plain_packet(HOME_AGENT, HOME_ADDRESS, octets, ICMPV6))[ICMPv6MPAdv]
    option = told[ICMPv6NDOptPrefixInfo]
    assert (told.id, option.prefix, option.prefixlen) == (9, "2001:db8:f000::", 64)
    assert (option.preferredlifetime, option.validlifetime) == (600, discovery.FOR_EVER)


@given(st.binary(max_size=40))
def test_any_octets_are_a_request_or_malformed(octets: bytes) -> None:
    try:
        found = discovery.decode_request(octets, CARE_OF_1, HOME_AGENT)
    except MalformedMessage:
        return
    assert found.type in (144, 146)
