"""The one exception that leaves this folder.

Owns what is wrong, what to do, and the exit status. Refuses to format: the command line prints.
"""

from runtime.exits import Exit


class LabError(Exception):
    """Something the lab cannot go on with. Fields: `what`, `remedy` (one sentence each), `code` (exit status)."""

    def __init__(self, what: str, remedy: str, code: int = Exit.REFUSED) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.code = int(code)
