"""Fixtures for the tests of `bgp`."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bgp.pipes import Exabgp
from tests.bgp.site_and_isp import Site


@pytest.fixture
def site() -> Iterator[Site]:
    """A site whose ISP waits for it; nothing of ours runs yet."""
    # Not pytest's own directory: that one is 0700, and ExaBGP runs as nobody.
    directory = Path(tempfile.mkdtemp(prefix="xsp-bgp-"))
    directory.chmod(0o755)
    place = Site(directory)
    try:
        place.build()
        yield place
    finally:
        place.close()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def exabgp(tmp_path: Path) -> Iterator[Exabgp]:
    """A bridge that has just started, and has asked nothing yet."""
    process = Exabgp(tmp_path)
    try:
        yield process
    finally:
        process.close()
