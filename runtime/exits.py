"""Exit statuses of every program, and the one way to leave with an error: what is wrong, then what to do.

Owns the numbers and the wording's shape. Refuses to print a traceback at an operator.
"""

import sys
from enum import IntEnum
from typing import NoReturn


class Exit(IntEnum):
    """Exit status of a program."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    MISSING = 4
    CONFLICT = 5


DONE, REFUSED, USAGE = Exit.DONE, Exit.REFUSED, Exit.USAGE
UNREACHABLE, MISSING, CONFLICT = Exit.UNREACHABLE, Exit.MISSING, Exit.CONFLICT


def fail(what: str, remedy: str, code: int) -> NoReturn:
    """Print one sentence saying what is wrong and one saying what to do, on stderr, and exit with `code`."""
    print(what.rstrip(".") + ".", file=sys.stderr)
    print(remedy.rstrip(".") + ".", file=sys.stderr)
    sys.exit(int(code))
