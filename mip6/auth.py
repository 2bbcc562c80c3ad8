"""The MN-HA authentication option (RFC 4285 5): compute it and check it. Keys are passed in.

The authenticator covers care-of address, home address and the mobility header from Payload Proto to the end of the
SPI, checksum zero, Header Len final. Two algorithms, told apart by the SPI's association: RFC 4285's own, and ours
with the same coverage and 16 octets. The care-of address is the IPv6 source of what the mobile node sends and the
destination of what it is sent. Pure.
"""

import hmac
from dataclasses import dataclass, field

from mip6 import chain, header
from mip6.messages import Message
from mip6.numbers import AuthenticationSubtype
from mip6.options import Authentication

# name -> (digest, octets of the authenticator)
ALGORITHMS = {"hmac-sha1-96": ("sha1", 12), "hmac-sha256-128": ("sha256", 16)}
SPI_MIN = 256  # RFC 4285 5: 0 to 255 are reserved
_BLANK = {name: bytes(size) for name, (_, size) in ALGORITHMS.items()}
_HEAD_OCTETS = 7  # type, length, subtype, SPI


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """A key shared by one mobile node and its home agents, chosen by SPI. Raises: ValueError."""

    spi: int
    algorithm: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm {self.algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if not SPI_MIN <= self.spi < 2**32:
            raise ValueError(f"SPI {self.spi} is not in {SPI_MIN}..4294967295")

    def authenticator(self, care_of: bytes, home_address: bytes, covered: bytes) -> bytes:
        """The authenticator over `covered`, a mobility header cut behind its SPI; its checksum field is ignored."""
        digest, size = ALGORITHMS[self.algorithm]
        said = b"".join((care_of, home_address, covered[:4], b"\0\0", covered[6:]))
        return hmac.digest(self.key, said, digest)[:size]


def encode_signed(
    message: Message,
    association: SecurityAssociation,
    care_of: bytes,
    home_address: bytes,
    source: bytes,
    destination: bytes,
) -> bytes:
    """The octets of `message` with an MN-HA option as its last one, and the checksum for this pseudo-header."""
    blank = _BLANK[association.algorithm]
    option = Authentication(AuthenticationSubtype.MN_HA, association.spi, blank)
    covered = header.frame(message, option)[: -len(blank)]
    signed = covered + association.authenticator(care_of, home_address, covered)
    return header.with_checksum(signed, source, destination)


def verify(octets: bytes, association: SecurityAssociation, care_of: bytes, home_address: bytes) -> bool:
    """True if a received mobility header has a right MN-HA option of this association. Constant time; never raises.

    Give it only what `header.decode` took: that refuses anything behind the option that the option does not cover.
    """
    at = chain.find_mn_ha(octets, header.options_at(octets))
    if at is None:
        return False
    behind_spi = at + _HEAD_OCTETS
    if octets[at + 3 : behind_spi] != association.spi.to_bytes(4, "big"):
        return False
    received = octets[behind_spi : at + 2 + octets[at + 1]]
    return hmac.compare_digest(received, association.authenticator(care_of, home_address, octets[:behind_spi]))
