"""Which driver the tests of the data plane use: the first that the kernel offers, or what `--driver` asks for.

What every driver promises is tested with each that the kernel offers, which is found by trying: a test for a driver
that is not there would have to be skipped, and nobody notices a skip.
"""

import contextlib
import os
from collections.abc import Iterator
from functools import cache

from dataplane.driver import Driver
from dataplane.errors import DataPlaneError
from dataplane.linux import LinuxHomeAgent
from dataplane.probe import probe
from dataplane.router import LinuxRouter
from tests.netns import namespaces

_asked: list[Driver] = []


def ask(name: str) -> None:
    """From now on this one."""
    _asked[:] = [Driver(name)]


def driver() -> Driver | None:
    """What was asked for."""
    return _asked[0] if _asked else None


@contextlib.contextmanager
def using(one: Driver) -> Iterator[None]:
    """Meanwhile this one."""
    before = list(_asked)
    _asked[:] = [one]
    try:
        yield
    finally:
        _asked[:] = before


def offered() -> tuple[Driver, ...]:
    """All that the kernel offers; that alone which was asked for. Without root, who can try nothing, the first."""
    if _asked:
        return tuple(_asked)
    return _tried() if os.geteuid() == 0 else (Driver.SEG6,)


@cache
def _tried() -> tuple[Driver, ...]:
    found = []
    with namespaces() as net:
        net.add("trial")
        for one in Driver:
            try:
                found.append(net.inside("trial", lambda one=one: probe(one)))  # type: ignore[misc]
            except DataPlaneError:
                continue
    return tuple(found) or (Driver.SEG6,)  # none: its tests say what is missing


def home_agent() -> LinuxHomeAgent:
    """A home agent's data plane, not prepared yet."""
    return LinuxHomeAgent(driver())


def mobile_router() -> LinuxRouter:
    """A mobile router's, not prepared yet."""
    return LinuxRouter(driver())
