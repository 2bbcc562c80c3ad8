"""Kernel settings, below /proc/sys. An edge."""

from pathlib import Path

from dataplane.errors import DataPlaneError
from dataplane.netlink import NEEDS_ROOT


def set_sysctl(name: str, value: str) -> None:
    """Write a kernel setting if it differs. Raises: DataPlaneError."""
    path = Path("/proc/sys") / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except PermissionError as error:
        raise DataPlaneError(f"setting {name.replace('/', '.')}", f"not permitted: {NEEDS_ROOT}") from error
    except OSError as error:
        raise DataPlaneError(f"setting {name.replace('/', '.')}", error.strerror or str(error)) from error
