"""Three real `xsp-ha` processes, a namespace each, that replicate in TLS; all mobile routers in a fourth namespace.

            mr   (the Internet and every mobile router: raw sockets)
          /  |  \\
        ha1 ha2 ha3

Nobody registers first: the sites find all customers bound in the snapshot that each believes to have written itself.
Everything is on this machine: three daemons, whoever plays the routers, and what network cards and other machines
would do share its cores. So what is measured here is what the sites do with a part of the machine.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ha import snapshot
from ha.frames import WireCell, WireRecord
from ha.record import OLDEST, Register, Version
from mip6 import ntp
from mip6.mhsocket import MobilitySocket
from runtime import control
from tests.bench.population import care_of, home, public_key_text, table_octets
from tests.bench.process import LAB_LOCK
from tests.bench.result import ROOT
from tests.certificates import Authority
from tests.netns import Net, namespaces

LIFETIME_S = 3600
START_S = 120.0
ROUTERS = "mr"
TICKS = os.sysconf("SC_CLK_TCK")
IDLE, IO_WAIT = 3, 4  # places in the first line of /proc/stat
_CONFIG = """
instance = "{site}"
state_directory = "{directory}/state"
run_directory = "{directory}/run"
customer_table = "{directory}/customers.jsonl"
table_public_key = "{key}"
locator = "{locator}"
home_agent_address = "2001:db8:f000::1"
aggregates = ["2001:db8:f000::/36"]
lifetime_max_s = {lifetime_s}
acknowledge = "any"
limits = {{ from_a_48 = 1000000, in_all = 1000000 }}
egress = [{{ gateway = "{gateway}", interface = "isp" }}]
{peers}
[tls]
authority = "{ca}/ca.pem"
certificate = "{ca}/{site}.pem"
key = "{ca}/{site}.key"
revoked = "{ca}/revoked.pem"
[bgp]
lease_socket = "{directory}/lease.sock"
"""


def locator(number: int) -> str:
    """Of site `number`, 1 or higher."""
    return f"2001:db8:{number}:a::10"


class SiteProcess:
    """One site's daemon with its files."""

    def __init__(self, net: Net, root: Path, ca: Path, number: int, sites: int) -> None:
        self.net, self.name, self.node = net, f"site{number}", f"ha{number}"
        self.directory = root / self.name
        self.directory.mkdir()
        (self.directory / "state").mkdir()
        self.config = self.directory / "ha.toml"
        others = [one for one in range(1, sites + 1) if one != number]
        peers = "\n".join(f'[[peer]]\nsite = "site{one}"\nlocator = "{locator(one)}"' for one in others)
        self.config.write_text(
            _CONFIG.format(
                site=self.name,
                directory=self.directory,
                key=public_key_text(),
                locator=locator(number),
                gateway=f"2001:db8:{number}:a::1",
                lifetime_s=LIFETIME_S,
                peers=peers,
                ca=ca,
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def know(self, table: bytes, records: Sequence[WireRecord]) -> None:
        """What it finds when it starts: the customer table, and its own snapshot."""
        (self.directory / "customers.jsonl").write_bytes(table)
        if records:
            snapshot.save(self.directory / "state", time.time(), [snapshot.piece(records)])

    def start(self) -> None:
        """Run it; `wait_for` what it says."""
        words: list[str | Path] = ["ip", "netns", "exec", self.net.name(self.node)]
        words += [sys.executable, "-m", "ha", "--config", self.config]
        with open(self.directory / "ha.log", "ab") as log:
            self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself, without the kernel's dump; nothing if it does not answer."""
        try:
            return control.ask(self.directory / "run" / "control-ha.sock", "status", brief=True)
        except control.Unreachable:
            return {}

    def wait_for(self, question: Callable[[dict[str, Any]], bool], every_s: float = 0.1) -> None:
        """Until its status is as asked. Raises: RuntimeError with its log."""
        deadline = time.monotonic() + START_S
        while not question(self.status()):
            if time.monotonic() > deadline or self.process is None or self.process.poll() is not None:
                raise RuntimeError(f"{self.name}: " + (self.directory / "ha.log").read_text()[-2000:])
            time.sleep(every_s)

    def cpu_s(self) -> float:
        """Seconds of a core that it has used, in user and kernel mode."""
        assert self.process is not None
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def routes(self) -> int:
        """How many routes of customers its kernel holds."""
        lines = self.net.run(self.node, "ip", "-6", "route", "show", "proto", "208").splitlines()
        return sum(not line[:1].isspace() for line in lines)  # the paths of a route are lines of their own

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def is_ready(status: dict[str, Any]) -> bool:
    """Would it be announced? There is no BGP here: READY is as far as it gets, ANNOUNCED if a test hears its lease."""
    return status.get("state") in ("READY", "ANNOUNCED")


def all_but_one_started(all_sites: Sequence[SiteProcess], customers: int) -> SiteProcess:
    """All but the first, which loses its snapshot, are started and forward for everybody; the first is returned."""
    new, *old = all_sites
    (new.directory / "state" / "snapshot").unlink()
    print(f"  starting {len(old)} sites that know everybody ...", flush=True)
    for site in old:
        site.start()
    for site in old:
        site.wait_for(lambda status: is_ready(status) and status["counters"].get("customers_installed", 0) >= customers)
    return new


def counted(processes: Sequence[SiteProcess], name: str) -> int:
    """A counter of all sites together, all its labels."""
    documents = [one.status()["counters"] for one in processes]
    return sum(count for one in documents for key, count in one.items() if key.split("{")[0] == name)


def others_used_s(processes: Sequence[SiteProcess]) -> float:
    """Core seconds that this machine has used for all but these sites and this process: who measures beside others
    sees it in this number.
    """
    words = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy_s = (sum(words) - words[IDLE] - words[IO_WAIT]) / TICKS
    return busy_s - sum(one.cpu_s() for one in processes) - time.process_time()


def bound(customers: int, unix_s: float) -> list[WireRecord]:
    """Everybody's record: two verified lines, registered at `unix_s`."""
    said = ntp.to_timestamp(unix_s)
    version = Version(said, "site1")

    def record(customer: int) -> WireRecord:
        cells = {bid: WireCell(version, care_of(customer, bid), LIFETIME_S, 0) for bid in (1, 2)}
        return WireRecord(home(customer), cells, OLDEST, Register(version, 1), (version, True, None), said, LIFETIME_S)

    return [record(customer) for customer in range(customers)]


@contextlib.contextmanager
def sites(count: int, customers: int) -> Iterator[list[SiteProcess]]:
    """Sites that know all customers and are not started; this machine's only lab. Gone afterwards."""
    with (
        open(LAB_LOCK, "w") as lock,
        tempfile.TemporaryDirectory(prefix="xsp-bench-") as directory,
        namespaces() as net,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        _cable(net, count)
        ca = Authority(Path(directory) / "ca")
        made = [SiteProcess(net, Path(directory), ca.directory, number, count) for number in range(1, count + 1)]
        table, records = table_octets(customers), bound(customers, time.time() - 60)
        for one in made:
            ca.issue(one.name)
            one.know(table, records)
        try:
            yield made
        finally:
            for one in made:
                one.close()


def _cable(net: Net, count: int) -> None:
    net.add(ROUTERS, *(f"ha{number}" for number in range(1, count + 1)))
    net.run(ROUTERS, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    for number in range(1, count + 1):
        net.link(f"ha{number}", "isp", ROUTERS, f"site{number}")
        net.run(f"ha{number}", "ip", "addr", "add", f"{locator(number)}/64", "dev", "isp", "nodad")
        net.run(f"ha{number}", "ip", "route", "add", "default", "via", f"2001:db8:{number}:a::1", check=False)
        net.run(ROUTERS, "ip", "addr", "add", f"2001:db8:{number}:a::1/64", "dev", f"site{number}", "nodad")
        aggregate = ["ip", "route", "add", "2001:db8:f000::/36", "via", locator(number)]
        net.run(ROUTERS, *aggregate, "dev", f"site{number}", "metric", str(number))
    for line in (1, 2):
        net.run(ROUTERS, "ip", "-6", "route", "add", "local", f"2001:db8:{line}:c::/64", "dev", "lo")
    for rule in MobilitySocket.prepare("mobile-router").output_rules:
        # The routers' kernel would answer each acknowledgement with a Parameter Problem.
        chain = "chain output { type filter hook output priority raw;\n" + rule + "\n}\n"
        net.run(ROUTERS, "nft", "table ip6 bench {\n" + chain + "}")
