"""The chain of options behind a message's fixed part: lengths, padding, alignment, order (RFC 6275 6.2.1).

Structural faults are silent; a known option with a wrong length is malformed with the pointer at its length octet;
only a Binding Identifier's survives as a value, because RFC 5648 6.2 wants it answered (164). An authentication
option ends the header and all padding stands before it: what would follow is not covered by it (RFC 4285 5).
Positions count from the start of the mobility header.
"""

import struct
from collections.abc import Callable, Container, Sequence

from mip6 import flows
from mip6.errors import MalformedMessage
from mip6.numbers import AuthenticationSubtype, OptionType
from mip6.options import (
    UNIT_S,
    AlternateCareOf,
    Authentication,
    BindingAuthorizationData,
    BindingIdentifier,
    BindingRefreshAdvice,
    FlowIdentification,
    FlowSummary,
    IPv4AddressAck,
    IPv4CareOf,
    IPv4HomeAddress,
    MalformedBindingIdentifier,
    MessageIdentification,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    NatDetection,
    NonceIndices,
    Option,
    Prefix,
    RestartCounter,
    UnknownOption,
)
from mip6.wire import padding

_BID = struct.Struct("!HBB")
_BID_WITH_IPV6 = struct.Struct("!HBB16s")
_AUTHENTICATION = struct.Struct("!BI")
_FLOW = struct.Struct("!HHxB")
_NONCES = struct.Struct("!HH")
_NAT = struct.Struct("!HI")

_PAD1 = int(OptionType.PAD1)
_PADN = int(OptionType.PADN)
_AUTH = int(OptionType.AUTHENTICATION)
_BID_TYPE = int(OptionType.BINDING_IDENTIFIER)
_FLOW_TYPE = int(OptionType.FLOW_IDENTIFICATION)

# Type -> (multiple, offset): the Type octet stands at multiple * k + offset. What is not listed stands anywhere.
_ALIGNMENT: dict[int, tuple[int, int]] = {
    OptionType.BINDING_REFRESH_ADVICE: (2, 0),  # RFC 6275 6.2.4
    OptionType.ALTERNATE_CARE_OF: (8, 6),  # RFC 6275 6.2.5
    OptionType.NONCE_INDICES: (2, 0),  # RFC 6275 6.2.6
    OptionType.BINDING_AUTHORIZATION_DATA: (8, 2),  # RFC 6275 6.2.7: so that it ends the header
    OptionType.MOBILE_NETWORK_PREFIX: (8, 4),  # RFC 3963 4.3
    OptionType.AUTHENTICATION: (4, 1),  # RFC 4285 5
    OptionType.MESSAGE_IDENTIFICATION: (8, 2),  # RFC 4285 6
    OptionType.VENDOR_SPECIFIC: (4, 2),  # RFC 5094 3
    OptionType.RESTART_COUNTER: (4, 2),  # RFC 5847 3.4
    OptionType.IPV4_HOME_ADDRESS: (4, 0),  # RFC 5555 3
    OptionType.IPV4_ADDRESS_ACK: (4, 0),
    OptionType.NAT_DETECTION: (4, 0),
    OptionType.IPV4_CARE_OF: (4, 0),
    OptionType.IPV6_ADDRESS_PREFIX: (8, 4),  # RFC 5568 6.4.2
    OptionType.BINDING_IDENTIFIER: (2, 0),  # RFC 5648 4.3, without a care-of address
    OptionType.FLOW_SUMMARY: (2, 0),  # RFC 6089 4.4
    OptionType.FLOW_IDENTIFICATION: (2, 0),  # RFC 6089 4.2
}
_BID_WITH_CARE_OF = (8, 2)  # RFC 5648 4.3
_ANYWHERE = (1, 0)
_PADDING = tuple(padding(size) for size in range(8))


def decode(octets: bytes, start: int) -> tuple[Option, ...]:
    """The options of a mobility header from offset `start` to its end. Raises: MalformedMessage."""
    options: list[Option] = []
    add = options.append
    authenticated = None  # index of the first authentication option
    padded = False
    at, end = start, len(octets)
    while at < end:
        kind = octets[at]
        if kind == _PAD1:
            at += 1
            padded = True
            continue
        behind = at + 2
        if behind > end:
            raise MalformedMessage("option_truncated")
        size = octets[at + 1]
        behind += size
        if behind > end:
            raise MalformedMessage("option_overrun")
        if kind == _PADN:
            padded = True
        else:
            parse = _PARSERS.get(kind << 8 | size)
            if parse is not None:
                if kind == _AUTH and authenticated is None:
                    authenticated = len(options)
                add(parse(octets[at + 2 : behind]))
            elif kind in _KNOWN:
                raise MalformedMessage("option_length", at + 1)
            else:
                add(UnknownOption(kind, octets[at + 2 : behind]))
            padded = False
        at = behind
    if authenticated is not None:
        _check_order(options[authenticated:], padded)
    return tuple(options)


def encode(options: Sequence[Option], start: int) -> bytes:
    """Options from offset `start` on, each aligned, the whole padded to a multiple of 8. Raises: ValueError."""
    parts: list[bytes] = []
    at, last = start, options[-1] if options else None
    for option in options:
        body = option.body()
        size = len(body)
        kind = option.type
        if kind << 8 | size not in _PARSERS and kind in _KNOWN:
            raise ValueError(f"{type(option).__name__} with {size} octets")
        if kind == _BID_TYPE:
            multiple, offset = _BID_WITH_CARE_OF if size in (8, 20) else (2, 0)
        elif kind == _AUTH and option is last:
            multiple, offset = 8, -2 - size
        elif kind == _FLOW_TYPE:
            multiple, offset = flows.alignment(body[6:]), 0
        else:
            multiple, offset = _ALIGNMENT.get(kind, _ANYWHERE)
        gap = (offset - at) % multiple
        if gap:
            parts.append(_PADDING[gap])
        parts.append(bytes((kind, size)))
        parts.append(body)
        at += gap + 2 + size
    parts.append(_PADDING[-at % 8])
    return b"".join(parts)


def find_mn_ha(octets: bytes, start: int) -> int | None:
    """Where the MN-HA authentication option of a mobility header stands, or None. Never raises."""
    at, end = start, len(octets)
    while at + 2 < end:
        kind = octets[at]
        if kind == _PAD1:
            at += 1
            continue
        if kind == _AUTH and octets[at + 2] == AuthenticationSubtype.MN_HA:
            return at if at + 2 + octets[at + 1] <= end else None
        at += 2 + octets[at + 1]
    return None


def _check_order(tail: list[Option], padded: bool) -> None:
    """RFC 4285 5: nothing behind authentication options, MN-HA before MN-AAA, each once; else discarded."""
    subtypes = [option.subtype for option in tail if isinstance(option, Authentication)]
    if padded or len(subtypes) != len(tail):
        raise MalformedMessage("authentication_not_last")
    if len(subtypes) > 1 and subtypes != sorted(set(subtypes)):
        raise MalformedMessage("authentication_order")


def _refresh_advice(body: bytes) -> Option:
    return BindingRefreshAdvice(int.from_bytes(body, "big") * UNIT_S)


def _nonce_indices(body: bytes) -> Option:
    return NonceIndices(*_NONCES.unpack(body))


def _mobile_network_prefix(body: bytes) -> Option:
    return MobileNetworkPrefix(Prefix(body[2:], body[1]))


def _mobile_node_identifier(body: bytes) -> Option:
    return MobileNodeIdentifier(body[0], body[1:])


def _authentication(body: bytes) -> Option:
    subtype, spi = _AUTHENTICATION.unpack_from(body)
    return Authentication(subtype, spi, body[5:])


def _message_identification(body: bytes) -> Option:
    return MessageIdentification(int.from_bytes(body, "big"))


def _restart_counter(body: bytes) -> Option:
    return RestartCounter(int.from_bytes(body, "big"))


def _ipv4_home_address(body: bytes) -> Option:
    return IPv4HomeAddress(body[2:], body[0] >> 2, bool(body[0] & 2))


def _ipv4_address_ack(body: bytes) -> Option:
    return IPv4AddressAck(body[0], body[2:], body[1] >> 2)


def _nat_detection(body: bytes) -> Option:
    flags, refresh_s = _NAT.unpack(body)
    return NatDetection(flags >= 0x8000, refresh_s)


def _ipv4_care_of(body: bytes) -> Option:
    return IPv4CareOf(body[2:])


def _binding_identifier(body: bytes) -> Option:
    bid, status, flags = _BID.unpack_from(body)
    return BindingIdentifier(bid, status, flags >= 0x80, flags & 0x7F, body[4:] or None)


def _bulk_binding_identifier(body: bytes) -> Option:
    bid, status, flags, care_of = _BID_WITH_IPV6.unpack(body)
    return BindingIdentifier(bid, status, flags >= 0x80, flags & 0x7F, care_of)


def _flow_identification(body: bytes) -> Option:
    fid, priority, status = _FLOW.unpack_from(body)
    return FlowIdentification(fid, priority, status, body[6:])


def _flow_summary(body: bytes) -> Option:
    return FlowSummary(struct.unpack(f"!{len(body) // 2}H", body))


# Type -> (allowed lengths, parser of the data)
_KNOWN: dict[int, tuple[Container[int], Callable[[bytes], Option]]] = {
    OptionType.BINDING_REFRESH_ADVICE: ((2,), _refresh_advice),
    OptionType.ALTERNATE_CARE_OF: ((16,), AlternateCareOf),
    OptionType.NONCE_INDICES: ((4,), _nonce_indices),
    OptionType.BINDING_AUTHORIZATION_DATA: ((12,), BindingAuthorizationData),
    OptionType.MOBILE_NETWORK_PREFIX: ((18,), _mobile_network_prefix),
    OptionType.MOBILE_NODE_IDENTIFIER: (range(1, 256), _mobile_node_identifier),
    OptionType.AUTHENTICATION: (range(5, 256), _authentication),
    OptionType.MESSAGE_IDENTIFICATION: ((8,), _message_identification),
    OptionType.RESTART_COUNTER: ((4,), _restart_counter),
    OptionType.IPV4_HOME_ADDRESS: ((6,), _ipv4_home_address),
    OptionType.IPV4_ADDRESS_ACK: ((6,), _ipv4_address_ack),
    OptionType.NAT_DETECTION: ((6,), _nat_detection),
    OptionType.IPV4_CARE_OF: ((6,), _ipv4_care_of),
    OptionType.BINDING_IDENTIFIER: (range(256), MalformedBindingIdentifier),
    OptionType.FLOW_IDENTIFICATION: (range(6, 256), _flow_identification),
    OptionType.FLOW_SUMMARY: (range(0, 256, 2), _flow_summary),
}

# The same by type and length in one number: the one question asked of every option that comes in.
_PARSERS = {kind << 8 | size: parse for kind, (sizes, parse) in _KNOWN.items() for size in range(256) if size in sizes}
# RFC 5648 4.3: no care-of address, IPv4, IPv6; all other lengths are answered.
_PARSERS |= {_BID_TYPE << 8 | size: _binding_identifier for size in (4, 8)} | {
    _BID_TYPE << 8 | 20: _bulk_binding_identifier
}
