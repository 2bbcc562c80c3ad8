"""A running `xsp-ha` in the smallest network, and a mobile router played by hand."""

import base64
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mip6 import auth, header, packet
from mip6.messages import BindingAck
from mip6.mhsocket import MobilitySocket
from mip6.numbers import Status
from tests import beside, tunnels
from tests.bench import crowd
from tests.ha.cast import CARE_OF_1, EPOCH, HOME, HOME_AGENT, KEY, OVERWRITE, Router, both_lines
from tests.ha.test_files import PUBLIC, ROW, table
from tests.netns import Net
from tests.office import office

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 15.0
PATIENCE_BESIDE_A_CROWD = 12  # times as long: a table is read, a kernel filled and dumped meanwhile


def poll(question: Callable[[], Any], what: str) -> Any:
    """The first true answer to `question`."""
    deadline = time.monotonic() + DEADLINE_S * (PATIENCE_BESIDE_A_CROWD if beside.customers() else 1)
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.02)
    return answer


def two_lines() -> dict[str, Any]:
    """The customer of these tests, as a row of the table."""
    [line1] = ROW["uplinks"]
    line2 = {**line1, "bid": 2, "name": "line2", "allowed_care_of": ["2001:db8:2:c::/64"]}
    key = {**ROW["keys"][0], "secret": base64.b64encode(KEY.key).decode()}
    return {**ROW, "uplinks": [line1, line2], "keys": [key]}


def _without_crowd(status: dict[str, Any]) -> dict[str, Any]:
    """What the home agent tells, but for the customers that are only there to be many: all of them must be in."""
    others = beside.customers()
    if others and "cache" in status:
        status["cache"] |= {name: status["cache"][name] - others for name in ("records", "wanted", "in_kernel")}
        status["cache"].pop("shown", None)
    return status


def driver_line() -> str:
    """The driver that was asked for, as a line of a configuration file."""
    return f'driver = "{tunnels.driver()}"' if tunnels.driver() else ""


class Office:
    """The network with a running home agent, and a mobile router played by hand.

    `customer` is a row of its table, `home_agent` its address inside `aggregate`.
    """

    def __init__(
        self,
        net: Net,
        directory: Path,
        customer: Mapping[str, Any] | None = None,
        home_agent: str = "2001:db8:f000::1",
        aggregate: str = "2001:db8:f000::/36",
    ) -> None:
        self.net, self.directory = net, directory
        self.router = Router()
        self.config = directory / "ha.toml"
        row = dict(customer or two_lines())
        self.home_address = str(row["home_address"])
        (directory / "customers.jsonl").write_bytes(table(row))
        self.config.write_text(
            f"""
instance = "site1"
state_directory = "{directory}/state"
run_directory = "{directory}/run"
customer_table = "{directory}/customers.jsonl"
table_public_key = "{base64.b64encode(PUBLIC).decode()}"
cookie_key_file = "{directory}/cookie.key"
locator = "2001:db8:a::10"
home_agent_address = "{home_agent}"
aggregates = ["{aggregate}"]
egress = [{{ gateway = "2001:db8:a::1", interface = "isp" }}]
{driver_line()}
[bgp]
lease_socket = "{directory}/lease.sock"
"""
        )
        cookie_key = directory / "cookie.key"  # as `xsp render` writes it
        cookie_key.write_text(base64.b64encode(bytes(32)).decode() + "\n")
        if beside.customers():
            crowd.join(directory / "customers.jsonl", self.config, directory / "state", beside.customers())
        self.start()
        net.run("mr", "ip", "-6", "route", "add", "default", "via", "2001:db8:1:c::1")
        self.sockets = net.inside("mr", lambda: MobilitySocket("mobile-router"))
        for ready in self.sockets.sockets:
            ready.setblocking(False)

    def start(self, *options: str) -> None:
        words = ["ip", "netns", "exec", self.net.name("ha"), sys.executable, "-m", "ha", "--config", str(self.config)]
        words += ["run", *options]
        log_file = self.directory / "ha.log"
        said_before = log_file.stat().st_size if log_file.exists() else 0
        log = open(log_file, "ab")  # noqa: SIM115  (the process keeps it)
        self.process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
        log.close()
        poll(lambda: self.status(), "xsp-ha answers")
        if beside.customers():  # it answers long before it hears routers
            poll(lambda: b"serving" in log_file.read_bytes()[said_before:], "xsp-ha serves")

    def status(self) -> dict[str, Any]:
        done = self.ask_status(*([self.home_address] if beside.customers() else []), "--json")
        return _without_crowd(json.loads(done.stdout)) if done.stdout else {}

    def ask_status(self, *more: str) -> subprocess.CompletedProcess[str]:
        """The command as an operator gives it."""
        words = [sys.executable, "-m", "ha", "--config", str(self.config), "status", *more]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    def logged_at(self, words: str) -> list[float]:
        """When it said so, in seconds since the epoch."""
        lines = (self.directory / "ha.log").read_text().splitlines()
        stamps = [line.split()[0].removeprefix("timestamp=") for line in lines if words in line]
        return [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]

    def counter(self, name: str) -> int:
        return int(self.status()["counters"].get(name, 0))

    def send(self, event: Any, source: bytes = CARE_OF_1) -> None:
        octets = event.octets
        self.net.inside("mr", lambda: self.sockets.send(packet.update_packet(source, HOME_AGENT, HOME, octets), source))

    def update(self, *bids: Any, **how: Any) -> Any:
        now = time.time() - EPOCH
        return self.router.update(now, bids, **how)

    def ack(self) -> BindingAck:
        def heard() -> BindingAck | None:
            for ready in self.sockets.sockets:
                for datagram in self.sockets.receive(ready):
                    assert datagram.error is None and datagram.home_address == HOME
                    message = header.decode(datagram.octets, datagram.source, HOME)
                    assert isinstance(message, BindingAck)
                    assert auth.verify(datagram.octets, KEY, datagram.destination, HOME)
                    return message
            return None

        found = poll(heard, "an acknowledgement")
        assert isinstance(found, BindingAck)
        return found

    def register(self) -> None:
        self.send(self.update(*both_lines(), flags=OVERWRITE))
        assert self.ack().status == Status.ACCEPTED

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0

    def close(self) -> None:
        """End whatever still runs."""
        self.process.kill()
        self.process.wait()
        self.sockets.close()


@contextlib.contextmanager
def running_office(directory: Path) -> Iterator[Office]:
    """A home agent that runs, and a mobile router to be played; gone afterwards."""
    with office() as net, contextlib.closing(Office(net, directory)) as made:
        yield made
