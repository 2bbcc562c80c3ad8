"""Tests that hold for every driver run with each that the kernel offers: they use the fixture `each_driver`."""

from collections.abc import Iterator

import pytest

from tests import tunnels


@pytest.fixture(params=tunnels.offered())
def each_driver(request: pytest.FixtureRequest) -> Iterator[None]:
    """In this test the driver is that one."""
    with tunnels.using(request.param):
        yield
