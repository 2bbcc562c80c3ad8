"""What this kernel can do: the driver to use, found by really trying it, or a sentence saying what is missing."""

import errno
import shutil
import socket

from dataplane import filter as packet_filter
from dataplane.errors import DataPlaneError
from dataplane.netlink import NetlinkSocket, explain
from dataplane.numbers import HOME_AGENT_PROTOCOL
from dataplane.plan import LAST_ID
from dataplane.rtnetlink import Nexthop, delete_nexthop, put_decapsulation, put_nexthop

SEG6 = "seg6"
_SEGMENT = bytes.fromhex("20010db8000000000000000000000001")  # 2001:db8::1


def probe() -> str:
    """The name of the driver that this kernel offers, tried in the network namespace of the process.

    Raises: DataPlaneError naming what is missing: a program, a right, the kernel's seg6 tunnels, or nftables.
    """
    for program in ("nft", "ip"):
        if shutil.which(program) is None:
            raise DataPlaneError("forwarding", f"the program {program} is not installed")
    netlink = NetlinkSocket(socket.NETLINK_ROUTE)
    try:
        _try_nexthops(netlink)
    finally:
        netlink.close()
    try:
        packet_filter.trial()
    except DataPlaneError as error:
        raise DataPlaneError("forwarding", f"nftables cannot check tunnelled packets: {error.reason}") from error
    return SEG6


def _try_nexthops(netlink: NetlinkSocket) -> None:
    lo = socket.if_nametoindex("lo")
    trials = (
        ("encapsulation", put_nexthop(Nexthop(LAST_ID, HOME_AGENT_PROTOCOL, _SEGMENT, lo))),
        ("decapsulation (End.DT6)", put_decapsulation(LAST_ID, HOME_AGENT_PROTOCOL, lo)),
    )
    for what, message in trials:
        [refused] = netlink.execute([message])
        if refused is None:
            netlink.execute([delete_nexthop(LAST_ID)])
        elif refused.number in (errno.EPERM, errno.EACCES):
            raise DataPlaneError("forwarding", explain(refused))
        elif refused.number == errno.ENETDOWN:
            raise DataPlaneError("forwarding", "the loopback interface is down: run 'ip link set lo up'")
        else:
            lacks = f"the kernel has no seg6 {what} by nexthop objects (CONFIG_IPV6_SEG6_LWTUNNEL, Linux 5.3 or newer)"
            raise DataPlaneError("forwarding", f"{lacks}; it says: {explain(refused)}")
