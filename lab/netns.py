"""A topology as namespaces and veth pairs: built whole or not at all, removed without a trace.

Owns namespaces named `x<lab id>-<node>`, links, addresses, sysctls and static routes. Refuses a name that is in use.
Nothing of the machine outside these namespaces changes.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from lab.errors import LabError
from lab.inside import inside
from lab.topology import Topology
from runtime.exits import Exit

Result = TypeVar("Result")
NETNS = Path("/run/netns")
COMMAND_S = 30.0
LEAVE_S = 5.0  # a killed process leaves its namespace within milliseconds

# Static addresses only: nothing is learnt from advertisements, and no address waits for duplicate detection.
# keep_addr_on_down: a line that is cut and restored has its addresses again.
QUIET = {"accept_dad": "0", "accept_ra": "0", "autoconf": "0", "keep_addr_on_down": "1"}


class Network:
    """The namespaces of one lab."""

    def __init__(self, lab_id: str, topology: Topology) -> None:
        self.id = lab_id
        self.topology = topology
        self._made: list[str] = []

    def name(self, node: str) -> str:
        """The namespace of a node."""
        return f"x{self.id}-{node}"

    @property
    def nodes(self) -> list[str]:
        """The names of all nodes."""
        return [node.name for node in self.topology.nodes]

    # -- build and remove

    def build(self) -> None:
        """Make everything; after a failure nothing is left.

        Raises: LabError if a name is in use or the kernel refuses.
        """
        taken = [self.name(node) for node in self.nodes if (NETNS / self.name(node)).exists()]
        if taken:
            raise LabError(f"the namespace {taken[0]} is in use", "take another lab id", Exit.CONFLICT)
        try:
            for node in self.nodes:
                with _signals_later():
                    self._made.append(node)
                    command("ip", "netns", "add", self.name(node))
                inside(self.name(node), self._sysctls(node))
            self._cable()
        except BaseException:
            self.remove()
            raise

    def _sysctls(self, node: str) -> Callable[[], None]:
        forwards = next(one.forwards for one in self.topology.nodes if one.name == node)

        def write() -> None:
            for scope in ("all", "default"):
                for name, value in QUIET.items():
                    with contextlib.suppress(FileNotFoundError):
                        Path(f"/proc/sys/net/ipv6/conf/{scope}/{name}").write_text(value)
            Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1" if forwards else "0")

        return write

    def _cable(self) -> None:
        links = [
            f"link add {link.left.interface} netns {self.name(link.left.node)} type veth "
            f"peer name {link.right.interface} netns {self.name(link.right.node)}"
            for link in self.topology.links
        ]
        batch(links)
        for node in self.topology.nodes:
            lines = ["link set lo up"]
            for end in (end for link in self.topology.links for end in (link.left, link.right)):
                if end.node == node.name:
                    lines.append(f"link set {end.interface} up")
                    if end.address is not None:
                        lines.append(f"address add {end.address} dev {end.interface} nodad")
            batch(lines, self.name(node.name))
        # Routes come last: a gateway is reachable only while its link has carrier, thus both ends are up.
        for node in self.topology.nodes:
            if node.gateway is not None:
                batch([f"route add default via {node.gateway}"], self.name(node.name))

    def remove(self) -> None:
        """Remove every namespace with whatever still runs in it. Removing twice is fine."""
        made, self._made = self._made, []
        remove_namespaces(self.name(node) for node in made)

    # -- use

    def run(self, node: str, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a command in a node to its end; what it printed."""
        return command(*self.command(node, *words), check=check, stdin=stdin)

    def command(self, node: str, *words: str) -> list[str]:
        """The words that run `words` in a node. nsenter becomes the command: its process id is the command's."""
        return ["nsenter", f"--net={NETNS / self.name(node)}", "--", *words]

    def inside(self, node: str, work: Callable[[], Result]) -> Result:
        """Call `work` in a thread that lives in the node."""
        return inside(self.name(node), work)

    def configure(self, node: str, lines: Iterable[str]) -> None:
        """Run `ip -batch` lines in a node."""
        batch(lines, self.name(node))


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """Ctrl-C and its like wait for the end of the block: one that hits the start of `ip` would leave it running alone,
    and its namespace would come when all others are already removed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove_namespaces(names: Iterable[str]) -> None:
    """Kill what runs in these namespaces (all of it is the lab's), and delete them."""
    present = [name for name in names if (NETNS / name).exists()]
    deadline = time.monotonic() + LEAVE_S
    for name in present:
        while pids := _pids(name):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
    for name in present:
        command("ip", "netns", "delete", name, check=False)


def _pids(namespace: str) -> list[int]:
    found = command("ip", "netns", "pids", namespace, check=False).split()
    return [int(pid) for pid in found if int(pid) != os.getpid()]


def batch(lines: Iterable[str], namespace: str | None = None) -> None:
    """Run lines of `ip -batch`, in a namespace or outside. Raises: LabError."""
    where = ["-n", namespace] if namespace else []
    command("ip", *where, "-batch", "-", stdin="\n".join(lines) + "\n")


def command(*words: str, check: bool = True, stdin: str | None = None) -> str:
    """Run a command to its end; what it printed. Raises: LabError if it fails and `check`."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=COMMAND_S, input=stdin)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(
            f"{' '.join(words[:4])} did not run: {error}", "see whether the machine is overloaded"
        ) from error
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        what = f"{' '.join(words)} failed: {'; '.join(said[:3]) or f'status {done.returncode}'}"
        raise LabError(what, "run as root on a kernel with network namespaces and veth")
    return done.stdout
