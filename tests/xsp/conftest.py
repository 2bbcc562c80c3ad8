"""An office of its own for each test, copied from one that was set up once: each command is a process of its own."""

from pathlib import Path

import pytest

from tests.xsp.operator import Office


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A registry with one aggregate, to be copied."""
    made = Office(tmp_path_factory.mktemp("founded"))
    made.json("init", "--as", "64500")
    made.json("aggregate", "add", "2001:db8:f000::/36")
    return made


@pytest.fixture
def office(founded: Office, tmp_path: Path) -> Office:
    """A registry with one aggregate."""
    return founded.copied(tmp_path)
