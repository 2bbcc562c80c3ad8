"""The lease socket as a bridge would have it, to hear what a home agent wants, and when it said so first.

`python -m tests.topology.lease_holder SOCKET` listens by itself: to each line with a moment of the monotonic clock it
answers with the longest gap since then, in seconds.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class LeaseListener:
    """Answers every renewal as if all were announced."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._heard: list[tuple[float, str, str]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def since(self, at: float, wanted: str) -> float | None:
        """How long after `at` it was first wanted, in seconds; None if not yet."""
        return next((heard - at for heard, what, _ in self._heard if what == wanted and heard > at), None)

    def reasons(self, at: float) -> set[str]:
        """Every reason given after `at`."""
        return {why for heard, _, why in self._heard if heard > at}

    def latest(self) -> tuple[str, str]:
        """What is wanted now, and why."""
        return self._heard[-1][1:] if self._heard else ("nothing", "")

    def longest_gap_s(self, since: float = 0.0) -> float:
        """Between two renewals, the second of them after `since`."""
        times = [at for at, _, _ in self._heard]
        times = times[max(0, sum(at < since for at in times) - 1) :]
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), stream, stream.makefile("rwb", buffering=0) as lines:
                for line in lines:
                    renewal: dict[str, Any] = json.loads(line)
                    self._heard.append((time.monotonic(), renewal["wanted"], renewal["reason"]))
                    state = {"announce": "announced", "depreference": "depreferenced"}.get(
                        renewal["wanted"], "withdrawn"
                    )
                    sessions = [{"neighbour": "2001:db8:a::1", "state": "established", "since_s": 1}]
                    answer = {"v": 1, "seq": renewal["seq"], "state": state, "sent": [], "sessions": sessions}
                    lines.write(json.dumps(answer).encode() + b"\n")


class ListenerProcess:
    """A `LeaseListener` in a process of its own, which hears on time whatever this one computes. Close it."""

    def __init__(self, path: Path) -> None:
        words = [sys.executable, "-m", "tests.topology.lease_holder", str(path)]
        self._process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask(0.0)  # it listens

    def longest_gap_s(self, since: float) -> float:
        """As the listener's."""
        return self._ask(since)

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _ask(self, since: float) -> float:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{since}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def main() -> None:
    """Listen, and answer, until standard input ends."""
    listener = LeaseListener(Path(sys.argv[1]))
    for line in sys.stdin:
        print(listener.longest_gap_s(float(line)), flush=True)


if __name__ == "__main__":
    main()
