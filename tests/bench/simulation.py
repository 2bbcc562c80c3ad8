"""simulation: events a second of whole simulated worlds, sites and routers with the real cores, invariants checked.

An event is one call of the world's schedule: a timer of a core, a frame or datagram that arrives, a fault. The row
only holds if no rule is broken in any of the worlds.
"""

import time

from tests.bench.result import Result
from tests.simulation.run import play

TARGET = 5_000
SEEDS = range(1000, 1015)


def run() -> Result:
    """Measure."""
    rates, holds = [], True
    for seed in SEEDS:
        began = time.process_time()
        outcome = play(seed)
        rates.append(outcome.events / (time.process_time() - began))
        holds = holds and not outcome.broken
        if outcome.broken:
            print(f"  seed {seed}: {outcome.broken}", flush=True)
    return Result("simulation", rates, "events/s", TARGET, holds=holds)
