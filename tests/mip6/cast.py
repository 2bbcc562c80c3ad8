"""Addresses, a key and small makers that the tests of the codec share."""

from mip6.auth import SecurityAssociation
from mip6.numbers import BindingUpdateFlag
from mip6.wire import checksum
from tests.mip6.describe import address

HOME_AGENT = address("2001:db8:f000::1")
HOME_ADDRESS = address("2001:db8:f000::51")
CARE_OF_1 = address("2001:db8:1:c::20")
CARE_OF_2 = address("2001:db8:2:c::20")
HOME_REGISTRATION = (
    BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION | BindingUpdateFlag.MOBILE_ROUTER
)
OURS = SecurityAssociation(256, "hmac-sha256-128", bytes(range(32)))
RFC_4285 = SecurityAssociation(256, "hmac-sha1-96", bytes(range(16)))


def mobility_header(kind: int, data: bytes, payload_proto: int = 59, header_len: int | None = None) -> bytes:
    """A mobility header of any contents, with a right checksum from HOME_ADDRESS to HOME_AGENT."""
    if header_len is None:
        header_len = (6 + len(data)) // 8 - 1
    octets = bytes((payload_proto, header_len, kind, 0, 0, 0)) + data
    value = checksum(HOME_ADDRESS, HOME_AGENT, 135, octets)
    return octets[:4] + value.to_bytes(2, "big") + octets[6:]


def update(options: bytes) -> bytes:
    """A Binding Update with these octets as options."""
    return mobility_header(5, bytes.fromhex("0001c4000096") + options)
