"""install: customers a second into an empty kernel: two tunnels, a group, two routes and four filter elements each."""

import time

from tests.bench import kernel
from tests.bench.population import CUSTOMERS
from tests.bench.result import Result

TARGET = 12_000
ROUNDS = 3


def run() -> Result:
    """Measure."""
    samples = [kernel.in_namespace(_once) for _ in range(ROUNDS)]
    return Result("install", samples, "customers/s", TARGET)


def _once() -> float:
    wanted, plane = kernel.entries(CUSTOMERS), kernel.prepared()
    began = time.perf_counter()
    for batch in kernel.batches(wanted):
        refused = {why for why in plane.apply(batch).values() if why is not None}
        assert not refused, refused
    rate = CUSTOMERS / (time.perf_counter() - began)
    assert plane.read() == wanted
    return rate
