"""One site and its ISP for the tests of `bgp`: two namespaces, FRR in one, `xsp-bgp run` with ExaBGP in the other.

     isp (AS 64501)                        site (AS 64500)
zebra, bgpd   2001:db8:1:a::1 ---- 2001:db8:1:a::10   xsp-bgp run -> ExaBGP -> bridge <- lease <- holder
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
AGGREGATE = "2001:db8:f000::/36"
ISP, LOCATOR = "2001:db8:1:a::1", "2001:db8:1:a::10"
KEY = "a secret that all sites share"
GRACEFUL_SHUTDOWN = "gracefulShutdown"  # as FRR prints 65535:0

FRR_CONFIGURATION = f"""
hostname isp
bgp route-map delay-timer 0
ipv6 prefix-list AGGREGATE seq 5 permit {AGGREGATE}
route-map IN permit 10
 match ipv6 address prefix-list AGGREGATE
route-map OUT deny 10
router bgp 64501
 bgp router-id 192.0.2.101
 no bgp default ipv4-unicast
 neighbor {LOCATOR} remote-as 64500
 neighbor {LOCATOR} passive
 neighbor {LOCATOR} timers 1 3
 neighbor {LOCATOR} timers connect 1
 address-family ipv6 unicast
  neighbor {LOCATOR} activate
  neighbor {LOCATOR} route-map IN in
  neighbor {LOCATOR} route-map OUT out
 exit-address-family
"""

EXABGP_CONFIGURATION = f"""
process bridge {{ run PROGRAM bridge --config DIRECTORY/bgp.toml; encoder json; respawn true; }}
neighbor {ISP} {{
    local-address {LOCATOR};
    local-as 64500;
    peer-as 64501;
    router-id 192.0.2.1;
    hold-time 3;
    adj-rib-in false;
    adj-rib-out true;
    family {{ ipv6 unicast; }}
    capability {{ route-refresh enable; }}
    api {{ processes [ bridge ]; neighbor-changes; }}
}}
"""

BGP_TOML = f"""
instance = "site1"
state_directory = "state"
run_directory = "run"
lease_socket = "run/lease.sock"
exabgp_configuration = "DIRECTORY/exabgp.conf"
aggregates = ["{AGGREGATE}"]
hold_down_max_s = 0
[fellows]
locator = "{LOCATOR}"
key_file = "sites.key"
[[fellows.site]]
name = "site2"
locator = "{ISP}"
[[neighbour]]
address = "{ISP}"
as = 64501
"""

HOLDER = """
import asyncio, ipaddress, sys
from bgp.client import LeaseClient
from bgp.route import Route

async def main(path, prefixes, linger_ms):
    wish, client = ["announce"], LeaseClient(path)
    asyncio.get_running_loop().add_reader(0, lambda: wish.__setitem__(0, sys.stdin.readline().strip()))
    routes = [Route(ipaddress.ip_network(one), ("64500:7",), med=50, prepend=1) for one in prefixes.split(",")]
    while True:
        client.renew(wish[0], "test", linger_ms, tuple(routes))
        print(client.state, *client.sent, flush=True)
        await asyncio.sleep(0.1)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


OTHER_SITE = """
import asyncio, sys
from bgp import fellows
from bgp.megaphones import Megaphones
from runtime.counters import Counters

async def main(locator, peer, key):
    speaker = Megaphones("site2", {"site1": peer}, fellows.derive(key.encode()), Counters())
    await speaker.open(locator)
    while True:
        speaker.say(True)
        await asyncio.sleep(0.1)

asyncio.run(main(*sys.argv[1:]))
"""


def wait_for(what: str, question: Callable[[], Any], deadline_s: float = 10.0, pause_s: float = 0.02) -> Any:
    """Poll until `question()` is true; returns its answer."""
    deadline = time.monotonic() + deadline_s
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(pause_s)


def throughout(seconds: float, question: Callable[[], bool]) -> None:
    """It is so all the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert question()


class Site:
    """The two namespaces and everything that runs in them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        lab = secrets.token_hex(3)
        self.isp, self.site = f"x{lab}-isp", f"x{lab}-site"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.program = directory / "xsp-bgp"
        self.config = directory / "bgp.toml"
        self.log = directory / "xsp-bgp.log"

    # -- building

    def build(self) -> None:
        for namespace in (self.isp, self.site):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "link", "add", "isp", "netns", self.site, "type", "veth", "peer", "name", "site", "netns", self.isp)
        for namespace, link, address in ((self.isp, "site", ISP), (self.site, "isp", LOCATOR)):
            run("ip", "-n", namespace, "address", "add", f"{address}/64", "dev", link, "nodad")
            run("ip", "-n", namespace, "link", "set", link, "up")
        self.start_isp()
        self.write_configuration()

    def frr_configuration(self) -> str:
        """What the ISP's daemons read."""
        return FRR_CONFIGURATION

    def start_isp(self) -> None:
        place = self.directory / "frr"
        place.mkdir()
        (place / "frr.conf").write_text(self.frr_configuration())
        for path in (place, place / "frr.conf"):
            shutil.chown(path, "frr", "frr")
        for daemon in ("zebra", "bgpd"):
            options = [
                "-f",
                str(place / "frr.conf"),
                "-i",
                str(place / f"{daemon}.pid"),
                "-z",
                str(place / "zserv.api"),
            ]
            options += ["--vty_socket", str(place), "-P", "0", "--log", f"file:{place}/{daemon}.log"]
            self.start(self.isp, f"/usr/lib/frr/{daemon}", *options)
            wait_for(f"{daemon}'s vty", (place / f"{daemon}.vty").exists)

    def write_configuration(self) -> None:
        self.program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from bgp.__main__ import main\nsys.exit(main())\n"
        )
        self.program.chmod(0o755)
        (self.directory / "sites.key").write_text(KEY + "\n")
        for name, text in (("exabgp.conf", EXABGP_CONFIGURATION), ("bgp.toml", BGP_TOML)):
            text = text.replace("PROGRAM", str(self.program)).replace("DIRECTORY", str(self.directory))
            (self.directory / name).write_text(text)

    def start(self, namespace: str, *command: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["ip", "netns", "exec", namespace, *command], **options)
        self.processes.append(process)
        return process

    def start_supervisor(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = (str(self.program), "--config", str(self.config), "run")
            return self.start(self.site, *command, stdout=log, stderr=log)

    def start_other_site(self) -> subprocess.Popen[bytes]:
        """The speaker of another site, behind the ISP, that says it is announced."""
        return self.start(self.isp, sys.executable, "-c", OTHER_SITE, ISP, LOCATOR, KEY, cwd=ROOT)

    def start_holder(self, linger_ms: int, *prefixes: str) -> subprocess.Popen[bytes]:
        """Who renews the lease, for the aggregate unless told otherwise."""
        wanted = ",".join(prefixes or (AGGREGATE,))
        words = (sys.executable, "-c", HOLDER, str(self.directory / "run/lease.sock"), wanted, str(linger_ms))
        return self.start(self.site, *words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT)

    def wish(self, holder: subprocess.Popen[bytes], wanted: str) -> None:
        """Have a running holder ask for something else from now on."""
        assert holder.stdin is not None
        holder.stdin.write(wanted.encode() + b"\n")
        holder.stdin.flush()

    def close(self) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        for namespace in (self.isp, self.site):
            listed = run("ip", "netns", "pids", namespace, check=False)
            for pid in listed.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "delete", namespace, check=False)

    # -- looking

    def heard(self, prefix: str = AGGREGATE, family: str = "ipv6") -> dict[str, Any] | None:
        """A prefix as it stands in the neighbour's RIB."""
        question = f"show bgp {family} unicast {prefix} json"
        reply = run("vtysh", "--vty_socket", str(self.directory / "frr"), "-c", question, check=False)
        try:
            document = json.loads(reply)
        except ValueError:
            return None
        paths = document.get("paths")
        return paths[0] if paths else None

    def communities(self) -> list[str]:
        path = self.heard()
        return path.get("community", {}).get("list", []) if path else []

    def is_announced(self) -> bool:
        return self.heard() is not None and GRACEFUL_SHUTDOWN not in self.communities()

    def is_depreferenced(self) -> bool:
        return GRACEFUL_SHUTDOWN in self.communities()

    def is_withdrawn(self) -> bool:
        return self.heard() is None

    def is_connected(self) -> bool:
        return any(row["state"] == "established" for row in self.status().get("neighbours", []))

    def status(self) -> dict[str, Any]:
        reply = run(str(self.program), "status", "--json", "--config", str(self.config), check=False)
        document: dict[str, Any] = json.loads(reply) if reply else {}
        return document


def run(*words: str, check: bool = True) -> str:
    """Run a command to its end; returns what it printed."""
    done = subprocess.run(words, capture_output=True, check=False, timeout=20)
    assert not check or done.returncode == 0, (words, done.stderr)
    return done.stdout.decode()
