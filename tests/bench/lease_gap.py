"""lease-gap: the longest time between two renewals of the lease, at sites to which nothing happens.

The bridge counts renewals, and tells the count to whoever asks; it is asked every 10 ms, on one connection. A gap is
taken from the first answer with a count to the last one with the same, so it is never overstated by our own delays, and
understated by at most two questions' distance. This looks at our own daemon, because nobody else sees a renewal.
"""

import contextlib
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
        with contextlib.ExitStack() as stack:
            asked = {site: self._connect(site, stack) for site in self.longest_s}
            seen = dict.fromkeys(asked, (-1, 0.0))
            while not self._stop.wait(EVERY_S):
                for site, (stream, answers) in asked.items():
                    stream.sendall(QUESTION)
                    count, now = int(json.loads(next(answers))["counters"].get("renewals_total", 0)), time.monotonic()
                    if count != seen[site][0]:
                        seen[site] = (count, now)
                    self.longest_s[site] = max(self.longest_s[site], now - seen[site][1])

    def _connect(self, site: str, stack: contextlib.ExitStack) -> tuple[socket.socket, Iterator[bytes]]:
        stream = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        stream.settimeout(ANSWER_S)
        stream.connect(str(self._lab.layout.lease_socket(site)))
        return stream, iter(stack.enter_context(stream.makefile("rb")))

    def result(self) -> Result:
        """The longest gap of each site as a row; the target holds for the longest of all."""
        samples = [round(gap_s * 1000, 1) for gap_s in self.longest_s.values()]
        return Result("lease-gap", samples, "ms", TARGET_MS, at_least=False, holds=max(samples) <= TARGET_MS)
