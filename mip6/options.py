"""Mobility options as values, and their octets (RFC 6275 6.2 and the RFC named at each).

Owns the TLV chain: padding, alignment, lengths. An option nobody knows keeps its number and octets. A known option
with a wrong length is malformed with the pointer at its length octet; only a Binding Identifier's survives, because
RFC 5648 6.2 wants it answered (164).
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from mip6.errors import MalformedMessage
from mip6.numbers import OptionType
from mip6.wire import padding

_PREFIX = struct.Struct("!xB16s")
_BID = struct.Struct("!HBB")
_AUTHENTICATION = struct.Struct("!BI")
_FLOW = struct.Struct("!HHBB")
UNIT_S = 4  # lifetimes and intervals on the wire


class Prefix(NamedTuple):
    """An IPv6 prefix: network octets and length in bits."""

    network: bytes
    length: int


@dataclass(frozen=True, slots=True)
class BindingRefreshAdvice:
    """Register again after `interval_s` (RFC 6275 6.2.4)."""

    interval_s: int
    type: ClassVar[int] = OptionType.BINDING_REFRESH_ADVICE

    def body(self) -> bytes:
        """The option's data."""
        return (self.interval_s // UNIT_S).to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class AlternateCareOf:
    """The care-of address, when it is not the packet's source (RFC 6275 6.2.5)."""

    care_of: bytes
    type: ClassVar[int] = OptionType.ALTERNATE_CARE_OF

    def body(self) -> bytes:
        """The option's data."""
        return self.care_of


@dataclass(frozen=True, slots=True)
class MobileNetworkPrefix:
    """One prefix of the mobile network (RFC 3963 4.3). The length is as received, also above 128."""

    prefix: Prefix
    type: ClassVar[int] = OptionType.MOBILE_NETWORK_PREFIX

    def body(self) -> bytes:
        """The option's data."""
        return _PREFIX.pack(self.prefix.length, self.prefix.network)


@dataclass(frozen=True, slots=True)
class MobileNodeIdentifier:
    """Who the mobile node says it is (RFC 4283 3); subtype 1 is a NAI."""

    subtype: int
    identifier: bytes
    type: ClassVar[int] = OptionType.MOBILE_NODE_IDENTIFIER

    def body(self) -> bytes:
        """The option's data."""
        return bytes((self.subtype,)) + self.identifier


@dataclass(frozen=True, slots=True)
class Authentication:
    """The mobility message authentication option (RFC 4285 5)."""

    subtype: int
    spi: int
    authenticator: bytes
    type: ClassVar[int] = OptionType.AUTHENTICATION

    def body(self) -> bytes:
        """The option's data."""
        return _AUTHENTICATION.pack(self.subtype, self.spi) + self.authenticator


@dataclass(frozen=True, slots=True)
class MessageIdentification:
    """Replay protection: a 64-bit NTP timestamp (RFC 4285 6)."""

    timestamp: int
    type: ClassVar[int] = OptionType.MESSAGE_IDENTIFICATION

    def body(self) -> bytes:
        """The option's data."""
        return self.timestamp.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class RestartCounter:
    """How often the sender lost its state (RFC 5847 3.4)."""

    counter: int
    type: ClassVar[int] = OptionType.RESTART_COUNTER

    def body(self) -> bytes:
        """The option's data."""
        return self.counter.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class BindingIdentifier:
    """One care-of address of several (RFC 5648 4.1); `priority` is BID-PRI (RFC 6089 4.1).

    `care_of` has 16 or 4 octets.
    """

    bid: int
    status: int = 0
    home: bool = False
    priority: int = 0
    care_of: bytes | None = None
    type: ClassVar[int] = OptionType.BINDING_IDENTIFIER

    def body(self) -> bytes:
        """The option's data."""
        flags = (0x80 if self.home else 0) | self.priority
        return _BID.pack(self.bid, self.status, flags) + (self.care_of or b"")


@dataclass(frozen=True, slots=True)
class MalformedBindingIdentifier:
    """A Binding Identifier option with a length that no rule allows; to be answered with 164 (RFC 5648 6.2)."""

    octets: bytes
    type: ClassVar[int] = OptionType.BINDING_IDENTIFIER

    def body(self) -> bytes:
        """The option's data."""
        return self.octets


@dataclass(frozen=True, slots=True)
class FlowIdentification:
    """A flow binding (RFC 6089 4.2); `suboptions` as received."""

    fid: int
    priority: int
    status: int
    suboptions: bytes
    type: ClassVar[int] = OptionType.FLOW_IDENTIFICATION

    def body(self) -> bytes:
        """The option's data."""
        return _FLOW.pack(self.fid, self.priority, 0, self.status) + self.suboptions


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """Flow bindings to keep (RFC 6089 4.4)."""

    fids: tuple[int, ...]
    type: ClassVar[int] = OptionType.FLOW_SUMMARY

    def body(self) -> bytes:
        """The option's data."""
        return b"".join(fid.to_bytes(2, "big") for fid in self.fids)


@dataclass(frozen=True, slots=True)
class UnknownOption:
    """An option of another RFC: number and octets, untouched."""

    type: int
    octets: bytes

    def body(self) -> bytes:
        """The option's data."""
        return self.octets


Option = (
    BindingRefreshAdvice
    | AlternateCareOf
    | MobileNetworkPrefix
    | MobileNodeIdentifier
    | Authentication
    | MessageIdentification
    | RestartCounter
    | BindingIdentifier
    | MalformedBindingIdentifier
    | FlowIdentification
    | FlowSummary
    | UnknownOption
)

# Type -> (multiple, offset): the Type octet stands at multiple * k + offset from the start of the mobility header.
_ALIGNMENT: dict[int, tuple[int, int]] = {
    OptionType.BINDING_REFRESH_ADVICE: (2, 0),
    OptionType.ALTERNATE_CARE_OF: (8, 6),
    OptionType.NONCE_INDICES: (2, 0),
    OptionType.MOBILE_NETWORK_PREFIX: (8, 4),
    OptionType.AUTHENTICATION: (4, 1),
    OptionType.MESSAGE_IDENTIFICATION: (8, 2),
    OptionType.RESTART_COUNTER: (4, 2),
    OptionType.IPV4_HOME_ADDRESS: (4, 0),
    OptionType.IPV4_ADDRESS_ACK: (4, 0),
    OptionType.NAT_DETECTION: (4, 0),
    OptionType.IPV4_CARE_OF: (4, 0),
    OptionType.BINDING_IDENTIFIER: (2, 0),
    OptionType.FLOW_SUMMARY: (2, 0),
    OptionType.FLOW_IDENTIFICATION: (2, 0),
}


def _refresh_advice(body: bytes) -> Option:
    return BindingRefreshAdvice(int.from_bytes(body, "big") * UNIT_S)


def _mobile_network_prefix(body: bytes) -> Option:
    length, network = _PREFIX.unpack(body)
    return MobileNetworkPrefix(Prefix(network, length))


def _identifier(body: bytes) -> Option:
    return MobileNodeIdentifier(body[0], body[1:])


def _authentication(body: bytes) -> Option:
    subtype, spi = _AUTHENTICATION.unpack_from(body)
    return Authentication(subtype, spi, body[5:])


def _message_identification(body: bytes) -> Option:
    return MessageIdentification(int.from_bytes(body, "big"))


def _restart_counter(body: bytes) -> Option:
    return RestartCounter(int.from_bytes(body, "big"))


def _binding_identifier(body: bytes) -> Option:
    if len(body) not in (4, 8, 20):
        return MalformedBindingIdentifier(body)
    bid, status, flags = _BID.unpack_from(body)
    return BindingIdentifier(bid, status, flags >= 0x80, flags & 0x7F, body[4:] or None)


def _flow_identification(body: bytes) -> Option:
    fid, priority, _, status = _FLOW.unpack_from(body)
    return FlowIdentification(fid, priority, status, body[6:])


def _flow_summary(body: bytes) -> Option:
    return FlowSummary(tuple(int.from_bytes(body[at : at + 2], "big") for at in range(0, len(body), 2)))


_ANY = range(256)
# Type -> (allowed lengths, parser)
_KNOWN: dict[int, tuple[Sequence[int], Callable[[bytes], Option]]] = {
    OptionType.BINDING_REFRESH_ADVICE: ((2,), _refresh_advice),
    OptionType.ALTERNATE_CARE_OF: ((16,), AlternateCareOf),
    OptionType.MOBILE_NETWORK_PREFIX: ((18,), _mobile_network_prefix),
    OptionType.MOBILE_NODE_IDENTIFIER: (range(2, 256), _identifier),
    OptionType.AUTHENTICATION: (range(6, 256), _authentication),
    OptionType.MESSAGE_IDENTIFICATION: ((8,), _message_identification),
    OptionType.RESTART_COUNTER: ((4,), _restart_counter),
    OptionType.BINDING_IDENTIFIER: (_ANY, _binding_identifier),
    OptionType.FLOW_IDENTIFICATION: (range(6, 256), _flow_identification),
    OptionType.FLOW_SUMMARY: (range(2, 256, 2), _flow_summary),
}


def decode(octets: bytes, start: int) -> tuple[Option, ...]:
    """The options of a mobility header from offset `start` to its end. Raises: MalformedMessage."""
    options: list[Option] = []
    at, end = start, len(octets)
    while at < end:
        kind = octets[at]
        if kind == OptionType.PAD1:
            at += 1
            continue
        if at + 2 > end or at + 2 + octets[at + 1] > end:
            raise MalformedMessage("option_overruns_header")
        size = octets[at + 1]
        if kind != OptionType.PADN:
            body = octets[at + 2 : at + 2 + size]
            known = _KNOWN.get(kind)
            if known is None:
                options.append(UnknownOption(kind, body))
            elif size not in known[0]:
                raise MalformedMessage("option_length_wrong", pointer=at + 1)
            else:
                options.append(known[1](body))
        at += 2 + size
    return tuple(options)


def encode(options: Sequence[Option], start: int) -> bytes:
    """Options from offset `start` on, each aligned, the whole padded to a multiple of 8.

    An authentication option is last and ends the header: nothing may follow it, so all padding stands before (RFC
    4285 5).
    """
    out = bytearray()
    for option in options:
        body = option.body()
        multiple, offset = _alignment(option, len(body))
        if isinstance(option, Authentication) and option is options[-1]:
            multiple, offset = 8, -(2 + len(body)) % 8
        out += padding((offset - start - len(out)) % multiple)
        out += bytes((option.type, len(body))) + body
    return bytes(out + padding(-(start + len(out)) % 8))


def _alignment(option: Option, size: int) -> tuple[int, int]:
    if option.type == OptionType.BINDING_IDENTIFIER and size > 4:
        return 8, 2  # RFC 5648 4.1: with a care-of address
    return _ALIGNMENT.get(option.type, (1, 0))
