"""The self-test's device where it cannot be made."""

import sys
from collections.abc import Iterator

import pytest

from tests.netns import Net
from tests.office import office

pytestmark = pytest.mark.netns
# `ip netns exec` gives it a mount namespace of its own.
WITHOUT_SETTINGS = """
import subprocess
from dataplane.errors import DataPlaneError
from dataplane.tun import Tun
subprocess.run(["mount", "-t", "tmpfs", "none", "/proc/sys/net"], check=True)
try:
    Tun()
except DataPlaneError as error:
    print(type(error.__cause__).__name__)
"""


@pytest.fixture
def net() -> Iterator[Net]:
    with office() as made:
        yield made


def test_a_device_that_cannot_be_set_up_says_what_the_kernel_said(net: Net) -> None:
    """The error was raised from itself, and what the kernel had said was lost."""
    assert net.run("ha", sys.executable, "-c", WITHOUT_SETTINGS).strip() == "FileNotFoundError"
