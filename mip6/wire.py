"""Reading with a hard end and writing with alignment: the only place that slices bytes by hand.

Also the Internet checksum over the IPv6 pseudo-header (RFC 8200 8.1), done on one big integer because that is the fastest way there is in
Python: 2**16 is 1 modulo 65535, so the sum of all 16-bit words is the whole buffer modulo 65535.
"""

import struct

from mip6.errors import MalformedMessage

_PSEUDO = struct.Struct("!16s16sI3xB")


class Reader:
    """Takes fields off the front of `octets`; running past the end is a `MalformedMessage(reason)`."""

    __slots__ = ("_at", "_octets", "_reason")

    def __init__(self, octets: bytes, reason: str) -> None:
        self._octets = octets
        self._at = 0
        self._reason = reason

    def take(self, size: int) -> bytes:
        """The next `size` octets."""
        end = self._at + size
        if end > len(self._octets):
            raise MalformedMessage(self._reason)
        octets = self._octets[self._at : end]
        self._at = end
        return octets

    def number(self, size: int) -> int:
        """The next `size` octets as an unsigned number."""
        return int.from_bytes(self.take(size), "big")

    @property
    def left(self) -> int:
        """How many octets are left."""
        return len(self._octets) - self._at


def checksum(source: bytes, destination: bytes, next_header: int, octets: bytes) -> int:
    """RFC 8200 8.1: 0 if `octets` holds a right checksum, else what is to be put in its zeroed checksum field."""
    data = _PSEUDO.pack(source, destination, len(octets), next_header) + octets
    if len(data) % 2:
        data += b"\0"
    return 0xFFFF - (int.from_bytes(data, "big") % 0xFFFF or 0xFFFF)


def padding(size: int) -> bytes:
    """`size` octets of Pad1 or PadN (RFC 6275 6.2.2, 6.2.3)."""
    if size == 0:
        return b""
    return b"\0" if size == 1 else bytes((1, size - 2)) + bytes(size - 2)
