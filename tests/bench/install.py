"""install: 100,000 customers into an empty kernel, in batches like the daemon's."""

import statistics
import time

from tests.bench.loaded import entries, loaded_site
from tests.bench.population import CUSTOMERS
from tests.bench.result import Result

RUNS = 3
TARGET = 12_000


def run() -> Result:
    """Each run has a namespace of its own."""
    wanted = entries(range(CUSTOMERS))
    samples, alone = [], []
    for _ in range(RUNS):
        with loaded_site() as site:
            began = time.process_time()
            samples.append(CUSTOMERS / site.apply(wanted))
            alone.append(CUSTOMERS / (time.process_time() - began))
    notes = (f"in a second of processor time, whatever neighbours do: {statistics.median(alone):.0f}",)
    return Result("install", samples, "customers/s", TARGET, notes=notes)
