"""lease-gap: the longest time between two renewals of the lease, at sites to which nothing happens.

The bridge counts renewals, and tells the count to whoever asks; it is asked every 10 ms, on one connection. A gap is
taken from the first answer with a count to the last one with the same, so it is never overstated by our own delays, and
understated by at most two questions' distance. A bridge that goes takes nothing away from a gap: the next one is asked.
This looks at our own daemon, because nobody else sees a renewal.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence

from lab.lab import Lab
from tests.bench.result import Result

EVERY_S = 0.01
ANSWER_S = 2.0
TARGET_MS = 150.0
QUESTION = b'{"v":1,"ask":"status"}\n'


class _Bridge:
    """The bridge of a site, or the one after it."""

    def __init__(self, lab: Lab, site: str) -> None:
        self._path = str(lab.layout.lease_socket(site))
        self._stream: socket.socket | None = None
        self._answers: Iterator[bytes] = iter(())

    def renewals(self) -> int | None:
        """How many it has counted; None if nobody answers."""
        try:
            if self._stream is None:
                self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._stream.settimeout(ANSWER_S)
                self._stream.connect(self._path)
                self._answers = iter(self._stream.makefile("rb"))
            self._stream.sendall(QUESTION)
            return int(json.loads(next(self._answers))["counters"].get("renewals_total", 0))
        except (OSError, StopIteration):
            self.close()
            return None

    def close(self) -> None:
        """Ask no more."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None


class LeaseGap:
    """Watches the bridges of some sites in a thread of its own."""

    def __init__(self, lab: Lab, sites: Sequence[str]) -> None:
        self.longest_s = dict.fromkeys(sites, 0.0)
        self._lab = lab
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lease gap", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        bridges = {site: _Bridge(self._lab, site) for site in self.longest_s}
        seen = {site: (-1, time.monotonic()) for site in bridges}
        while not self._stop.wait(EVERY_S):
            for site, bridge in bridges.items():
                count, now = bridge.renewals(), time.monotonic()
                if count not in (None, seen[site][0]):
                    seen[site] = (count or 0, now)
                self.longest_s[site] = max(self.longest_s[site], now - seen[site][1])
        for bridge in bridges.values():
            bridge.close()

    def result(self) -> Result:
        """The longest gap of each site as a row; the target holds for the longest of all."""
        samples = [round(gap_s * 1000, 1) for gap_s in self.longest_s.values()]
        return Result("lease-gap", samples, "ms", TARGET_MS, at_least=False, holds=max(samples) <= TARGET_MS)
