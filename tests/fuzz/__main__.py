"""`python -m tests.fuzz TARGET SECONDS [--seed N] [--keep DIR]`: feed a target for a while, and say how much it took.

Coverage-guided with atheris where that is installed (it is not among the project's own packages), else blind
mutations. What makes a target fail is written to a file, to become a vector.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.mutations import mutations
from tests.fuzz.targets import Handle, Target, corpus, decode, mobility_headers

REPORT_EVERY = 100_000


def main() -> int:
    """Run one target; 1 if an input made it fail."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=["decode", "handle"])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path("."), metavar="DIR", help="where failing inputs are written")
    parser.add_argument("--blind", action="store_true", help="without atheris, even if it is installed")
    chosen = parser.parse_args()
    target: Target = decode if chosen.target == "decode" else Handle()
    seeds = mobility_headers() if chosen.target == "decode" else corpus()
    if not chosen.blind and _has_atheris():
        return _guided(target, seeds, chosen)
    count, until = 0, time.monotonic() + chosen.seconds
    for octets in mutations(seeds, chosen.seed):
        if count % 256 == 0 and time.monotonic() > until:
            break
        try:
            target(octets)
        except Exception as error:
            kept = chosen.keep / f"fuzz-{chosen.target}-{chosen.seed}-{count}"
            kept.write_bytes(octets)
            print(f"{chosen.target}: {type(error).__name__}: {error}; input {count} of seed {chosen.seed} is in {kept}")
            return 1
        count += 1
        if count % REPORT_EVERY == 0:
            print(f"{chosen.target}: {count:,} inputs", flush=True)
    print(f"{chosen.target}: {count:,} inputs, seed {chosen.seed}, nothing found")
    return 0


def _has_atheris() -> bool:
    try:
        import atheris  # noqa: F401
    except ImportError:
        return False
    return True


def _guided(target: Target, seeds: list[bytes], chosen: argparse.Namespace) -> int:
    """libFuzzer leaves the process itself, with its own status, and writes what failed into `--keep`."""
    import atheris

    folder = chosen.keep / f"corpus-{chosen.target}"
    folder.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(seeds):
        (folder / f"vector-{number}").write_bytes(octets)
    atheris.instrument_all()
    words = [sys.argv[0], f"-max_total_time={int(chosen.seconds)}", f"-seed={chosen.seed}", "-max_len=600"]
    atheris.Setup([*words, f"-artifact_prefix={chosen.keep}/", str(folder)], target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
