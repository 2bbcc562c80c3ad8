"""What this kernel can do: the driver to use, found by really trying it, or a sentence saying what is missing."""

import os
import shutil
import socket

from dataplane.errors import DataPlaneError
from dataplane.netlink import NetlinkSocket
from dataplane.plan import LAST_ID, PROTOCOL
from dataplane.rtnetlink import Nexthop, delete_nexthop, put_nexthop

SEG6 = "seg6"
_TRIAL_ID = LAST_ID  # the end of our range: no customer's slot reaches it
_TRIAL_SEGMENT = socket.inet_pton(socket.AF_INET6, "2001:db8::1")


def probe() -> str:
    """The name of the driver that this kernel offers.

    Raises: DataPlaneError naming what is missing: a program, a right, or the kernel's seg6 lightweight tunnels.
    """
    for program in ("nft", "ip"):
        if shutil.which(program) is None:
            raise DataPlaneError("forwarding", f"the program {program} is not installed")
    if os.geteuid() != 0:
        raise DataPlaneError("forwarding", "root is needed to change routes and filters")
    netlink = NetlinkSocket(socket.NETLINK_ROUTE)
    try:
        lo = socket.if_nametoindex("lo")
        [refusal] = netlink.execute([put_nexthop(Nexthop(_TRIAL_ID, PROTOCOL, _TRIAL_SEGMENT, lo))])
        if refusal is None:
            netlink.execute([delete_nexthop(_TRIAL_ID)])
            return SEG6
        if "DOWN" in str(refusal).upper():
            raise DataPlaneError("forwarding", "the loopback interface is down: set it up first")
        why = f"the kernel has no seg6 encapsulation with nexthop objects ({refusal}); ip6_tunnel is not supported yet"
        raise DataPlaneError("forwarding", why)
    finally:
        netlink.close()
