"""The mobility header: octets <-> one message (RFC 6275 6.1, 9.2).

Checks in the RFC's order: checksum, type, Payload Proto, Header Len, then the options. Octets behind the length that
the header gives are ignored; a header longer than the packet cannot be checked and is malformed. Pure.
"""

import struct
from collections.abc import Callable

from mip6 import options
from mip6.errors import MalformedMessage
from mip6.messages import (
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    BindingRevocation,
    BindingUpdate,
    Heartbeat,
    HomeAgentSwitch,
    Message,
    UnknownMessage,
)
from mip6.numbers import MOBILITY_HEADER, NO_NEXT_HEADER, BindingAckFlag, BindingUpdateFlag, MessageType
from mip6.options import UNIT_S
from mip6.wire import checksum

__all__ = ["MalformedMessage", "decode", "encode", "with_checksum"]

_HEAD = struct.Struct("!BBBxH")
_UPDATE = struct.Struct("!HHH")
_ACK = struct.Struct("!BBHH")
_REVOCATION = struct.Struct("!BBHH")
_HEARTBEAT = struct.Struct("!HI")
_LIFETIME_MAX = 0xFFFF
_MIN_OCTETS = 8
_FIRST_BODY = 6  # offset of Message Data

# Type -> least Header Len (RFC 6275 9.2); types 1 to 4 are known, so not answered, and not for us.
_LEAST_LEN = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2, 12: 0, 13: 1, 16: 1}


def decode(octets: bytes, source: bytes, destination: bytes) -> Message:
    """One mobility header.

    Args:
        octets: from Payload Proto on. source: the home address if a Home Address option was there, else the wire
        source. destination: the final one, behind a type 2 routing header.
    Raises: MalformedMessage.
    """
    if len(octets) < _MIN_OCTETS:
        raise MalformedMessage("header_truncated")
    payload_proto, header_len, kind, _ = _HEAD.unpack_from(octets)
    size = 8 * (header_len + 1)
    if size > len(octets):
        raise MalformedMessage("header_longer_than_packet")
    octets = octets[:size]
    if checksum(source, destination, MOBILITY_HEADER, octets):
        raise MalformedMessage("checksum_wrong")
    least = _LEAST_LEN.get(kind)
    if least is None:
        return UnknownMessage(kind, octets[_FIRST_BODY:])
    if payload_proto != NO_NEXT_HEADER:
        raise MalformedMessage("payload_proto_wrong", pointer=0)
    if header_len < least:
        raise MalformedMessage("header_len_too_small", pointer=1)
    parse = _PARSERS.get(kind)
    return parse(octets) if parse else UnknownMessage(kind, octets[_FIRST_BODY:])


def encode(message: Message, source: bytes, destination: bytes) -> bytes:
    """The octets of a message, padded, with its checksum for this pseudo-header (see `decode`)."""
    return with_checksum(frame(message), source, destination)


def frame(message: Message) -> bytes:
    """The octets of a message with a zero checksum."""
    kind, fixed = _fixed_part(message)
    tail = options.encode(message.options, _FIRST_BODY + len(fixed))
    size = _FIRST_BODY + len(fixed) + len(tail)
    return _HEAD.pack(NO_NEXT_HEADER, size // 8 - 1, kind, 0) + fixed + tail


def with_checksum(octets: bytes, source: bytes, destination: bytes) -> bytes:
    """A mobility header whose checksum field is zero, with the right one put in."""
    value = checksum(source, destination, MOBILITY_HEADER, octets)
    return octets[:4] + value.to_bytes(2, "big") + octets[6:]


def _fixed_part(message: Message) -> tuple[int, bytes]:
    match message:
        case BindingUpdate(sequence, flags, lifetime_s):
            units = min(lifetime_s // UNIT_S, _LIFETIME_MAX)
            return MessageType.BINDING_UPDATE, _UPDATE.pack(sequence, flags, units)
        case BindingAck(status, ack_flags, sequence, lifetime_s):
            units = min(lifetime_s // UNIT_S, _LIFETIME_MAX)
            return MessageType.BINDING_ACK, _ACK.pack(status, ack_flags, sequence, units)
        case BindingRefreshRequest():
            return MessageType.BINDING_REFRESH_REQUEST, bytes(2)
        case BindingError(status, home_address):
            return MessageType.BINDING_ERROR, bytes((status, 0)) + home_address
        case HomeAgentSwitch(home_agents):
            return MessageType.HOME_AGENT_SWITCH, bytes((len(home_agents), 0)) + b"".join(home_agents)
        case Heartbeat(sequence, response, unsolicited):
            return MessageType.HEARTBEAT, _HEARTBEAT.pack(2 * unsolicited + response, sequence)
        case BindingRevocation(revocation_type, code, sequence, revocation_flags):
            return MessageType.BINDING_REVOCATION, _REVOCATION.pack(revocation_type, code, sequence, revocation_flags)
        case UnknownMessage(kind, body):
            return kind, body


def _update(octets: bytes) -> Message:
    sequence, flags, units = _UPDATE.unpack_from(octets, _FIRST_BODY)
    return BindingUpdate(sequence, BindingUpdateFlag(flags), units * UNIT_S, options.decode(octets, 12))


def _ack(octets: bytes) -> Message:
    status, flags, sequence, units = _ACK.unpack_from(octets, _FIRST_BODY)
    return BindingAck(status, BindingAckFlag(flags), sequence, units * UNIT_S, options.decode(octets, 12))


def _refresh_request(octets: bytes) -> Message:
    return BindingRefreshRequest(options.decode(octets, 8))


def _error(octets: bytes) -> Message:
    return BindingError(octets[6], octets[8:24], options.decode(octets, 24))


def _switch(octets: bytes) -> Message:
    end = 8 + 16 * octets[6]
    if end > len(octets):
        raise MalformedMessage("home_agent_switch_too_short")
    home_agents = tuple(octets[at : at + 16] for at in range(8, end, 16))
    return HomeAgentSwitch(home_agents, options.decode(octets, end))


def _heartbeat(octets: bytes) -> Message:
    bits, sequence = _HEARTBEAT.unpack_from(octets, _FIRST_BODY)
    return Heartbeat(sequence, bool(bits & 1), bool(bits & 2), options.decode(octets, 12))


def _revocation(octets: bytes) -> Message:
    kind, code, sequence, flags = _REVOCATION.unpack_from(octets, _FIRST_BODY)
    return BindingRevocation(kind, code, sequence, flags, options.decode(octets, 12))


_PARSERS: dict[int, Callable[[bytes], Message]] = {
    MessageType.BINDING_REFRESH_REQUEST: _refresh_request,
    MessageType.BINDING_UPDATE: _update,
    MessageType.BINDING_ACK: _ack,
    MessageType.BINDING_ERROR: _error,
    MessageType.HOME_AGENT_SWITCH: _switch,
    MessageType.HEARTBEAT: _heartbeat,
    MessageType.BINDING_REVOCATION: _revocation,
}
