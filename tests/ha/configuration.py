"""A home agent's configuration from a file; `ha.config.load` also reads a reflector's, which is another type."""

from pathlib import Path

from ha import config
from ha.config import Config


def load(path: Path) -> Config:
    """Read a home agent's. Raises: ConfigRefused; AssertionError if it is a reflector's."""
    read = config.load(path)
    assert isinstance(read, Config)
    return read
