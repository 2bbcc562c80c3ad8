"""How busy this site's lines to the Internet are: octets of its egress interfaces against what they can carry."""

from collections.abc import Collection, Mapping
from pathlib import Path

STATISTICS = Path("/proc/self/net/dev")
SMOOTHING = 0.2  # of each measurement, one a second: a peak of a moment is no load
_RECEIVED, _SENT = 0, 8  # columns


class Meter:
    """The share of `capacity_mbit_s` in use in the busier direction, smoothed over some ten measurements.

    Args: interfaces: those of the egresses. capacity_mbit_s: of all together; 0: unknown, the share is always 0.
    """

    def __init__(self, interfaces: Collection[str], capacity_mbit_s: float) -> None:
        self._interfaces, self._capacity = frozenset(interfaces), capacity_mbit_s * 1e6 / 8
        self._last: tuple[float, Mapping[str, tuple[int, int]]] | None = None
        self._share = 0.0

    def read(self, now: float) -> float:
        """Measure since the last call (`now`: monotonic seconds)."""
        if not self._capacity:
            return 0.0
        return self.share(parse(STATISTICS.read_text()), now)

    def share(self, octets: Mapping[str, tuple[int, int]], now: float) -> float:
        """The same with the interfaces' counters given: name -> octets received, octets sent."""
        mine = {name: octets[name] for name in self._interfaces & octets.keys()}
        last, self._last = self._last, (now, mine)
        if last is None or now <= last[0]:
            return self._share
        # A counter that went back belongs to an interface that was made anew.
        known = mine.keys() & last[1].keys()
        busier = max(sum(max(0, mine[name][way] - last[1][name][way]) for name in known) for way in (0, 1))
        self._share += SMOOTHING * (busier / (now - last[0]) / self._capacity - self._share)
        return self._share


def parse(text: str) -> dict[str, tuple[int, int]]:
    """The kernel's table of interfaces, two lines of heading first."""
    rows = (line.partition(":") for line in text.splitlines()[2:])
    columns = {name.strip(): rest.split() for name, _, rest in rows}
    return {name: (int(row[_RECEIVED]), int(row[_SENT])) for name, row in columns.items() if len(row) > _SENT}
