"""The Internet behind an ISP: a BGP speaker that gives its neighbour many routes, each with a path of its own.

`python -m tests.bgp.feeder OWN_ADDRESS NEIGHBOUR ROUTES` until the session ends. RFC 4271 4, RFC 4760 3, RFC 6793 3.
"""

import socket
import struct
import sys
from ipaddress import IPv6Address

AS, HOLD_S, PORT = 64510, 0, 179  # no keepalives wanted
OPEN, UPDATE, KEEPALIVE = 1, 2, 4
IPV6_UNICAST = struct.pack(">HBB", 2, 0, 1)
ORIGIN, AS_PATH, COMMUNITIES, MP_REACH = 1, 2, 8, 14
LENGTH = 48


def message(kind: int, body: bytes = b"") -> bytes:
    return b"\xff" * 16 + struct.pack(">HB", 19 + len(body), kind) + body


def opening() -> bytes:
    capabilities = bytes([1, 4]) + IPV6_UNICAST + bytes([65, 4]) + struct.pack(">I", AS)
    parameters = bytes([2, len(capabilities)]) + capabilities
    return message(OPEN, struct.pack(">BHHIB", 4, AS, HOLD_S, 0xC0000209, len(parameters)) + parameters)


def attribute(flags: int, kind: int, value: bytes) -> bytes:
    return struct.pack(">BBB", flags, kind, len(value)) + value


def update(number: int, next_hop: bytes) -> bytes:
    """The `number`-th route: a /48 of 2001:db8::/32, over three ASes."""
    path = struct.pack(">BBIII", 2, 3, AS, 100_000 + number, 200_000 + number % 997)
    prefix = bytes([LENGTH]) + bytes.fromhex("20010db8") + struct.pack(">H", number)
    reach = IPV6_UNICAST[:2] + bytes([1, len(next_hop)]) + next_hop + b"\0" + prefix
    attributes = attribute(0x40, ORIGIN, b"\0") + attribute(0x40, AS_PATH, path)
    attributes += attribute(0xC0, COMMUNITIES, struct.pack(">HHHH", AS, number, AS, number % 7))
    attributes += attribute(0x80, MP_REACH, reach)
    return message(UPDATE, struct.pack(">HH", 0, len(attributes)) + attributes)


def main() -> None:
    own, neighbour, routes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    stream = socket.create_connection((neighbour, PORT), source_address=(own, 0))
    stream.sendall(opening() + message(KEEPALIVE))
    hop = IPv6Address(own).packed
    stream.sendall(b"".join(update(number, hop) for number in range(routes)))
    while stream.recv(65536):
        pass


if __name__ == "__main__":
    main()
