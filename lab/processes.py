"""Starts and stops the lab's processes, each under a name, each with a log file in the run folder.

Owns the processes it started and nothing else: everything is stopped by its own process id. Sessions are new, so that a
Ctrl-C at the terminal reaches the lab alone, which then takes them down in order.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.netns import Network
from lab.runfolder import RunFolder, mark

STOP_S = 5.0
LAST_LINES = 3


class Processes:
    """Everything that runs in one lab."""

    def __init__(self, folder: RunFolder, network: Network) -> None:
        self._folder = folder
        self._network = network
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, node: str, words: Sequence[str], environment: dict[str, str] | None = None) -> int:
        """Start `words` in a node under `name`; its process id. Raises: LabError if that name still runs."""
        if self.runs(name):
            raise LabError(f"{name} already runs", "kill it first")
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                self._network.command(node, *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder.path,
                start_new_session=True,
                env=None if environment is None else {**os.environ, **environment},
            )
        self._running[name] = process
        self._folder.note_process(name, node, mark(process.pid))
        return process.pid

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self._folder.logs / f"{name}.log"

    def runs(self, name: str) -> bool:
        """Whether it was started and has not ended."""
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int | None:
        """The process id of what runs under this name, None if it does not."""
        return self._running[name].pid if self.runs(name) else None

    def reap(self) -> None:
        """Take notice of everything that has ended."""
        for process in self._running.values():
            process.poll()

    def names(self) -> list[str]:
        """Everything ever started, in order."""
        return list(self._running)

    def check(self, *expected: str) -> None:
        """Raises: LabError with the last log lines if one of these has ended by itself."""
        for name in expected:
            if not self.runs(name):
                raise LabError(f"{name} has ended: {self.last_words(name)}", f"read {self.log(name)}")

    def last_words(self, name: str) -> str:
        """The end of its log, in one line."""
        with contextlib.suppress(OSError):
            lines = [line.strip() for line in self.log(name).read_text(errors="replace").splitlines() if line.strip()]
            return " | ".join(lines[-LAST_LINES:])
        return "no log"

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one process. Raises: LabError if it does not run."""
        if not self.runs(name):
            raise LabError(f"{name} does not run", "start it first")
        self._running[name].send_signal(number)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        self.send(name, signal.SIGKILL)
        self._running[name].wait(STOP_S)

    def close(self) -> None:
        """Kill everything; namespaces and their kernel state go next, so nobody needs to say goodbye."""
        for process in reversed(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        deadline = time.monotonic() + STOP_S
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
