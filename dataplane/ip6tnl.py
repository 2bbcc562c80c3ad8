"""The ip6tnl driver's encapsulation attributes (linux/lwtunnel.h) and its device. Bytes only, and the device's name.

One `external` device makes and ends all tunnels (RFC 2473): each nexthop tells it whither and from where. Unlike with
seg6 the kernel itself answers packets that are too big for a tunnel, and puts outer fragments together.
"""

import struct

from dataplane.message import attribute, attributes

DEVICE = "xsp-tunnel"
ENCAP_TYPE = 4  # LWTUNNEL_ENCAP_IP6
_ID, _DST, _SRC, _HOPLIMIT = 1, 2, 3, 4  # LWTUNNEL_IP6_*


def encapsulation(entry: bytes, exit: bytes, hop_limit: int) -> bytes:
    """Encapsulate from `entry` to `exit` (RFC 2473 2), which stands last."""
    packed = attribute(_ID, bytes(8)) + attribute(_SRC, entry) + attribute(_HOPLIMIT, struct.pack("=B", hop_limit))
    return packed + attribute(_DST, exit)


def ends(encap: bytes) -> tuple[bytes, bytes] | None:
    """Entry and exit of an encapsulation; None if it names none."""
    found = attributes(encap)
    entry, exit = found.get(_SRC, b""), found.get(_DST, b"")
    return (entry, exit) if len(entry) == len(exit) == 16 else None
