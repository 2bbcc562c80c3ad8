"""scapy as an outside oracle for Binding Updates, Acknowledgements and MNP options, where scapy is right.

Compared are only options up to type 10; scapy knows no others. Its Binding Update has 7 bits of flags with P lowest,
and the 9 bits below are `reserved`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    MIP6OptAltCoA,
    MIP6OptBRAdvice,
    MIP6OptMNID,
    MIP6OptMobNetPrefix,
    MIP6OptMsgAuth,
    MIP6OptReplayProtection,
)

from mip6 import header
from mip6.messages import BindingAck, BindingUpdate
from mip6.numbers import BindingAckFlag, BindingUpdateFlag
from mip6.options import (
    AlternateCareOf,
    Authentication,
    BindingRefreshAdvice,
    MessageIdentification,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    Option,
    Prefix,
)
from mip6.packet import update_packet
from tests.mip6.cast import CARE_OF_1, HOME_ADDRESS, HOME_AGENT
from tests.mip6.describe import address

CARE_OF, HOME, AGENT = "2001:db8:1:c::20", "2001:db8:f000::51", "2001:db8:f000::1"
MNP = "2001:db8:f100::"
numbers = st.integers(0, 65535)
update_flags = st.integers(0, 127).map(lambda bits: bits << 9)
quick = settings(max_examples=150, deadline=None, derandomize=True)


def by_scapy(layers: object) -> bytes:
    """The mobility header behind a Home Address option as scapy builds it."""
    octets: bytes = bytes(IPv6(src=CARE_OF, dst=AGENT) / IPv6ExtHdrDestOpt(options=[HAO(hoa=HOME)]) / layers)
    return octets


@quick
@given(numbers, update_flags, numbers, st.integers(0, 128))
def test_an_update_with_alternate_care_of_and_prefix_is_scapys(seq: int, flags: int, units: int, length: int) -> None:
    options: tuple[Option, ...] = (AlternateCareOf(CARE_OF_1), MobileNetworkPrefix(Prefix(address(MNP), length)))
    message = BindingUpdate(seq, BindingUpdateFlag(flags), 4 * units, options)
    ours = update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, header.encode(message, HOME_ADDRESS, HOME_AGENT))
    scapys = [MIP6OptAltCoA(acoa=CARE_OF), MIP6OptMobNetPrefix(plen=length, prefix=MNP)]
    theirs = by_scapy(MIP6MH_BU(seq=seq, flags=flags >> 9, reserved=0, mhtime=units, options=scapys))
    assert ours == theirs


@quick
@given(numbers, st.binary(min_size=1, max_size=40), st.integers(0, 2**64 - 1))
def test_an_update_with_identifier_and_timestamp_is_scapys(seq: int, name: bytes, timestamp: int) -> None:
    options = (MobileNodeIdentifier(1, name), MessageIdentification(timestamp))
    message = BindingUpdate(seq, BindingUpdateFlag(0xC400), 600, options)
    ours = update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, header.encode(message, HOME_ADDRESS, HOME_AGENT))
    theirs = by_scapy(
        MIP6MH_BU(
            seq=seq,
            flags=0xC400 >> 9,
            reserved=0,
            mhtime=150,
            options=[MIP6OptMNID(id=name), MIP6OptReplayProtection(timestamp=timestamp)],
        )
    )
    assert header.decode(theirs[64:], HOME_ADDRESS, HOME_AGENT) == message
    assert ours == theirs


@quick
@given(st.integers(0, 255), st.integers(0, 7), numbers, numbers, numbers)
def test_an_acknowledgement_is_scapys(status: int, flags: int, seq: int, units: int, advice: int) -> None:
    message = BindingAck(status, BindingAckFlag(flags << 5), seq, 4 * units, (BindingRefreshAdvice(4 * advice),))
    theirs = bytes(
        IPv6(src=AGENT, dst=HOME)
        / MIP6MH_BA(status=status, flags=flags, seq=seq, mhtime=units, options=[MIP6OptBRAdvice(rinter=advice)])
    )[40:]
    assert header.decode(theirs, HOME_AGENT, HOME_ADDRESS) == message
    assert header.encode(message, HOME_AGENT, HOME_ADDRESS) == theirs


def test_scapy_reads_our_authentication_option() -> None:
    message = BindingUpdate(1, BindingUpdateFlag(0xC400), 600, (Authentication(1, 256, bytes(range(12))),))
    packet = IPv6(update_packet(CARE_OF_1, HOME_AGENT, HOME_ADDRESS, header.encode(message, HOME_ADDRESS, HOME_AGENT)))
    found = packet[MIP6OptMsgAuth]
    assert (found.subtype, found.mspi, found.authdata) == (1, 256, bytes(range(12)))
