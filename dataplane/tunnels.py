"""What tunnels need once per namespace: seg6 an outer source, ip6tnl a device. Made with the program `ip`. An edge."""

import contextlib
import errno
import os
import socket
import subprocess
from collections.abc import Collection

from dataplane import ip6tnl
from dataplane.driver import Driver, Tunnels
from dataplane.errors import DataPlaneError
from dataplane.netlink import NEEDS_ROOT

# The device itself must never be the limit: the kernel answers what is too big for the path behind it. That of a stock
# device, 1452, would be; more than this and the kernel refuses.
_MTU = 65000


def open_tunnels(driver: Driver, entry: bytes) -> Tunnels:
    """Make ready for tunnels from `entry`; idempotent. Raises: DataPlaneError."""
    if driver is Driver.SEG6:
        _ip("setting the tunnel source", "sr", "tunsrc", "set", socket.inet_ntop(socket.AF_INET6, entry))
        return Tunnels(socket.if_nametoindex("lo"))
    return Tunnels(device(), entry)


def device() -> int:
    """The index of the tunnel device, which is made and set up if need be. Raises: DataPlaneError."""
    what = f"making the tunnel device {ip6tnl.DEVICE}"
    if not is_there():
        _ip(what, "link", "add", ip6tnl.DEVICE, "mtu", str(_MTU), "type", "ip6tnl", "external")
    _ip(what, "link", "set", ip6tnl.DEVICE, "up")
    return socket.if_nametoindex(ip6tnl.DEVICE)


def close_tunnels(entries: Collection[bytes]) -> None:
    """Take back what any driver made for tunnels from these addresses. Raises: DataPlaneError.

    There is one tunnel source for all of a namespace, and it bears no mark: one that is none of `entries` is somebody
    else's and stays.
    """
    close_device()
    if entries and _source() in entries:
        _ip("setting the tunnel source", "sr", "tunsrc", "set", "::")


def close_device() -> None:
    """Remove the tunnel device, if it is there. Raises: DataPlaneError."""
    if is_there():
        _ip(f"removing {ip6tnl.DEVICE}", "link", "del", ip6tnl.DEVICE)


def _source() -> bytes | None:
    """The tunnel source; None on a kernel without seg6."""
    with contextlib.suppress(DataPlaneError, OSError):
        return socket.inet_pton(socket.AF_INET6, _ip("reading the tunnel source", "sr", "tunsrc", "show").split()[-1])
    return None


def is_there() -> bool:
    """Whether the tunnel device exists."""
    return any(name == ip6tnl.DEVICE for _, name in socket.if_nameindex())


def _ip(what: str, *words: str) -> str:
    """Run `ip`; what it says."""
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError as error:
        raise DataPlaneError(what, "the program ip is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise DataPlaneError(what, "ip did not end within 10 s") from error
    if done.returncode:
        said = done.stderr.strip() or f"ip {words[0]} failed"
        raise DataPlaneError(what, f"{said}: {NEEDS_ROOT}" if os.strerror(errno.EPERM) in said else said)
    return done.stdout
