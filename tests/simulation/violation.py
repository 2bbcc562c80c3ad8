"""What is raised when a rule is broken. A value."""


class Violation(AssertionError):
    """An invariant does not hold: which, and how."""

    def __init__(self, rule: str, how: str) -> None:
        super().__init__(f"{rule}: {how}")
        self.rule = rule
