"""The TUN device of the self-test: made, read, written, and put right when others change it. An edge.

It goes, and its routes with it, when this process goes.
"""

import errno
import fcntl
import os
import socket
import struct

from dataplane import self_test
from dataplane.errors import DataPlaneError
from dataplane.netlink import NEEDS_ROOT
from dataplane.sysctl import set_sysctl

PATH = "/dev/net/tun"
MTU = 1500
_GONE = -1  # as the number of the file: there is none
_TUNSETIFF, _TUNGETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x800454D2, 0x0001, 0x1000  # linux/if_tun.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFMTU, _IFF_UP = 0x8913, 0x8914, 0x8922, 0x1  # linux/sockios.h, linux/if.h
_FLAGS, _NUMBER = struct.Struct("16sH22x"), struct.Struct("16si20x")  # struct ifreq
_NAME = self_test.DEVICE.encode()
_OCTETS = 2048
_WHAT = "the self-test's device"
# Up, and silent: no link-local address, no solicitations.
_SETTINGS = (("disable_ipv6", "0"), ("addr_gen_mode", "1"), ("accept_ra", "0"), ("forwarding", "1"))


class Tun:
    """The device. Raises: DataPlaneError if it cannot be made."""

    def __init__(self) -> None:
        self.fd = _GONE
        self.mend()

    def mend(self) -> None:
        """Make it as it should be, and anew if somebody deleted or renamed it. Raises: DataPlaneError."""
        if not self._is_ours():
            self.close()
            self.fd = _open()
        try:
            _configure()
        except DataPlaneError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise DataPlaneError(_WHAT, _words(error)) from error

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
        if self.fd != _GONE:
            os.close(self.fd)
        self.fd = _GONE

    def _is_ours(self) -> bool:
        """Is this the device of that name still?"""
        if self.fd == _GONE:
            return False
        try:
            name, _ = _FLAGS.unpack(fcntl.ioctl(self.fd, _TUNGETIFF, bytes(_FLAGS.size)))
        except OSError:
            return False
        return bool(name.rstrip(b"\0") == _NAME)


def _open() -> int:
    try:
        fd = os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = f"{PATH}: {error.strerror}; the kernel module tun is needed"
        raise DataPlaneError(_WHAT, NEEDS_ROOT if error.errno in (errno.EPERM, errno.EACCES) else why) from error
    try:
        fcntl.ioctl(fd, _TUNSETIFF, _FLAGS.pack(_NAME, _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        os.close(fd)
        busy = f"{self_test.DEVICE} is in use: another xsp-ha runs on this machine"
        raise DataPlaneError(_WHAT, busy if error.errno == errno.EBUSY else _words(error)) from error
    return fd


def _configure() -> None:
    """Raises: DataPlaneError, OSError."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asker:
        fcntl.ioctl(asker, _SIOCSIFMTU, _NUMBER.pack(_NAME, MTU))  # first: below 1280 there are no settings of IPv6
        for name, value in _SETTINGS:
            set_sysctl(f"net/ipv6/conf/{self_test.DEVICE}/{name}", value)
        _, flags = _FLAGS.unpack(fcntl.ioctl(asker, _SIOCGIFFLAGS, _FLAGS.pack(_NAME, 0)))
        fcntl.ioctl(asker, _SIOCSIFFLAGS, _FLAGS.pack(_NAME, flags | _IFF_UP))


def _words(error: OSError) -> str:
    return error.strerror or str(error)
