"""Which driver the tests of the data plane use: the first that the kernel offers, or what `--driver` asks for."""

from dataplane.driver import Driver
from dataplane.linux import LinuxHomeAgent
from dataplane.router import LinuxRouter

_asked: list[Driver] = []


def ask(name: str) -> None:
    """From now on this one."""
    _asked[:] = [Driver(name)]


def driver() -> Driver | None:
    """What was asked for."""
    return _asked[0] if _asked else None


def home_agent() -> LinuxHomeAgent:
    """A home agent's data plane, not prepared yet."""
    return LinuxHomeAgent(driver())


def mobile_router() -> LinuxRouter:
    """A mobile router's, not prepared yet."""
    return LinuxRouter(driver())
