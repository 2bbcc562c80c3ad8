"""What the lab needs of the machine, each missing thing one sentence with what to do about it.

Owns the checks before anything is built, and the one that needs a namespace (the kernel's tunnels). Raises LabError,
exit status 4.
"""

import importlib.util
import os
import pwd
import shutil
from collections.abc import Callable

from dataplane.errors import DataPlaneError
from dataplane.probe import probe
from lab.errors import LabError
from lab.isp import FRR
from lab.netns import Network
from lab.topology import SITES
from runtime.exits import Exit

PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "vtysh": "frr",
}
DAEMONS = ("zebra", "bgpd", "bfdd")


def check(euid: Callable[[], int] = os.geteuid, which: Callable[[str], str | None] = shutil.which) -> None:
    """Everything that can be known before building. Raises: LabError."""
    if euid() != 0:
        raise _missing("the lab builds network namespaces, which only root may", "run it as root")
    for program, package in PROGRAMS.items():
        if which(program) is None:
            raise _missing(f"the program {program} is not installed", f"install it: apt-get install {package}")
    for daemon in DAEMONS:
        if not (FRR / daemon).exists():
            raise _missing(f"FRR's {daemon} is not in {FRR}", "install it: apt-get install frr")
    try:
        pwd.getpwnam("frr")
    except KeyError as error:
        raise _missing("the user frr does not exist", "install FRR from its package: apt-get install frr") from error
    if importlib.util.find_spec("exabgp") is None:
        raise _missing("ExaBGP is not installed beside this interpreter", "install it: pip install 'exabgp>=5.0.15,<6'")


def check_kernel(network: Network) -> None:
    """Whether this kernel can tunnel, tried in a node of a lab that is just built. Raises: LabError."""
    try:
        network.inside(SITES[0], probe)
    except DataPlaneError as error:
        remedy = "use a kernel with CONFIG_IPV6_SEG6_LWTUNNEL (Debian's and Ubuntu's have it)"
        raise _missing(f"this kernel cannot carry the tunnels: {error}", remedy) from error


def _missing(what: str, remedy: str) -> LabError:
    return LabError(what, remedy, Exit.MISSING)
