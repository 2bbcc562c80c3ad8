"""Network namespaces for tests: unique names, veth pairs, commands and code inside them, all gone afterwards."""

import contextlib
import ctypes
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Net:
    """A few namespaces under one random name."""

    def __init__(self) -> None:
        self.id = f"t{secrets.token_hex(3)}"
        self._nodes: list[str] = []
        self._threads: dict[str, ThreadPoolExecutor] = {}

    def name(self, node: str) -> str:
        """The namespace of a node."""
        return f"{self.id}-{node}"

    def add(self, *nodes: str) -> None:
        """Make nodes, loopback up."""
        for node in nodes:
            subprocess.run(["ip", "netns", "add", self.name(node)], check=True)
            self._nodes.append(node)
            self.run(node, "ip", "link", "set", "lo", "up")
            self.run(node, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")

    def link(self, left: str, left_name: str, right: str, right_name: str) -> None:
        """A veth pair between two nodes, up."""
        words = ["ip", "link", "add", left_name, "netns", self.name(left), "type", "veth"]
        subprocess.run([*words, "peer", "name", right_name, "netns", self.name(right)], check=True)
        self.run(left, "ip", "link", "set", left_name, "up")
        self.run(right, "ip", "link", "set", right_name, "up")

    def run(self, node: str, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a command in a node; its output."""
        command = ["ip", "netns", "exec", self.name(node), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, input=stdin)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)} in {node}: {done.stderr or done.stdout}")
        return done.stdout

    def json(self, node: str, *words: str) -> Any:
        """The JSON that a command in a node prints."""
        return json.loads(self.run(node, *words) or "null")

    def inside(self, node: str, work: Callable[[], Result], patience_s: float = 60) -> Result:
        """Call `work` in a thread that lives in the node."""
        if node not in self._threads:
            self._threads[node] = ThreadPoolExecutor(1, initializer=_enter, initargs=(self.name(node),))
        return self._threads[node].submit(work).result(timeout=patience_s)

    def remove(self) -> None:
        """Remove every node."""
        for thread in self._threads.values():
            thread.shutdown()
        for node in self._nodes:
            subprocess.run(["ip", "netns", "del", self.name(node)], check=False, capture_output=True)


def _enter(name: str) -> None:
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if _libc.setns(fd, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)


@contextlib.contextmanager
def namespaces() -> Iterator[Net]:
    """Namespaces that are gone when the block ends."""
    net = Net()
    try:
        yield net
    finally:
        net.remove()
