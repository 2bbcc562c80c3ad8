"""sd_notify: tells the service manager that a daemon is ready, stopping, or what it is doing.

Owns the datagram to `NOTIFY_SOCKET`, the only environment variable this project reads. Without one, does nothing.
"""

import os
import socket


def _send(text: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify_socket:
        try:
            notify_socket.sendto(text.encode(), address)
        except OSError:
            return  # a service manager that went away must not take the daemon with it


def ready() -> None:
    """The daemon serves."""
    _send("READY=1")


def stopping() -> None:
    """The daemon began to stop."""
    _send("STOPPING=1")


def status(text: str) -> None:
    """One line for `systemctl status`."""
    _send(f"STATUS={text}")
