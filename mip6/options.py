"""Mobility options as values (RFC 6275 6.2 and the RFC named at each); how they follow one another is in `chain.py`.

`body()` is an option's data, behind type and length. An option nobody knows keeps its number and octets. All times
are seconds; the wire's 4-second unit does not leave the folder. Addresses are their 16 (IPv4: 4) octets.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from mip6.numbers import OptionType
from mip6.quick import quick

UNIT_S = 4  # lifetimes and intervals on the wire, RFC 6275 6.1.7
UNITS_MAX = 0xFFFF

_BID = struct.Struct("!HBB")
_AUTHENTICATION = struct.Struct("!BI")
_FLOW = struct.Struct("!HHBB")
_NONCES = struct.Struct("!HH")
_NAT = struct.Struct("!HI")


def units(seconds: int) -> int:
    """Seconds in the wire's unit, rounded down (grants never exceed the request), but never to 0: that deletes."""
    return min(seconds // UNIT_S, UNITS_MAX) or (1 if seconds > 0 else 0)


class Prefix(NamedTuple):
    """An IPv6 prefix: network octets and length in bits."""

    network: bytes
    length: int


@quick
@dataclass(frozen=True, slots=True)
class BindingRefreshAdvice:
    """Register again after `interval_s` (RFC 6275 6.2.4)."""

    interval_s: int
    type: ClassVar[int] = OptionType.BINDING_REFRESH_ADVICE

    def body(self) -> bytes:
        """The option's data."""
        return units(self.interval_s).to_bytes(2, "big")


@quick
@dataclass(frozen=True, slots=True)
class AlternateCareOf:
    """The care-of address, when it is not to be read off the packet's source (RFC 6275 6.2.5)."""

    care_of: bytes
    type: ClassVar[int] = OptionType.ALTERNATE_CARE_OF

    def body(self) -> bytes:
        """The option's data."""
        return self.care_of


@quick
@dataclass(frozen=True, slots=True)
class NonceIndices:
    """Which nonces made the keygen tokens (RFC 6275 6.2.6); never in a home registration."""

    home: int
    care_of: int
    type: ClassVar[int] = OptionType.NONCE_INDICES

    def body(self) -> bytes:
        """The option's data."""
        return _NONCES.pack(self.home, self.care_of)


@quick
@dataclass(frozen=True, slots=True)
class BindingAuthorizationData:
    """Proof towards a correspondent node (RFC 6275 6.2.7); the last option, without padding behind."""

    authenticator: bytes
    type: ClassVar[int] = OptionType.BINDING_AUTHORIZATION_DATA

    def body(self) -> bytes:
        """The option's data."""
        return self.authenticator


@quick
@dataclass(frozen=True, slots=True)
class MobileNetworkPrefix:
    """One prefix of the mobile network (RFC 3963 4.3). The length is as received, also above 128: that is answered 141.

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |      Type     |   Length      |   Reserved    | Prefix Length |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |              Mobile Network Prefix (16 octets)                |
    """

    prefix: Prefix
    type: ClassVar[int] = OptionType.MOBILE_NETWORK_PREFIX

    def body(self) -> bytes:
        """The option's data."""
        network, length = self.prefix
        return bytes((0, length)) + network


@quick
@dataclass(frozen=True, slots=True)
class MobileNodeIdentifier:
    """Who the mobile node says it is (RFC 4283 3); subtype 1 is a NAI."""

    subtype: int
    identifier: bytes
    type: ClassVar[int] = OptionType.MOBILE_NODE_IDENTIFIER

    def body(self) -> bytes:
        """The option's data."""
        return bytes((self.subtype,)) + self.identifier


@quick
@dataclass(frozen=True, slots=True)
class Authentication:
    """The mobility message authentication option (RFC 4285 5).

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Option Type  | Option Length |  Subtype      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                  Mobility SPI                                 |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                  Authentication Data ....                     |
    """

    subtype: int
    spi: int
    authenticator: bytes
    type: ClassVar[int] = OptionType.AUTHENTICATION

    def body(self) -> bytes:
        """The option's data."""
        return _AUTHENTICATION.pack(self.subtype, self.spi) + self.authenticator


@quick
@dataclass(frozen=True, slots=True)
class MessageIdentification:
    """Replay protection: a 64-bit NTP timestamp (RFC 4285 6)."""

    timestamp: int
    type: ClassVar[int] = OptionType.MESSAGE_IDENTIFICATION

    def body(self) -> bytes:
        """The option's data."""
        return self.timestamp.to_bytes(8, "big")


@quick
@dataclass(frozen=True, slots=True)
class RestartCounter:
    """How often the sender lost its state (RFC 5847 3.4)."""

    counter: int
    type: ClassVar[int] = OptionType.RESTART_COUNTER

    def body(self) -> bytes:
        """The option's data."""
        return self.counter.to_bytes(4, "big")


@quick
@dataclass(frozen=True, slots=True)
class IPv4HomeAddress:
    """A dual-stack node's IPv4 home address (RFC 5555 3.1.1); 0.0.0.0 asks for one, `prefix_wanted` for a prefix."""

    address: bytes
    prefix_length: int = 32
    prefix_wanted: bool = False
    type: ClassVar[int] = OptionType.IPV4_HOME_ADDRESS

    def body(self) -> bytes:
        """The option's data: six bits of length, then P."""
        return bytes((self.prefix_length << 2 | (2 if self.prefix_wanted else 0), 0)) + self.address


@quick
@dataclass(frozen=True, slots=True)
class IPv4AddressAck:
    """What became of the IPv4 home address (RFC 5555 3.2.1)."""

    status: int
    address: bytes
    prefix_length: int = 32
    type: ClassVar[int] = OptionType.IPV4_ADDRESS_ACK

    def body(self) -> bytes:
        """The option's data."""
        return bytes((self.status, self.prefix_length << 2)) + self.address


@quick
@dataclass(frozen=True, slots=True)
class NatDetection:
    """There is a NAT, or UDP is wanted (RFC 5555 3.2.2); `refresh_s` is in seconds on the wire, too; 0 says nothing."""

    force_udp: bool
    refresh_s: int
    type: ClassVar[int] = OptionType.NAT_DETECTION

    def body(self) -> bytes:
        """The option's data."""
        return _NAT.pack(0x8000 if self.force_udp else 0, self.refresh_s)


@quick
@dataclass(frozen=True, slots=True)
class IPv4CareOf:
    """An IPv4 care-of address (RFC 5555 3.1.2)."""

    address: bytes
    type: ClassVar[int] = OptionType.IPV4_CARE_OF

    def body(self) -> bytes:
        """The option's data."""
        return bytes(2) + self.address


@quick
@dataclass(frozen=True, slots=True)
class BindingIdentifier:
    """One care-of address of several (RFC 5648 4.3), 16 or 4 octets; `priority` is BID-PRI (RFC 6089 4.1).

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |   Type = 35   |     Length    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |       Binding ID (BID)        |     Status    |H|   BID-PRI   |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    :                 care-of address: none, 4 or 16 octets         :
    """

    bid: int
    status: int = 0
    home: bool = False
    priority: int = 0
    care_of: bytes | None = None
    type: ClassVar[int] = OptionType.BINDING_IDENTIFIER

    def body(self) -> bytes:
        """The option's data."""
        flags = 0x80 | self.priority if self.home else self.priority
        fixed = _BID.pack(self.bid, self.status, flags)
        return fixed if self.care_of is None else fixed + self.care_of


@quick
@dataclass(frozen=True, slots=True)
class MalformedBindingIdentifier:
    """A Binding Identifier option with a length that no rule allows; to be answered with 164 (RFC 5648 6.2)."""

    octets: bytes
    type: ClassVar[int] = OptionType.BINDING_IDENTIFIER

    def body(self) -> bytes:
        """The option's data."""
        return self.octets


@quick
@dataclass(frozen=True, slots=True)
class FlowIdentification:
    """A flow binding (RFC 6089 4.2); `suboptions` as received, since a fault in them has a status: see `flows.py`.

    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Option Type  |  Option Len   |              FID              |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |            FID-PRI            |   Reserved    |    Status     |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    :                        sub-options                            :
    """

    fid: int
    priority: int
    status: int = 0
    suboptions: bytes = b""
    type: ClassVar[int] = OptionType.FLOW_IDENTIFICATION

    def body(self) -> bytes:
        """The option's data."""
        return _FLOW.pack(self.fid, self.priority, 0, self.status) + self.suboptions


@quick
@dataclass(frozen=True, slots=True)
class FlowSummary:
    """Flow bindings to keep as they are (RFC 6089 4.4)."""

    fids: tuple[int, ...]
    type: ClassVar[int] = OptionType.FLOW_SUMMARY

    def body(self) -> bytes:
        """The option's data."""
        return b"".join(fid.to_bytes(2, "big") for fid in self.fids)


@quick
@dataclass(frozen=True, slots=True)
class UnknownOption:
    """An option of another RFC: number and octets, untouched. Not for a type that has a class here."""

    type: int
    octets: bytes

    def body(self) -> bytes:
        """The option's data."""
        return self.octets


Option = (
    BindingRefreshAdvice
    | AlternateCareOf
    | NonceIndices
    | BindingAuthorizationData
    | MobileNetworkPrefix
    | MobileNodeIdentifier
    | Authentication
    | MessageIdentification
    | RestartCounter
    | IPv4HomeAddress
    | IPv4AddressAck
    | NatDetection
    | IPv4CareOf
    | BindingIdentifier
    | MalformedBindingIdentifier
    | FlowIdentification
    | FlowSummary
    | UnknownOption
)
