"""change: care-of addresses of customers that are installed change, with their elements of the source check.

Batches as the daemon makes them; and one by one, from the entry to the kernel's answer.
"""

import statistics
import time

from dataplane.linux import LinuxHomeAgent
from tests.bench.loaded import entries, loaded_site, require
from tests.bench.population import CUSTOMERS
from tests.bench.result import Result

RUNS = 5
CHANGES = 20_000
SINGLES = 300
TARGET, SINGLE_MS = 20_000, 2.0
STEP = CUSTOMERS // CHANGES  # those who move are spread over all customers


def run() -> Result:
    """Each run moves the first lines of the same customers once more."""
    moving = range(0, CUSTOMERS, STEP)
    samples, alone = [], []
    with loaded_site(CUSTOMERS) as site:
        for move in range(1, RUNS + 1):
            wanted, began = entries(moving, move), time.process_time()
            samples.append(CHANGES / site.apply(wanted))
            alone.append(CHANGES / (time.process_time() - began))
        singles = site.inside(lambda: _one_by_one(site.plane))
        elements = site.inside(site.plane.counters)["check_elements"]
    median_ms = statistics.median(singles) * 1000
    entered = 4 * CUSTOMERS + 2 * CHANGES * RUNS + 2 * SINGLES  # what left still lingers: nobody called `expire`
    notes = (
        f"a single change: median {median_ms:.2f} ms, longest {max(singles) * 1000:.1f} ms",
        f"in a second of processor time, whatever neighbours do: {statistics.median(alone):.0f}",
    )
    holds = median_ms <= SINGLE_MS and elements == entered
    return Result("change", samples, "changes/s", TARGET, notes=notes, holds=holds)


def _one_by_one(plane: LinuxHomeAgent) -> list[float]:
    took = []
    for customer in range(SINGLES):
        wanted = entries([customer], RUNS + 1)
        began = time.perf_counter()
        require(plane.apply(wanted))
        took.append(time.perf_counter() - began)
    return took
