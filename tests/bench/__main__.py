"""`python -m tests.bench [NAME ...] [--keep]`: run benchmarks, show a table, keep the rows."""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module

from tests.bench.result import LATEST, RESULTS, Result, keep, show

# Row -> what measures it: a module, whose `run` it is unless another function is named. Imported only when asked for.
ROWS = {
    "registration-core": "tests.bench.registration_core",
    "registration-wire": "tests.bench.registration_wire",
    "memory": "tests.bench.memory",
    "hostile": "tests.bench.hostile",
    "install": "tests.bench.install",
    "change": "tests.bench.change",
    "reconcile": "tests.bench.reconcile",
    "forward-one": "tests.bench.forward:run_one",
    "forward-many": "tests.bench.forward:run_many",
    "churn-loss": "tests.bench.churn_loss",
    "lease-gap": "tests.bench.lease_under_load",
    "loop-turn": "tests.bench.loop_turn",
    "self-test": "tests.bench.self_test",
    "self-test-cost": "tests.bench.self_test:run_cost",
    "merge": "tests.bench.merge",
    "takeover": "tests.bench.takeover",
    "takeover-lease": "tests.bench.takeover_under_load",
    "propagation": "tests.bench.propagation",
    "ack-any": "tests.bench.ack_any",
    "simulation": "tests.bench.simulation",
}


def main() -> None:
    """Run the rows named, or all."""
    parser = argparse.ArgumentParser(prog="make bench", description="Benchmarks.")
    parser.add_argument("name", nargs="*", help=f"rows to measure; default all: {', '.join(ROWS)}")
    parser.add_argument("--keep", action="store_true", help="also into bench/results.jsonl, which is tracked")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.name if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    if not chosen.name:
        LATEST.unlink(missing_ok=True)
    rows = []
    for name in chosen.name or ROWS:
        print(name, flush=True)
        module, _, function = ROWS[name].partition(":")
        run: Callable[[], Result] = getattr(import_module(module), function or "run")
        result = run()
        for note in result.notes:
            print(f"  {note}")
        rows.append(result.row())
        keep(rows[-1:], LATEST)
        if chosen.keep:
            keep(rows[-1:], RESULTS)
    show(rows)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
