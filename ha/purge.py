"""`xsp-ha purge`: take everything of ours out of the kernel of a machine that shall be no home agent any more.

Owns the question whether it is the time: not while xsp-ha runs, which would put everything back. Kernel settings
(forwarding and the like) stay, for others may need them by now.
"""

from dataplane.errors import DataPlaneError
from dataplane.linux import LinuxHomeAgent
from ha.config import Config
from runtime import control, exits


def purge(config: Config) -> str:
    """Remove exactly what is ours; says what that was. Does not return if it may not or cannot."""
    if control.is_served(config.control_socket):  # not asked anything: it may have no time for seconds, and serve on
        what = f"xsp-ha of {config.instance} runs, and would put everything back"
        exits.fail(what, "Drain it, stop it and xsp-bgp, and ask again", exits.CONFLICT)
    try:
        plane = LinuxHomeAgent(config.driver)
        customers = len(plane.read())
        plane.purge()
    except DataPlaneError as error:
        exits.fail(f"{config.instance}: {error.what}: {error.reason}", "Mend that and ask again", exits.MISSING)
    return f"{config.instance}: everything of ours is out of the kernel, with {customers} customer(s)"
