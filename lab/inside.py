"""Code inside a network namespace: a thread that enters it, does one thing, and ends.

So one process with one clock can hold sockets of every node. Refuses to move the calling thread (setns(2)).
"""

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
_CLONE_NEWNET = 0x40000000  # linux/sched.h


def inside(namespace: str, work: Callable[[], Result]) -> Result:
    """Call `work` in a thread that lives in `namespace`; what it returns or raises comes back."""
    outcome: list[Result] = []
    failure: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            _enter(namespace)
            outcome.append(work())
        except BaseException as error:  # handed to the caller, whatever it is
            failure.append(error)

    thread = threading.Thread(target=enter_and_work, name=f"inside {namespace}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(fd, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(fd)
