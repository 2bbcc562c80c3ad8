"""A real `xsp-ha` process in one network namespace, and the routers of all customers in another, joined by a veth.

The routers are a raw socket: packets with any source go out, acknowledgements to any care-of address come in.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mip6 import packet
from mip6.mhsocket import SO_RCVBUFFORCE, MobilitySocket
from mip6.numbers import ROUTING_HEADER, BindingUpdateFlag
from tests.bench.population import FIRST, OFFICE_PUBLIC, REFRESH, home, mobility_header, moved_care_of, table_octets
from tests.bench.result import ROOT
from tests.ha.cast import HOME_AGENT
from tests.netns import Net, namespaces

LAB_LOCK = Path("/run/anycast-xsp-lab.lock")  # one lab at a time on a machine
BUFFER_OCTETS = 64 * 1024 * 1024
STATUS_AT = 24 + 6  # behind a type 2 routing header
START_S, ANSWER_S = 60.0, 2.0
_CONFIG = """
instance = "site1"
state_directory = "{directory}/state"
run_directory = "{directory}/run"
customer_table = "{directory}/customers.jsonl"
table_public_key = "{key}"
locator = "2001:db8:a::10"
home_agent_address = "2001:db8:f000::1"
aggregates = ["2001:db8:f000::/36"]
lifetime_max_s = 3600
limits = {{ from_a_48 = 1000000, in_all = 1000000 }}
egress = [{{ gateway = "2001:db8:a::1", interface = "isp" }}]
[bgp]
lease_socket = "{directory}/lease.sock"
"""


class Routers:
    """All mobile routers at once. Lives in a thread of their namespace: use it through `Net.inside`."""

    def __init__(self) -> None:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # of this thread
        self._out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._in = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, ROUTING_HEADER)
        self._in.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_OCTETS)
        self._to = (socket.inet_ntop(socket.AF_INET6, HOME_AGENT), 0)
        self.accepted = 0

    def ask(self, packets: Sequence[bytes], window: int) -> float:
        """Send everything, at most `window` unanswered; seconds from the first packet to the last answer.

        What nobody has answered when nobody answers any more was lost, and holds up no other.
        """
        self.accepted = lost = 0
        began = last = time.perf_counter()
        for place, octets in enumerate(packets):
            self._out.sendto(octets, self._to)
            if place % 16 == 15:
                self._hear()
                while place - self.accepted - lost >= window:
                    if not self._wait():
                        lost = place + 1 - self.accepted
        while self.accepted < len(packets) and self._wait():
            last = time.perf_counter()
        return last - began

    def ask_at(self, packets: Sequence[bytes], rate: float) -> int:
        """Send everything at a steady rate; how many were not accepted."""
        self.accepted = 0
        began = time.perf_counter()
        for place, octets in enumerate(packets):
            while time.perf_counter() - began < place / rate:
                self._hear()
            self._out.sendto(octets, self._to)
        while self.accepted < len(packets) and self._wait():
            pass
        return len(packets) - self.accepted

    def _wait(self) -> bool:
        if not select.select([self._in], [], [], ANSWER_S)[0]:
            return False
        self._hear()
        return True

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                if self._in.recv(512)[STATUS_AT] == 0:
                    self.accepted += 1

    def close(self) -> None:
        """Close the sockets."""
        self._out.close()
        self._in.close()


class HomeAgentProcess:
    """The daemon with its files."""

    def __init__(self, net: Net, directory: Path, customers: int) -> None:
        self.net, self.directory = net, directory
        self.config, self._table = directory / "ha.toml", directory / "customers.jsonl"
        key = base64.b64encode(OFFICE_PUBLIC).decode()
        self.config.write_text(_CONFIG.format(directory=directory, key=key))
        self.publish(customers, 1)
        words = ["ip", "netns", "exec", net.name("ha"), sys.executable, "-m", "ha", "--config", str(self.config)]
        with open(directory / "ha.log", "wb") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
        os.sched_setaffinity(self.process.pid, {0})
        self.routers = net.inside("mr", Routers)
        self._wait_for(lambda status: bool(status))

    def publish(self, customers: int, version: int) -> None:
        """Put a table of that many customers in place."""
        new = self._table.with_suffix(".new")
        new.write_bytes(table_octets(customers, version))
        new.replace(self._table)

    def load(self, customers: int, version: int) -> None:
        """Publish a table and wait until it is in force."""
        self.publish(customers, version)
        self.process.send_signal(signal.SIGHUP)
        self._wait_for(lambda status: status.get("customer_table", {}).get("version") == version)

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        words = [sys.executable, "-m", "ha", "--config", str(self.config), "status", "--json"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        return json.loads(done.stdout) if done.stdout else {}

    def rss(self) -> int:
        """Resident octets of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def register(self, first: int, behind: int) -> None:
        """These customers register for the first time."""
        packets = updates(range(first, behind), 1, FIRST)
        self.net.inside("mr", lambda: self.routers.ask(packets, 512))
        missing = len(packets) - self.routers.accepted
        if missing:
            raise RuntimeError(f"{missing} of {len(packets)} first registrations were not accepted")

    def _wait_for(self, question: Any) -> None:
        deadline = time.monotonic() + START_S
        while not question(self.status()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError("xsp-ha: " + (self.directory / "ha.log").read_text()[-2000:])
            time.sleep(0.1)

    def close(self) -> None:
        """End the process."""
        self.net.inside("mr", self.routers.close)
        self.process.kill()
        self.process.wait()


def updates(customers: Sequence[int], sequence: int, flags: BindingUpdateFlag = REFRESH, move: int = 0) -> list[bytes]:
    """Whole packets, said now: they are good for some seconds (RFC 4285 6)."""
    return [
        packet.update_packet(
            moved_care_of(one, move),
            HOME_AGENT,
            home(one),
            mobility_header(one, sequence, time.time() + 1, flags, move=move),
        )
        for one in customers
    ]


def _separate(net: Net) -> None:
    """Keep what a network card and another machine would do off the daemon's core; a veth charges it to the sender."""
    for node in ("ha", "mr"):
        other = 1 << max(os.sched_getaffinity(0))
        net.run(node, "sh", "-c", f"echo {other:x} > /sys/class/net/isp/queues/rx-0/rps_cpus")
    for rule in MobilitySocket.prepare("mobile-router").output_rules:
        # The routers' kernel would answer each acknowledgement with a Parameter Problem.
        chain = "chain output { type filter hook output priority raw;\n" + rule + "\n}\n"
        net.run("mr", "nft", "table ip6 bench {\n" + chain + "}")


@contextlib.contextmanager
def home_agent(customers: int) -> Iterator[HomeAgentProcess]:
    """The two namespaces and the running daemon with a table of that many customers; gone afterwards."""
    with (
        open(LAB_LOCK, "w") as lock,
        tempfile.TemporaryDirectory(prefix="xsp-bench-") as directory,
        namespaces() as net,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        net.add("ha", "mr")
        net.link("ha", "isp", "mr", "isp")
        net.run("ha", "ip", "addr", "add", "2001:db8:a::10/64", "dev", "isp", "nodad")
        net.run("mr", "ip", "addr", "add", "2001:db8:a::1/64", "dev", "isp", "nodad")
        net.run("mr", "ip", "route", "add", "2001:db8:f000::/36", "via", "2001:db8:a::10")
        for line in (1, 2):
            net.run("mr", "ip", "-6", "route", "add", "local", f"2001:db8:{line}:c::/64", "dev", "lo")
        _separate(net)
        made = HomeAgentProcess(net, Path(directory), customers)
        try:
            yield made
        finally:
            made.close()
