"""`python -m tests.simulation --seeds A-B`: play seeds, show progress, and tell what broke how.

`--only 3,17` plays these deeds of one seed, `--trace` tells the run line by line.
"""

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.run import Outcome, play, shrink
from tests.simulation.scenario import scenario

SHRINK_S = 120.0
PROGRESS_EVERY = 100


def main() -> int:
    """Exit status 1 if a seed broke a rule."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Play seeds of the simulation.")
    parser.add_argument("--seeds", default="0-99", metavar="A-B", help="from A to B, or one (default 0-99)")
    parser.add_argument("--only", metavar="N,N", help="only these deeds of the seed; empty: none")
    parser.add_argument("--trace", action="store_true", help="tell the run")
    parser.add_argument("--no-shrink", action="store_true", help="do not look for the fewest deeds that fail")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many processes at once (default 1)")
    parser.add_argument("--stop", action="store_true", help="stop at the first that fails")
    chosen = parser.parse_args()
    first, _, last = chosen.seeds.partition("-")
    only = None if chosen.only is None else {int(place) for place in chosen.only.split(",") if place}
    began, failed, events = time.monotonic(), 0, 0
    seeds = range(int(first), int(last or first) + 1)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        one = partial(play, only=only, tell=print) if chosen.trace else partial(play, only=only)
        outcomes = pool.map(one, seeds) if chosen.jobs > 1 else map(one, seeds)
        for number, outcome in enumerate(outcomes, start=1):
            events += outcome.events
            if outcome.broken:
                failed += 1
                print(report(outcome, None if chosen.no_shrink or only is not None else SHRINK_S), flush=True)
            is_last = number == len(seeds) or (outcome.broken and chosen.stop)
            if number % PROGRESS_EVERY == 0 or is_last:
                passed_s = time.monotonic() - began
                print(f"{number} seeds, {failed} failed, {events} events, {passed_s:.0f} s", flush=True)
            if is_last:
                pool.shutdown(cancel_futures=True)
                break
    return 1 if failed else 0


def report(outcome: Outcome, within_s: float | None, again: Callable[[int, list[int]], Outcome] = play) -> str:
    """What broke, the deeds that it takes, and how to see it again.

    `within_s`: how long to look for fewer deeds; `again`: plays some deeds of a seed.
    """
    lines = [f"seed {outcome.seed}: at {outcome.seconds:.3f} s: {outcome.broken}"]
    if within_s is None:
        return lines[0]
    kept = shrink(outcome.seed, within_s, lambda seed, only: again(seed, only).rule)
    lines += [f"  with these deeds only: {again(outcome.seed, kept).broken}"]
    deeds = scenario(outcome.seed).deeds
    lines += [f"    {place:4}  {deeds[place]}" for place in kept]
    places = ",".join(map(str, kept))
    lines.append(f"  to see it: .venv/bin/python -m tests.simulation --seeds {outcome.seed} --only {places} --trace")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
