"""Files that are replaced whole or not at all, and what was done is still done after a power cut. An edge.

A rename is on the disk only when its directory is (fsync(2), NOTES): without that the name may point to the old file
again, or to none, after the machine has started.
"""

import os
from collections.abc import Iterable
from pathlib import Path


def replace(path: Path, pieces: Iterable[bytes]) -> None:
    """Make these octets the content of a file, readable by its owner only; returns when the disk has it.

    Raises: OSError; then the file is what it was, or, if only its directory cannot be forced to the disk, may be so
    again after a power cut.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)  # on a disk that is full it would be in the way of the next
        raise
    _force(path.parent)


def remove(path: Path) -> None:
    """Take a file away, if there is one; returns when the disk has it. Raises: OSError."""
    path.unlink(missing_ok=True)
    _force(path.parent)


def _force(directory: Path) -> None:
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
