"""What can go wrong before either program of this folder serves, each in two sentences. An edge."""

import os
from typing import NoReturn

from ha.config import Member
from ha.peerlink import PORT, PeerLink
from runtime import control, exits


def make_directories(config: Member) -> None:
    """Where state and sockets go."""
    try:
        config.state_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        config.run_directory.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as error:
        what = f"{error.filename} cannot be made ({error.strerror})"
        exits.fail(what, "Name another directory in the configuration, or make room for it", exits.MISSING)


async def bind(peerlink: PeerLink, config: Member) -> None:
    """The port for the peers."""
    try:
        await peerlink.bind()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        what = f"TCP port {PORT} of the locator {config.locator} cannot be used ({why})"
        exits.fail(what, "Give this machine that address, and see what listens there", exits.CONFLICT)


def control_taken(error: control.Unreachable) -> NoReturn:
    """Somebody answers on our control socket."""
    what = f"another xsp-ha serves this instance ({error})"
    exits.fail(what, "Stop it first, or use another run_directory", exits.CONFLICT)
