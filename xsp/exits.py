"""Exit statuses of `xsp`, the same for every command."""

from enum import IntEnum


class Exit(IntEnum):
    """What a shell script can rely on."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    MISSING = 4
    CONFLICT = 5
