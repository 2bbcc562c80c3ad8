"""The TUN device of the self-test: made, read and written. It goes, and its routes with it, when this process goes."""

import errno
import fcntl
import os
import struct
import subprocess

from dataplane import self_test
from dataplane.errors import DataPlaneError
from dataplane.netlink import NEEDS_ROOT
from dataplane.sysctl import set_sysctl

PATH = "/dev/net/tun"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_OCTETS = 2048
_WHAT = "the self-test's device"


class Tun:
    """The device. Raises: DataPlaneError if it cannot be made."""

    def __init__(self) -> None:
        self.fd = _open()
        try:
            _configure()
        except DataPlaneError:
            os.close(self.fd)
            raise

    def write(self, packet: bytes) -> None:
        """Into the kernel, as if it had arrived. Raises: OSError."""
        os.write(self.fd, packet)

    def read(self) -> bytes | None:
        """The next packet that the kernel sent out, None if there is none. Raises: OSError."""
        try:
            return os.read(self.fd, _OCTETS)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """The device and its routes go."""
        os.close(self.fd)


def _open() -> int:
    try:
        fd = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = f"{PATH}: {error.strerror}; the kernel module tun is needed"
        raise DataPlaneError(_WHAT, NEEDS_ROOT if error.errno in (errno.EPERM, errno.EACCES) else why) from error
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", self_test.DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        os.close(fd)
        busy = f"{self_test.DEVICE} is in use: another xsp-ha runs on this machine"
        raise DataPlaneError(_WHAT, busy if error.errno == errno.EBUSY else str(error.strerror)) from error
    return fd


def _configure() -> None:
    """Up, and silent: no link-local address, no solicitations."""
    place = f"net/ipv6/conf/{self_test.DEVICE}"
    for name, value in (("addr_gen_mode", "1"), ("accept_ra", "0"), ("forwarding", "1")):
        set_sysctl(f"{place}/{name}", value)
    words = ["ip", "link", "set", "dev", self_test.DEVICE, "mtu", "1500", "up"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    if done.returncode:
        raise DataPlaneError(_WHAT, done.stderr.strip() or "ip link set failed")
