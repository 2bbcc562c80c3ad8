"""What the office refuses: one sentence what, one sentence what to do, and an exit status."""


class Refused(Exception):
    """A change or question that cannot be. Fields: `what`, `remedy`, `status` (see `xsp.exits`)."""

    def __init__(self, what: str, remedy: str, status: int = 1) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.status = status
