"""What lab tests share: labs and home agents in folders of their own, gone afterwards whatever happens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from tests.topology.process import Office, running_office


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Namespaces and ingress filters; nothing runs in them yet."""
    with Lab() as one:
        one.build()
        yield one


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Office]:
    """A home agent that runs, and a mobile router to be played."""
    with running_office(tmp_path) as made:
        yield made
