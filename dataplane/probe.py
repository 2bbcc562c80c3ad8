"""What this kernel can do: the driver to use, found by really trying it, or a sentence saying what is missing."""

import errno
import shutil
import socket
from collections.abc import Iterable, Sequence

from dataplane import filter as packet_filter
from dataplane.driver import Driver, Tunnels
from dataplane.errors import DataPlaneError
from dataplane.message import Message
from dataplane.netlink import NEEDS_ROOT, NetlinkSocket, explain
from dataplane.numbers import HOME_AGENT_PROTOCOL
from dataplane.plan import LAST_ID
from dataplane.rtnetlink import delete_nexthop, put_decapsulation, put_tunnel
from dataplane.tunnels import close_device, device, is_there

_FAR_END = bytes.fromhex("20010db8000000000000000000000001")  # 2001:db8::1
_LACKS = {
    Driver.SEG6: "no seg6 tunnels by nexthop objects (CONFIG_IPV6_SEG6_LWTUNNEL, Linux 5.13 or newer)",
    Driver.IP6TNL: "no external ip6tnl device (CONFIG_IPV6_TUNNEL, Linux 5.13 or newer)",
}


def probe(wanted: Driver | None = None) -> Driver:
    """The driver that this kernel offers, tried in the network namespace of the process; the first of all, or `wanted`.

    Raises: DataPlaneError naming what is missing: a program, a right, the kernel's tunnels, or nftables.
    """
    for program in ("nft", "ip"):
        if shutil.which(program) is None:
            raise DataPlaneError("forwarding", f"the program {program} is not installed")
    driver = _driver((wanted,) if wanted else tuple(Driver))
    try:
        packet_filter.trial()
    except DataPlaneError as error:
        raise DataPlaneError("forwarding", f"nftables cannot check tunnelled packets: {error.reason}") from error
    return driver


def _driver(candidates: Sequence[Driver]) -> Driver:
    """The first that works. Raises: DataPlaneError with what each of them lacks."""
    netlink = NetlinkSocket(socket.NETLINK_ROUTE)
    lacking = []
    try:
        for driver in candidates:
            missing = _missing(netlink, driver)
            if missing is None:
                return driver
            lacking.append(missing)
    finally:
        netlink.close()
    raise DataPlaneError("forwarding", "the kernel has " + "; and ".join(lacking))


def _missing(netlink: NetlinkSocket, driver: Driver) -> str | None:
    """What this driver lacks; None if it works. Raises: DataPlaneError if it is no matter of the driver."""
    if driver is Driver.SEG6:
        lo = socket.if_nametoindex("lo")
        encapsulation = put_tunnel(LAST_ID, HOME_AGENT_PROTOCOL, _FAR_END, Tunnels(lo))
        trials = [encapsulation, put_decapsulation(LAST_ID, HOME_AGENT_PROTOCOL, lo)]
        return _refused(netlink, driver, trials)
    was_there = is_there()
    try:
        tunnel = put_tunnel(LAST_ID, HOME_AGENT_PROTOCOL, _FAR_END, Tunnels(device(), _FAR_END))
        return _refused(netlink, driver, [tunnel])
    except DataPlaneError as error:
        if NEEDS_ROOT in error.reason:
            raise
        return f"{_LACKS[driver]}; it says: {error.reason}"
    finally:
        if is_there() and not was_there:
            close_device()


def _refused(netlink: NetlinkSocket, driver: Driver, trials: Iterable[Message]) -> str | None:
    for message in trials:
        [refused] = netlink.execute([message])
        if refused is None:
            netlink.execute([delete_nexthop(LAST_ID)])
        elif refused.number in (errno.EPERM, errno.EACCES):
            raise DataPlaneError("forwarding", explain(refused))
        elif refused.number == errno.ENETDOWN:
            raise DataPlaneError("forwarding", "the loopback interface is down: run 'ip link set lo up'")
        else:
            return f"{_LACKS[driver]}; it says: {explain(refused)}"
    return None
