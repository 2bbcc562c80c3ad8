"""Where a lab lives on disk: /run/anycast-xsp-lab/<id>, with lab.json so that another process can find it.

Owns the folder, its log directory and the state file. The place is short, because Unix socket paths must stay under
108 octets, and world-readable, because FRR and ExaBGP run without rights. Refuses to guess: a process counts as ours
only if its start time is the recorded one.
"""

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from runtime.exits import Exit

PLACE = Path("/run/anycast-xsp-lab")
STATE_FILE = "lab.json"


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """One process, known by number and start time (proc(5), field 22), so that a reused number is not mistaken."""

    pid: int
    started: int

    def lives(self) -> bool:
        """Whether exactly this process still runs; a zombie does not."""
        return started_at(self.pid) == self.started


def started_at(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot, None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def mark(pid: int) -> ProcessMark:
    """The mark of a process that was just started."""
    return ProcessMark(pid, started_at(pid) or 0)


class RunFolder:
    """The folder of one lab."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.logs = path / "logs"
        self._state: dict[str, Any] = {}

    @classmethod
    def create(cls, place: Path = PLACE) -> "RunFolder":
        """A folder with a new random id."""
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        while True:
            folder = cls(place / secrets.token_hex(3))
            try:
                folder.path.mkdir(mode=0o755)
            except FileExistsError:
                continue
            folder.path.chmod(0o755)
            folder.logs.mkdir()
            return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing folder with its state. Raises: LabError."""
        folder = cls(path)
        try:
            folder._state = json.loads((path / STATE_FILE).read_text())
        except (OSError, ValueError) as error:
            raise LabError(
                f"{path} holds no readable lab ({error})", "remove that folder by hand", Exit.REFUSED
            ) from error
        return folder

    def write(self, **changes: Any) -> None:
        """Change the state and put it on disk, whole or not at all."""
        self._state |= changes
        fresh = self.path / f"{STATE_FILE}.new"
        fresh.write_text(json.dumps(self._state, indent=1))
        fresh.replace(self.path / STATE_FILE)

    def read(self, name: str, default: Any = None) -> Any:
        """One value of the state."""
        return self._state.get(name, default)

    def own(self, owner: ProcessMark | None) -> None:
        """Say which process will take this lab down; None for one that stays until `xsp-lab down`."""
        self.write(id=self.id, owner=None if owner is None else asdict(owner))

    def note_process(self, name: str, node: str, process: ProcessMark) -> None:
        """Remember a started process."""
        processes = {**self.read("processes", {}), name: {"node": node, **asdict(process)}}
        self.write(processes=processes)

    @property
    def owner(self) -> ProcessMark | None:
        """The process that will take this lab down."""
        found = self.read("owner")
        return None if found is None else ProcessMark(found["pid"], found["started"])

    @property
    def processes(self) -> dict[str, tuple[str, ProcessMark]]:
        """Name -> (node, mark) of everything started."""
        rows = self.read("processes", {})
        return {name: (row["node"], ProcessMark(row["pid"], row["started"])) for name, row in rows.items()}

    @property
    def is_stale(self) -> bool:
        """Whether its owner died without taking it down."""
        return self.owner is not None and not self.owner.lives()

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def this_process() -> ProcessMark:
    """The mark of the calling process."""
    return mark(os.getpid())


def all_folders(place: Path = PLACE) -> list[RunFolder]:
    """Every lab of this machine, oldest first; folders without a readable state are left out."""
    found = []
    for path in sorted(place.glob(f"*/{STATE_FILE}"), key=lambda path: path.parent.stat().st_ctime):
        try:
            found.append(RunFolder.open(path.parent))
        except LabError:
            continue
    return found


def choose(lab_id: str | None, place: Path = PLACE) -> RunFolder:
    """The lab of that id, or the only one there is. Raises: LabError."""
    folders = all_folders(place)
    if lab_id is not None:
        folders = [folder for folder in folders if folder.id == lab_id]
        if not folders:
            raise LabError(f"there is no lab {lab_id}", "see xsp-lab status", Exit.UNREACHABLE)
    if not folders:
        raise LabError("no lab is up", "start one with xsp-lab up", Exit.UNREACHABLE)
    if len(folders) > 1:
        names = ", ".join(folder.id for folder in folders)
        raise LabError(f"several labs are up: {names}", "name one with --lab", Exit.USAGE)
    return folders[0]
