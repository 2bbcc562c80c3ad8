"""The mobility header: octets <-> one message (RFC 6275 6.1, 9.2).

Checks in the RFC's order: checksum, type, Payload Proto, Header Len, then what the type says. A header that is longer
than its packet cannot be checked, one that is shorter leaves octets that nothing covers: both are malformed without a
pointer, which means silence. A type nobody here knows is a message (`UnknownMessage`), for it has an answer: Binding
Error status 2.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mip6 import chain
from mip6.errors import MalformedMessage
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
    Message,
    UnknownMessage,
)
from mip6.numbers import (
    MOBILITY_HEADER,
    NO_NEXT_HEADER,
    BindingAckFlag,
    BindingRevocationFlag,
    BindingUpdateFlag,
    MessageType,
)
from mip6.options import UNIT_S, Option, units
from mip6.wire import checksum

__all__ = ["MalformedMessage", "decode", "encode", "frame", "options_at", "with_checksum"]

OCTETS_MIN = 8  # RFC 6275 6.1.1: Header Len 0
OCTETS_MAX = 2048  # Header Len 255
_BODY_AT = 6  # offset of Message Data

_HEAD = struct.Struct("!BBBxH")
_UPDATE = struct.Struct("!HHH")
_ACK = struct.Struct("!BBHH")
_HEARTBEAT = struct.Struct("!HI")
_TEST = struct.Struct("!H8s8s")

# Type -> least Header Len (RFC 6275 6.1, RFC 5142 4, RFC 5847 3.3, RFC 5846 6), and where its options begin.
_LEAST_LEN: dict[int, int] = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2, 12: 0, 13: 1, 16: 1}
_OPTIONS_AT: dict[int, int] = {0: 8, 1: 16, 2: 16, 3: 24, 4: 24, 5: 12, 6: 12, 7: 24, 13: 12, 16: 12}

# Reserved bits are ignored (RFC 6275 6.1.7), which also bounds how many flag values a stranger can make us keep.
_UPDATE_FLAGS = sum(flag.value for flag in BindingUpdateFlag)
_ACK_FLAGS = sum(flag.value for flag in BindingAckFlag)
_REVOCATION_FLAGS = sum(flag.value for flag in BindingRevocationFlag)
_update_flags = lru_cache(1024)(BindingUpdateFlag)
_ack_flags = lru_cache(32)(BindingAckFlag)


def decode(octets: bytes, source: bytes, destination: bytes) -> Message:
    """One mobility header.

    Args:
        octets: from Payload Proto to the end of the packet.
        source: the home address if a Home Address option was there, else the wire source.
        destination: the final one, behind a type 2 routing header.
    Raises: MalformedMessage.
    """
    size = len(octets)
    if size < OCTETS_MIN:
        raise MalformedMessage("header_truncated")
    header_len, kind = octets[1], octets[2]
    if 8 * (header_len + 1) != size:
        raise MalformedMessage("header_overrun" if 8 * (header_len + 1) > size else "octets_behind_header")
    if checksum(source, destination, MOBILITY_HEADER, octets):
        raise MalformedMessage("checksum")
    parse = _PARSERS.get(kind)
    if parse is None:
        return UnknownMessage(kind, octets[_BODY_AT:])
    if octets[0] != NO_NEXT_HEADER:
        raise MalformedMessage("payload_proto", 0)
    if header_len < _LEAST_LEN[kind]:
        raise MalformedMessage("header_len", 1)
    return parse(octets)


def encode(message: Message, source: bytes, destination: bytes) -> bytes:
    """The octets of a message, padded, with its checksum for this pseudo-header (see `decode`). Raises: ValueError."""
    return with_checksum(frame(message), source, destination)


def frame(message: Message, *appended: Option) -> bytes:
    """The octets of a message with a zero checksum, `appended` behind its own options. Raises: ValueError."""
    try:
        kind, fixed = _FIXED_PARTS[type(message)](message)
        at = _BODY_AT + len(fixed)
        if at != _OPTIONS_AT.get(kind, -(-at // 8) * 8):
            raise ValueError(f"an address or cookie of {type(message).__name__} has a wrong size")
        tail = chain.encode((*message.options, *appended) if appended else message.options, at)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a field of {type(message).__name__} does not fit: {error}") from None
    size = at + len(tail)
    if size > OCTETS_MAX or size % 8:
        raise ValueError(f"a mobility header of {size} octets cannot be: at most {OCTETS_MAX}, in steps of 8")
    return _HEAD.pack(NO_NEXT_HEADER, size // 8 - 1, kind, 0) + fixed + tail


def with_checksum(octets: bytes, source: bytes, destination: bytes) -> bytes:
    """A mobility header whose checksum field is zero, with the right one put in."""
    value = checksum(source, destination, MOBILITY_HEADER, octets)
    return octets[:4] + value.to_bytes(2, "big") + octets[6:]


def options_at(octets: bytes) -> int:
    """Where the options of a mobility header begin; its end if it has none. Never raises."""
    if len(octets) < OCTETS_MIN:
        return len(octets)
    if octets[2] == MessageType.HOME_AGENT_SWITCH:
        return 8 + 16 * octets[6]
    return _OPTIONS_AT.get(octets[2], len(octets))


def _refresh_request(octets: bytes) -> Message:
    return BindingRefreshRequest(chain.decode(octets, 8))


def _home_test_init(octets: bytes) -> Message:
    return HomeTestInit(octets[8:16], chain.decode(octets, 16))


def _care_of_proof_init(octets: bytes) -> Message:
    return CareOfTestInit(octets[8:16], chain.decode(octets, 16))


def _home_test(octets: bytes) -> Message:
    nonce_index, cookie, token = _TEST.unpack_from(octets, _BODY_AT)
    return HomeTest(nonce_index, cookie, token, chain.decode(octets, 24))


def _care_of_proof(octets: bytes) -> Message:
    nonce_index, cookie, token = _TEST.unpack_from(octets, _BODY_AT)
    return CareOfTest(nonce_index, cookie, token, chain.decode(octets, 24))


def _update(octets: bytes) -> Message:
    sequence, flags, lifetime = _UPDATE.unpack_from(octets, _BODY_AT)
    return BindingUpdate(sequence, _update_flags(flags & _UPDATE_FLAGS), lifetime * UNIT_S, chain.decode(octets, 12))


def _ack(octets: bytes) -> Message:
    status, flags, sequence, lifetime = _ACK.unpack_from(octets, _BODY_AT)
    return BindingAck(status, _ack_flags(flags & _ACK_FLAGS), sequence, lifetime * UNIT_S, chain.decode(octets, 12))


def _error(octets: bytes) -> Message:
    return BindingError(octets[6], octets[8:24], chain.decode(octets, 24))


def _switch(octets: bytes) -> Message:
    end = 8 + 16 * octets[6]
    if end > len(octets):
        raise MalformedMessage("home_agent_switch_overrun")
    return HomeAgentSwitch(tuple(octets[at : at + 16] for at in range(8, end, 16)), chain.decode(octets, end))


def _heartbeat(octets: bytes) -> Message:
    bits, sequence = _HEARTBEAT.unpack_from(octets, _BODY_AT)
    return Heartbeat(sequence, bool(bits & 1), bool(bits & 2), chain.decode(octets, 12))


def _revocation(octets: bytes) -> Message:
    kind, code, sequence, flags = _ACK.unpack_from(octets, _BODY_AT)
    known = BindingRevocationFlag(flags & _REVOCATION_FLAGS)
    return BindingRevocation(kind, code, sequence, known, chain.decode(octets, 12))


_PARSERS: dict[int, Callable[[bytes], Message]] = {
    MessageType.BINDING_REFRESH_REQUEST: _refresh_request,
    MessageType.HOME_TEST_INIT: _home_test_init,
    MessageType.CARE_OF_TEST_INIT: _care_of_proof_init,
    MessageType.HOME_TEST: _home_test,
    MessageType.CARE_OF_TEST: _care_of_proof,
    MessageType.BINDING_UPDATE: _update,
    MessageType.BINDING_ACK: _ack,
    MessageType.BINDING_ERROR: _error,
    MessageType.HOME_AGENT_SWITCH: _switch,
    MessageType.HEARTBEAT: _heartbeat,
    MessageType.BINDING_REVOCATION: _revocation,
}

# Class -> (type, Message Data up to the options). Any, because each function takes its own class.
_FIXED_PARTS: dict[type, Callable[[Any], tuple[int, bytes]]] = {
    BindingRefreshRequest: lambda m: (0, b"\0\0"),
    HomeTestInit: lambda m: (1, b"\0\0" + m.cookie),
    CareOfTestInit: lambda m: (2, b"\0\0" + m.cookie),
    HomeTest: lambda m: (3, m.nonce_index.to_bytes(2, "big") + m.cookie + m.keygen_token),
    CareOfTest: lambda m: (4, m.nonce_index.to_bytes(2, "big") + m.cookie + m.keygen_token),
    BindingUpdate: lambda m: (5, _UPDATE.pack(m.sequence, m.flags, units(m.lifetime_s))),
    BindingAck: lambda m: (6, _ACK.pack(m.status, m.flags, m.sequence, units(m.lifetime_s))),
    BindingError: lambda m: (7, bytes((m.status, 0)) + m.home_address),
    HomeAgentSwitch: lambda m: (12, bytes((len(m.home_agents), 0)) + b"".join(m.home_agents)),
    Heartbeat: lambda m: (13, _HEARTBEAT.pack(2 * m.unsolicited + m.response, m.sequence)),
    BindingRevocation: lambda m: (16, _ACK.pack(m.revocation_type, m.code, m.sequence, m.flags)),
    UnknownMessage: lambda m: (m.type, m.body),
}
