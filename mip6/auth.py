"""The MN-HA authentication option (RFC 4285 5): compute it and check it. Keys are passed in.

The authenticator covers care-of address, home address and the mobility header from Payload Proto to the end of the
SPI, checksum zero. Two algorithms, told apart by the SPI's association: RFC 4285's own, and ours with the same
coverage and 16 octets. Pure.
"""

import hmac
from dataclasses import dataclass, field, replace

from mip6 import header
from mip6.messages import BindingAck, BindingUpdate
from mip6.numbers import AuthenticationSubtype, OptionType
from mip6.options import Authentication

# name -> (digest, octets of the authenticator)
ALGORITHMS = {"hmac-sha1-96": ("sha1", 12), "hmac-sha256-128": ("sha256", 16)}
SPI_MIN = 256  # RFC 4285 5: 0 to 255 are reserved
_HEAD_OCTETS = 7  # type, length, subtype, SPI


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """A key shared by one mobile node and its home agents, chosen by SPI.

    Raises ValueError for an unknown algorithm.
    """

    spi: int
    algorithm: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {self.algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if not SPI_MIN <= self.spi < 2**32:
            raise ValueError(f"SPI {self.spi} is not in {SPI_MIN}..4294967295")

    def authenticator(self, care_of: bytes, home_address: bytes, octets: bytes) -> bytes:
        """The authenticator over `octets`, a mobility header cut behind its SPI."""
        digest, size = ALGORITHMS[self.algorithm]
        data = care_of + home_address + octets[:4] + b"\0\0" + octets[6:]
        return hmac.digest(self.key, data, digest)[:size]


def encode_signed(
    message: BindingUpdate | BindingAck,
    association: SecurityAssociation,
    care_of: bytes,
    home_address: bytes,
    source: bytes,
    destination: bytes,
) -> bytes:
    """The octets of `message` with an MN-HA option as its last one, and the checksum for this pseudo-header."""
    size = ALGORITHMS[association.algorithm][1]
    blank = Authentication(AuthenticationSubtype.MN_HA, association.spi, bytes(size))
    octets = header.frame(replace(message, options=(*message.options, blank)))
    covered = octets[:-size]
    signed = covered + association.authenticator(care_of, home_address, covered)
    return header.with_checksum(signed, source, destination)


def verify(octets: bytes, association: SecurityAssociation, care_of: bytes, home_address: bytes) -> bool:
    """True if the received mobility header ends with a right MN-HA option of this association. Constant time."""
    octets = octets[: 8 * (octets[1] + 1)]
    size = ALGORITHMS[association.algorithm][1]
    start = len(octets) - size - _HEAD_OCTETS
    expected_head = bytes(
        (OptionType.AUTHENTICATION, size + 5, AuthenticationSubtype.MN_HA)
    ) + association.spi.to_bytes(4)
    if start < 12 or octets[start : start + _HEAD_OCTETS] != expected_head:
        return False
    return hmac.compare_digest(octets[-size:], association.authenticator(care_of, home_address, octets[:-size]))
