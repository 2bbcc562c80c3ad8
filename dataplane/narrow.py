"""Lines too narrow for a tunnel: remembered, so that somebody is told whose packets vanish. Pure.

Theory of operation. Every IPv6 path carries packets of 1280 octets, and so must a tunnel's inside; a line that carries
less than 40 octets more does not. We do not fragment outside the tunnel, and nobody may be told to send less than 1280
inside (RFC 8200 5), so such a line loses packets, of some sizes only, for ever. No protocol mends that: an operator
must, by a wider line. What we know of it is the Packet Too Big of a router on the way, which, like every ICMPv6 error,
can be forged by who knows the tunnel and a user of it; so it is told, and nothing is refused because of it.
"""

from typing import NamedTuple

from dataplane.tunnel_errors import LEAST_MTU, TOO_BIG, TunnelError

REMEMBERED_MAX = 256  # more are not: the first ones are enough to look for a cause
FORGOTTEN_AFTER_S = 3600.0  # without a further error; what comes back is news again


class NarrowLine(NamedTuple):
    """The way from `entry` to `exit` carries packets of `mtu` octets, as a router said; the tunnel needs `needs`.

    `inside`: where the packet inside was to go.
    """

    entry: bytes
    exit: bytes
    mtu: int
    needs: int
    inside: bytes


def is_narrow(error: TunnelError) -> bool:
    """Whether an error says that a line carries less than a tunnel needs, as `tunnel_errors.answer` reckons."""
    return error.type == TOO_BIG and error.mtu < _needs(error)


def _needs(error: TunnelError) -> int:
    """What a line must carry for 1280 octets to fit inside this tunnel, which may add more than a header."""
    return LEAST_MTU + error.overhead


class NarrowLines:
    """The narrow lines heard of lately."""

    def __init__(self) -> None:
        self._heard: dict[tuple[bytes, bytes], tuple[NarrowLine, float]] = {}

    def hear(self, error: TunnelError, now: float) -> NarrowLine | None:
        """Take an error that `is_narrow`. Returns: the line, if it is news."""
        way = (error.entry, error.exit)
        known = self._heard.get(way)
        is_news = known is None or now >= known[1] + FORGOTTEN_AFTER_S
        if known is None:
            self._heard = {way: one for way, one in self._heard.items() if now < one[1] + FORGOTTEN_AFTER_S}
            if len(self._heard) >= REMEMBERED_MAX:
                return None
        line = NarrowLine(*way, error.mtu, _needs(error), error.inner_destination)
        self._heard[way] = (line, now)
        return line if is_news else None

    def present(self, now: float) -> list[NarrowLine]:
        """Those that were heard of within the last hour, by their ends."""
        return sorted(line for line, at in self._heard.values() if now < at + FORGOTTEN_AFTER_S)
