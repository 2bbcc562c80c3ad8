"""`python -m tests.mutants [WORD]`: apply each mutation to a copy of the tree and see whether a test fails.

Prints one line a mutation; exit status 1 if one survived. `WORD` chooses those whose name contains it.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutation import Mutation
from tests.mutants.mutations import all_mutations

ROOT = Path(__file__).resolve().parents[2]
COPIES = 2
TIMEOUT_S = 300
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", "demo-report")


def main() -> int:
    """Run them."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [one for one in all_mutations(ROOT) if word in one.name]
    began, survived = time.monotonic(), []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(COPIES) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(COPIES):
            copy = Path(scratch) / str(number)
            shutil.copytree(ROOT, copy, ignore=NOT_COPIED, symlinks=True)
            copies.put(copy)
        for mutation, killer in pool.map(lambda one: (one, _killed_by(one, copies)), chosen):
            print(f"{'killed  ' if killer else 'SURVIVED'}  {mutation.name}  {killer}", flush=True)
            if not killer:
                survived.append(mutation)
    print(f"{len(chosen)} mutations, {len(survived)} survived, {time.monotonic() - began:.0f} s")
    return 1 if survived else 0


def _killed_by(mutation: Mutation, copies: "SimpleQueue[Path]") -> str:
    """The first test that fails with the mutation in place; empty if none does."""
    copy = copies.get()
    path = copy / mutation.file
    right = path.read_text()
    try:
        path.write_text(right.replace(mutation.before, mutation.after, 1))
        words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not netns"]
        words += mutation.tests
        done = subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    finally:
        path.write_text(right)
        copies.put(copy)
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else f"pytest ended with {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
