"""What lab tests share: labs and home agents in folders of their own, gone afterwards whatever happens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from tests.office import office
from tests.topology.process import Office


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Namespaces and ingress filters; nothing runs in them yet."""
    with Lab() as one:
        one.build()
        yield one


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Office]:
    """A home agent that runs, and a mobile router to be played."""
    with office() as net:
        made = Office(net, tmp_path)
        try:
            yield made
        finally:
            made.process.kill()
            made.process.wait()
            made.sockets.close()
