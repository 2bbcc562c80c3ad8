"""What lab tests share: labs in a folder of their own, gone afterwards whatever happens."""

from collections.abc import Iterator

import pytest

from lab.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Namespaces and ingress filters; nothing runs in them yet."""
    with Lab() as one:
        one.build()
        yield one
