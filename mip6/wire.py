"""Octets in general: Reader and Writer with a hard end, padding, the Internet checksum, what a usable address is.

Knows nothing of mobility messages. The checksum is done on one big integer because that is the fastest way there is
in Python: 2**16 is 1 modulo 65535, so the ones' complement sum of all 16-bit words is the whole buffer modulo 65535
(RFC 1071 2).
"""

from mip6.errors import MalformedMessage

_UNSPECIFIED = bytes(16)
_LOOPBACK = bytes(15) + b"\1"
_LINK_LOCAL = 0xFE80 >> 6  # fe80::/10


class Reader:
    """Takes fields off the front of `octets`; running past the end is a `MalformedMessage(reason)`."""

    __slots__ = ("_at", "_octets", "_reason")

    def __init__(self, octets: bytes, reason: str) -> None:
        self._octets = octets
        self._at = 0
        self._reason = reason

    def take(self, size: int) -> bytes:
        """The next `size` octets. Raises: MalformedMessage."""
        end = self._at + size
        if end > len(self._octets):
            raise MalformedMessage(self._reason)
        octets = self._octets[self._at : end]
        self._at = end
        return octets

    def number(self, size: int) -> int:
        """The next `size` octets as an unsigned number. Raises: MalformedMessage."""
        return int.from_bytes(self.take(size), "big")

    @property
    def left(self) -> int:
        """How many octets are left."""
        return len(self._octets) - self._at


class Writer:
    """Puts fields behind one another, at most `limit` octets; more is a ValueError."""

    __slots__ = ("_limit", "_octets")

    def __init__(self, limit: int) -> None:
        self._octets = bytearray()
        self._limit = limit

    def put(self, octets: bytes) -> None:
        """Append octets."""
        if len(self._octets) + len(octets) > self._limit:
            raise ValueError(f"{len(self._octets) + len(octets)} octets where {self._limit} fit")
        self._octets += octets

    def number(self, value: int, size: int) -> None:
        """Append an unsigned number of `size` octets."""
        try:
            self.put(value.to_bytes(size, "big"))
        except OverflowError:
            raise ValueError(f"{value} does not fit into {size} octets") from None

    def align(self, multiple: int) -> None:
        """Append zero octets (each a Pad1 where options are meant) up to a multiple."""
        self.put(bytes(-len(self._octets) % multiple))

    def octets(self) -> bytes:
        """What has been written."""
        return bytes(self._octets)


def checksum(source: bytes, destination: bytes, next_header: int, octets: bytes) -> int:
    """RFC 8200 8.1: 0 if `octets` holds a right checksum, else what is to be put in its zeroed checksum field."""
    size = len(octets)
    words = source + destination + octets
    if size % 2:
        words += b"\0"
    return -(int.from_bytes(words, "big") + size + next_header) % 0xFFFF


def padding(size: int) -> bytes:
    """`size` octets of Pad1 or PadN (RFC 6275 6.2.2, 6.2.3)."""
    if size == 0:
        return b""
    return b"\0" if size == 1 else bytes((1, size - 2)) + bytes(size - 2)


def is_unicast_routable(address: bytes) -> bool:
    """True for what RFC 6275 9.3.1 wants of a home or care-of address: not multicast, link-local, loopback or ::."""
    if address[0] == 0xFF or int.from_bytes(address[:2], "big") >> 6 == _LINK_LOCAL:
        return False
    return address not in (_UNSPECIFIED, _LOOPBACK)
