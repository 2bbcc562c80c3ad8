"""What the data plane cannot do: one exception, with fields."""


class DataPlaneError(Exception):
    """The kernel lacks something or refused. Fields: `what` was tried, `reason` it did not work."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason
