"""From effects to whole packets of this home agent. Pure; `source` is always the home agent address (RFC 4908)."""

from ha import effects
from mip6 import auth, discovery, header, packet
from mip6.auth import SecurityAssociation
from mip6.messages import BindingError, Message
from mip6.numbers import ICMPV6

Packet = (
    effects.SendBindingAck
    | effects.SendToRouter
    | effects.SendHomeAgents
    | effects.SendPrefixes
    | effects.SendBindingError
    | effects.SendParameterProblem
)


def octets(effect: Packet, source: bytes) -> bytes:
    """The packet that carries out an effect."""
    match effect:
        case effects.SendBindingAck(ack, care_of, home_address, signed_home_address, association):
            final = signed_home_address if home_address is not None else care_of
            signed = _signed(ack, association, care_of, signed_home_address, source, final)
            return packet.ack_packet(source, care_of, home_address, signed)
        case effects.SendToRouter(message, care_of, home_address, association, routed):
            final = home_address if routed else care_of
            signed = _signed(message, association, care_of, home_address, source, final)
            return packet.ack_packet(source, care_of, home_address if routed else None, signed)
        case effects.SendHomeAgents(identifier, mobile_router, destination):
            told = discovery.encode_home_agents(identifier, mobile_router, (source,), source, destination)
            return packet.plain_packet(source, destination, told, ICMPV6)
        case effects.SendPrefixes(identifier, care_of, home_address, (network, length), preferred_s, valid_s):
            home_prefix = discovery.HomePrefix(network, length, preferred_s, valid_s)
            told = discovery.encode_prefixes(identifier, (home_prefix,), source, home_address)
            return packet.routed_packet(source, care_of, home_address, told, ICMPV6)
        case effects.SendBindingError(status, destination, home_address):
            return packet.plain_packet(
                source, destination, header.encode(BindingError(status, home_address), source, destination)
            )
        case effects.SendParameterProblem(to, destination, extension, quoted, pointer):
            return packet.parameter_problem(source, to, destination, extension, quoted, pointer)


def _signed(
    message: Message,
    association: SecurityAssociation | None,
    care_of: bytes,
    home_address: bytes,
    source: bytes,
    final: bytes,
) -> bytes:
    if association is None:
        return header.encode(message, source, final)
    return auth.encode_signed(message, association, care_of, home_address, source, final)
