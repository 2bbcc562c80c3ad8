"""Writes a set of files all or nothing: each goes beside its place first; when all are there, they change places."""

import os
from collections.abc import Mapping
from pathlib import Path

from xsp.errors import Refused
from xsp.model import File


def write_all(files: Mapping[Path, File]) -> None:
    """Write these files. Raises: Refused; then none of them was touched, and nothing is left beside them."""
    for path in files:
        if path.is_dir():
            raise Refused(f"{path} is a folder where a file should be", "Remove it, or name another folder")
    pending: list[tuple[Path, Path]] = []
    try:
        for path, file in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.new")
            pending.append((beside, path))
            beside.unlink(missing_ok=True)
            mode = 0o600 if file.secret else 0o644
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(file.text)
                stream.flush()
                os.fsync(stream.fileno())
        for beside, path in pending:
            beside.replace(path)
    except OSError as error:
        for beside, _ in pending:
            beside.unlink(missing_ok=True)
        what = f"{error.filename or 'a file'} cannot be written ({error.strerror})"
        raise Refused(what, "Check the folder, its rights and its disk") from error
