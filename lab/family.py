"""The processes of a site, by what they are: xsp-ha, the supervisor (xsp-bgp), its children, and ExaBGP's the bridge.

Owns finding them below the processes this lab started, by parentage and never by name over the machine, and sending
signals to several at once. Refuses to guess: a process that is not there is an error.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from bgp.bfd import BFDD, PROGRAMS, ZEBRA
from lab.errors import LabError
from lab.poll import wait_until
from lab.processes import Processes

STARTED = {"xsp-ha": "xsp-ha", "supervisor": "xsp-bgp"}  # what we start ourselves, and its program
FRR = {name: str(PROGRAMS / name) for name in (BFDD, ZEBRA)}  # beside ExaBGP, children of the supervisor
GONE_S = 5.0
Fault = tuple[str, str, signal.Signals]  # site, process, signal


def program(process: str) -> str:
    """The program that runs as this process; only for those in `STARTED`."""
    return STARTED[process]


def find(processes: Processes, site: str, process: str) -> int:
    """The process id. Raises: LabError if it does not run."""
    pid = _find(processes, site, process)
    if pid is None:
        raise LabError(f"{process} of {site} does not run", "start it first, or wait until it is back")
    return pid


def _find(processes: Processes, site: str, process: str) -> int | None:
    if process in STARTED:
        return processes.pid(f"{site}-{STARTED[process]}")
    if process in FRR:
        return _child(processes.pid(f"{site}-xsp-bgp"), FRR[process])
    # Beside our supervisor ExaBGP may run without one: the baseline of the comparison.
    alone = processes.pid(f"{site}-exabgp")
    exabgp = alone or _child(processes.pid(f"{site}-xsp-bgp"), "exabgp")
    return exabgp if process == "exabgp" else _child(exabgp, "bridge")


def _child(parent: int | None, word: str) -> int | None:
    return next((pid for pid in children(parent) if word in arguments(pid)), None) if parent else None


def children(pid: int) -> list[int]:
    """The living children of a process, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """The process and everything below it, parents first."""
    return [pid, *(below for child in children(pid) for below in descendants(child))]


def arguments(pid: int) -> list[str]:
    """Its command line; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def send(processes: Processes, faults: Sequence[Fault]) -> list[int]:
    """Send these signals back to back, nothing before all were found; the process ids. Raises: LabError."""
    found = [(find(processes, site, process), number) for site, process, number in faults]
    for pid, number in found:
        with contextlib.suppress(ProcessLookupError):  # one that died with another a moment ago
            os.kill(pid, number)
    return [pid for pid, _ in found]


def wait_until_gone(processes: Processes, pids: Iterable[int]) -> None:
    """Until killed processes are gone; those that we started are reaped."""
    left = list(pids)

    def missing() -> str | None:
        processes.reap()
        still = [pid for pid in left if Path(f"/proc/{pid}").exists() and _state(pid) not in "ZX"]
        return f"process {still[0]} still lives" if still else None

    wait_until(missing, GONE_S, pause_s=0.002)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
