"""Says which lines are too narrow for a tunnel: packets of some sizes vanish there, and everything else works.

Owns the look at what the interfaces carry; what routers beyond them carry is heard by the relay of tunnel errors. Such
a line is registered and used all the same, for it may be the only one. An edge: reads /proc/sys.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

from dataplane.narrow import NarrowLine
from dataplane.tunnel_errors import LEAST_LINE_MTU
from mr.settings import LineSettings
from runtime import log

CONF = Path("/proc/sys/net/ipv6/conf")  # `mtu` there is IPv6's own, which a Router Advertisement may lower


class LineSizes:
    """The lines of a router, as far as they are too narrow."""

    def __init__(self, lines: Iterable[LineSettings]) -> None:
        self._lines = tuple(lines)
        self._narrow: dict[str, int] = {}

    def look(self) -> None:
        """See what the interfaces carry; what is news is logged."""
        before, self._narrow = self._narrow, {}
        for line in self._lines:
            try:
                mtu = int((CONF / line.interface / "mtu").read_text())
            except (OSError, ValueError):
                continue  # no such interface now, which is said elsewhere
            if mtu < LEAST_LINE_MTU:
                self._narrow[line.name] = mtu
                if before.get(line.name) != mtu:
                    log.get().error("line too narrow for a tunnel", line=line.name, mtu=mtu, needs=LEAST_LINE_MTU)

    def reasons(self, beyond: Iterable[NarrowLine]) -> list[str]:
        """A sentence for each line that is too narrow, or whose way is `beyond` the interface."""
        return [
            *(f"{name}: {_words(mtu, LEAST_LINE_MTU)}" for name, mtu in self._narrow.items()),
            *(f"the way from {IPv6Address(line.entry)}: {_words(line.mtu, line.needs)}" for line in beyond),
        ]


def tell(line: NarrowLine) -> None:
    """Log what a router on the way said."""
    ends = {"care_of": str(IPv6Address(line.entry)), "home_agent": str(IPv6Address(line.exit))}
    log.get().error("line too narrow for a tunnel", mtu=line.mtu, needs=line.needs, **ends)


def _words(mtu: int, needs: int) -> str:
    return f"carries packets of {mtu} octets at most, a tunnel needs {needs}"
