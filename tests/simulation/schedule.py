"""The clock of the simulated world and what is to happen when."""

import heapq
from collections.abc import Callable
from typing import Any

NEVER = float("inf")
UNIX = 1_800_000_000.0  # at the world's second 0
ROUNDING_S = 1e-6  # a deadline is met so much later: clocks with other beginnings are sums of floats


class Schedule:
    """One heap of calls. `now`: seconds of the world; nobody in it has this clock. `done`: calls made so far."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0

    def at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call it then; calls of the same moment in the order of asking."""
        self._number += 1
        heapq.heappush(self._heap, (max(when, self.now), self._number, call, arguments))

    def after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call it so much later."""
        self.at(self.now + seconds, call, *arguments)

    def run(self, until: float) -> None:
        """Let time pass."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, call, arguments = heapq.heappop(heap)
            self.done += 1
            call(*arguments)
        self.now = until
