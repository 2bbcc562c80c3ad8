"""`python -m tests.mutants [WORD]`: apply each mutation to a copy of the tree and see whether a test fails.

Prints one line a mutation; exit status 1 if one was not killed. `WORD` chooses those whose name or file contains it.

Three outcomes. `killed`: a test failed. `SURVIVED`: all passed. `NO VERDICT`: there were no such tests, or they did not
end within `TIMEOUT_S`. That is no kill, even where the mutation makes something wait for ever: whoever runs the tests
then waits as well and is not told why. A rule against hanging wants a test that fails by itself (pytest-timeout, or a
deadline).
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.mutants.mutation import Mutation
from tests.mutants.mutations import all_mutations

ROOT = Path(__file__).resolve().parents[2]
COPIES = 2
TIMEOUT_S = 300.0
# Exit statuses of pytest: a test failed, or a file could not be imported. Not: nothing was found, or nothing collected.
HAVE_FAILED = (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", "demo-report")
KILLED, SURVIVED, NO_VERDICT, NOT_TRIED = "killed", "SURVIVED", "NO VERDICT", "not tried"


def main() -> int:
    """Run them."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [one for one in all_mutations(ROOT) if word in one.name or word in one.file]
    began, outcomes = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(COPIES) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(COPIES):
            copy = Path(scratch) / str(number)
            shutil.copytree(ROOT, copy, ignore=NOT_COPIED, symlinks=True)
            copies.put(copy)
        for mutation, (outcome, why) in pool.map(lambda one: (one, _tried(one, copies)), chosen):
            print(f"{outcome:10}  {mutation.name}  {why}", flush=True)
            outcomes[outcome] += 1
    if outcomes[NOT_TRIED]:
        print(f"{outcomes[NOT_TRIED]} mutations need root, who may build network namespaces", flush=True)
    survived, unclear, seconds = outcomes[SURVIVED], outcomes[NO_VERDICT], time.monotonic() - began
    print(f"{len(chosen)} mutations, {survived} survived, {unclear} without verdict, {seconds:.0f} s")
    return 0 if outcomes[KILLED] + outcomes[NOT_TRIED] == len(chosen) else 1


def _tried(mutation: Mutation, copies: "SimpleQueue[Path]") -> tuple[str, str]:
    """The outcome of the tests with the mutation in one of the copies, and the first test that failed."""
    if mutation.needs_root and os.geteuid() != 0:
        return NOT_TRIED, ""
    copy = copies.get()
    path = copy / mutation.file
    right = path.read_text()
    try:
        path.write_text(right.replace(mutation.before, mutation.after, 1))
        those = "netns" if mutation.needs_root else "not netns"
        return judged(copy, ("--hypothesis-profile=unshrunk", *mutation.tests), those=those)
    finally:
        path.write_text(right)
        copies.put(copy)


def judged(
    tree: Path, tests: tuple[str, ...], timeout_s: float = TIMEOUT_S, those: str = "not netns"
) -> tuple[str, str]:
    """Run tests in a tree, `those` of a marker: the outcome, and the first that failed or why there is no verdict."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", those, *tests]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(words, cwd=tree, text=True, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with all that the tests started
            process.communicate()
            return NO_VERDICT, f"the tests did not end within {timeout_s:.0f} s"
    if process.returncode == 0:
        return SURVIVED, ""
    failed = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if process.returncode in HAVE_FAILED and failed and not failed[0].startswith("ERROR: "):
        return KILLED, failed[0].split(" - ")[0]
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "")
    return NO_VERDICT, f"pytest ended with {process.returncode}: {last}"


if __name__ == "__main__":
    sys.exit(main())
