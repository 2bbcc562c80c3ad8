"""What Hypothesis draws for the codec: options and messages of every class, in the form that decoding gives them."""

from hypothesis import strategies as st

from mip6 import options
from mip6.messages import (
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    BindingRevocation,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    Heartbeat,
    HomeAgentSwitch,
    HomeTest,
    HomeTestInit,
    UnknownMessage,
)
from mip6.numbers import BindingAckFlag, BindingRevocationFlag, BindingUpdateFlag, MessageType

octet = st.integers(0, 0xFF)
two_octets = st.integers(0, 0xFFFF)
four_octets = st.integers(0, 0xFFFFFFFF)
six_bits = st.integers(0, 63)
addresses = st.binary(min_size=16, max_size=16)
ipv4_addresses = st.binary(min_size=4, max_size=4)
eight = st.binary(min_size=8, max_size=8)
wire_seconds = two_octets.map(lambda units: 4 * units)
bid_options = st.builds(
    options.BindingIdentifier,
    two_octets,
    octet,
    st.booleans(),
    st.integers(0, 127),
    st.none() | addresses | ipv4_addresses,
)
authentications = st.builds(options.Authentication, octet, four_octets, st.binary(max_size=40))
IMPLEMENTED = (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 28, 29, 30, 31, 32, 35, 44, 45)
prefixes = st.builds(options.Prefix, addresses, octet)

any_option = st.one_of(
    st.builds(options.BindingRefreshAdvice, wire_seconds),
    st.builds(options.AlternateCareOf, addresses),
    st.builds(options.NonceIndices, two_octets, two_octets),
    st.builds(options.MobileNetworkPrefix, prefixes),
    st.builds(options.MobileNodeIdentifier, octet, st.binary(max_size=64)),
    st.builds(options.MessageIdentification, st.integers(0, 2**64 - 1)),
    st.builds(options.RestartCounter, four_octets),
    st.builds(options.IPv4HomeAddress, ipv4_addresses, six_bits, st.booleans()),
    st.builds(options.IPv4AddressAck, octet, ipv4_addresses, six_bits),
    st.builds(options.NatDetection, st.booleans(), four_octets),
    st.builds(options.IPv4CareOf, ipv4_addresses),
    bid_options,
    st.binary(max_size=40).filter(lambda body: len(body) not in (4, 8, 20)).map(options.MalformedBindingIdentifier),
    st.builds(options.FlowIdentification, two_octets, two_octets, octet, st.binary(max_size=60)),
    st.builds(options.FlowSummary, st.lists(two_octets, max_size=20).map(tuple)),
    st.builds(options.UnknownOption, octet.filter(lambda kind: kind not in IMPLEMENTED), st.binary(max_size=40)),
)
without_authentication = st.lists(any_option, max_size=6).map(tuple)
with_authentication = st.tuples(without_authentication, authentications).map(lambda pair: (*pair[0], pair[1]))
any_options = without_authentication | with_authentication

any_message = st.one_of(
    st.builds(BindingRefreshRequest, any_options),
    st.builds(HomeTestInit, eight, any_options),
    st.builds(CareOfTestInit, eight, any_options),
    st.builds(HomeTest, two_octets, eight, eight, any_options),
    st.builds(CareOfTest, two_octets, eight, eight, any_options),
    st.builds(
        BindingUpdate,
        two_octets,
        st.integers(0, 1023).map(lambda bits: BindingUpdateFlag(bits << 6)),
        wire_seconds,
        any_options,
    ),
    st.builds(
        BindingAck,
        octet,
        st.integers(0, 31).map(lambda bits: BindingAckFlag(bits << 3)),
        two_octets,
        wire_seconds,
        any_options,
    ),
    st.builds(BindingError, octet, addresses, any_options),
    st.builds(HomeAgentSwitch, st.lists(addresses, max_size=5).map(tuple), any_options),
    st.builds(Heartbeat, four_octets, st.booleans(), st.booleans(), any_options),
    st.builds(
        BindingRevocation,
        octet,
        octet,
        two_octets,
        st.integers(0, 7).map(lambda bits: BindingRevocationFlag(bits << 13)),
        any_options,
    ),
    st.builds(
        UnknownMessage,
        octet.filter(lambda kind: kind not in list(MessageType)),
        st.integers(0, 5).flatmap(lambda units: st.binary(min_size=2 + 8 * units, max_size=2 + 8 * units)),
    ),
)
