"""Taking a lab down from another process, also one whose owner was killed before it could.

Owns the order: ask a living owner, else kill the recorded processes, remove the recorded namespaces and the folder.
Refuses to touch a process whose start time is not the recorded one, and namespaces of any other lab.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass

from lab.errors import LabError
from lab.netns import remove_namespaces
from lab.poll import wait_until
from lab.runfolder import RunFolder, all_folders

OWNER_S = 30.0
GONE_S = 5.0


@dataclass(frozen=True, slots=True)
class TakenDown:
    """What was removed."""

    lab_id: str
    by_owner: bool


def take_down(folder: RunFolder) -> TakenDown:
    """Remove one lab whole. Raises: LabError if its living owner does not obey."""
    owner = folder.owner
    if owner is not None and owner.lives():
        os.kill(owner.pid, signal.SIGTERM)
        wait_until(
            lambda: f"process {owner.pid} still holds lab {folder.id}" if folder.path.exists() else None, OWNER_S
        )
        return TakenDown(folder.id, by_owner=True)
    marks = [process for _, process in folder.processes.values()]
    for process in marks:
        if process.lives():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_S
    while any(process.lives() for process in marks) and time.monotonic() < deadline:
        time.sleep(0.01)
    remove_namespaces(folder.read("namespaces", []))
    folder.remove()
    return TakenDown(folder.id, by_owner=False)


def take_down_stale() -> list[TakenDown]:
    """Remove every lab whose owner is dead."""
    return [take_down(folder) for folder in all_folders() if folder.is_stale]


def refuse_foreign_owner(folder: RunFolder, force: bool) -> None:
    """A run in progress is ended only on demand. Raises: LabError."""
    owner = folder.owner
    if owner is not None and owner.lives() and not force:
        what = f"lab {folder.id} is in use by process {owner.pid}"
        raise LabError(what, f"wait for it, or end it with xsp-lab down --lab {folder.id} --force")
