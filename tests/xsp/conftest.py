"""An office of its own for each test."""

from pathlib import Path

import pytest

from tests.xsp.operator import Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """A registry with one aggregate."""
    made = Office(tmp_path)
    made.json("init", "--as", "64500")
    made.json("aggregate", "add", "2001:db8:f000::/36")
    return made
