"""One mutation as a value."""

from dataclasses import dataclass

HOME_AGENT = ("tests/ha", "tests/fuzz")


@dataclass(frozen=True, slots=True)
class Mutation:
    """`before` stands once in `file` and becomes `after`; one of `tests` must fail then.

    `needs_root`: those tests build network namespaces; then they may be named one by one (`file::test`).
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...] = HOME_AGENT
    needs_root: bool = False
