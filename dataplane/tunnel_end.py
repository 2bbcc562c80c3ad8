"""The addresses at which tunnels end with seg6: one for IPv6 inside, one for IPv4, made from the home agent's. Pure.

They never leave the machine. Their octets add up to the same as the home agent address in one's complement, as with
RFC 6296: a network card's own sum over a packet, which the kernel may keep for later, stays right when one stands for
the other.
"""

import struct

from dataplane.numbers import DISCARD_ONLY

_WORDS = struct.Struct("!8H")


def tunnel_end(home_agent_address: bytes, version: int) -> bytes:
    """Where packets of IP `version` 4 or 6 come out of their tunnel to the home agent (RFC 2473, RFC 8986 4.6, 4.5)."""
    up_to_last = DISCARD_ONLY + bytes(5) + bytes((version,))
    rest: int = sum(_WORDS.unpack(home_agent_address)) - sum(_WORDS.unpack(up_to_last + bytes(2)))
    return up_to_last + (rest % 0xFFFF).to_bytes(2, "big")
