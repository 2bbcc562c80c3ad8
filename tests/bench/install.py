"""install: 100,000 customers into an empty kernel, in batches like the daemon's."""

from tests.bench.loaded import entries, loaded_site
from tests.bench.population import CUSTOMERS
from tests.bench.result import Result

RUNS = 3
TARGET = 12_000


def run() -> Result:
    """Each run has a namespace of its own."""
    wanted = entries(range(CUSTOMERS))
    samples = []
    for _ in range(RUNS):
        with loaded_site() as site:
            samples.append(CUSTOMERS / site.apply(wanted))
    return Result("install", samples, "customers/s", TARGET)
