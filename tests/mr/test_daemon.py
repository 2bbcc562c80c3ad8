"""The whole program in a namespace with two lines, against a scripted home agent on real raw sockets."""

import base64
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import netns

from mip6 import header, packet
from mip6.auth import encode_signed, verify
from mip6.messages import BindingAck, BindingUpdate
from mip6.mhsocket import Datagram, MobilitySocket
from mip6.numbers import BindingAckFlag
from mip6.options import BindingIdentifier, MessageIdentification, Option
from tests.mr.cast import ASSOCIATION, CARE_OF, HOME_ADDRESS, HOME_AGENT, OVERWRITE, bids, timestamp_of

pytestmark = pytest.mark.netns
ROOT = Path(__file__).parents[2]
DEADLINE_S = 10.0
CONFIGURATION = """
instance = "office1"
state_directory = "state"
run_directory = "run"
home_address = "2001:db8:f000::51"
home_agents = ["2001:db8:f000::1"]
prefixes = ["2001:db8:f100::/56"]
mn_identifier = "office1@xsp.example"
[key]
spi = 256
secret_file = "mr.key"
[[uplink]]
bid = 1
name = "line1"
interface = "line1"
[[uplink]]
bid = 2
name = "line2"
interface = "line2"
"""


class Scene:
    """Namespaces `mr` and `isp` with two lines between them; the home agent lives in `isp`."""

    def __init__(self, directory: Path) -> None:
        token = secrets.token_hex(4)
        self.router, self.provider = f"x{token}-mr", f"x{token}-isp"
        self.configuration = directory / "mr.toml"
        self.configuration.write_text(CONFIGURATION)
        (directory / "mr.key").touch(0o600)
        (directory / "mr.key").write_bytes(base64.b64encode(ASSOCIATION.key))
        self.timestamp_file = directory / "state/last-timestamp"
        self.program: subprocess.Popen[bytes] | None = None

    def ip(self, name: str, *words: str) -> str:
        """Run ip(8) in a namespace."""
        return subprocess.run(["ip", "-n", name, *words], check=True, capture_output=True, text=True).stdout

    def build(self) -> None:
        """Make it all, with a default route on each line."""
        for name in (self.router, self.provider):
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.ip(name, "link", "set", "lo", "up")
        self.ip(self.provider, "address", "add", "2001:db8:f000::1/128", "dev", "lo")
        for bid in (1, 2):
            line, far = f"line{bid}", f"far{bid}"
            self.ip(self.router, "link", "add", line, "type", "veth", "peer", "name", far, "netns", self.provider)
            self.ip(self.provider, "link", "set", far, "up")
            self.ip(self.router, "link", "set", line, "up")
            self.ip(self.provider, "address", "add", f"2001:db8:{bid}:c::1/64", "dev", far, "nodad")
            self.ip(self.router, "address", "add", f"2001:db8:{bid}:c::20/64", "dev", line, "nodad")
            route = ("default", "via", f"2001:db8:{bid}:c::1", "dev", line, "metric", str(1000 + bid))
            self.ip(self.router, "-6", "route", "add", *route)
        quiet = ["ip", "netns", "exec", self.provider, "sysctl", "-q", "net.ipv6.max_dst_opts_number=-8"]
        subprocess.run(quiet, check=True)

    def start(self) -> None:
        """Start the program."""
        command = [sys.executable, "-m", "mr", "--config", str(self.configuration), "-v"]
        self.program = subprocess.Popen(["ip", "netns", "exec", self.router, *command], cwd=ROOT)

    def status(self) -> dict[str, Any]:
        """What `xsp-mr status --json` says; empty while nobody answers."""
        command = [sys.executable, "-m", "mr", "--config", str(self.configuration), "status", "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        return dict(json.loads(done.stdout)) if done.stdout else {}

    def destroy(self) -> None:
        """End the program and remove the namespaces."""
        if self.program is not None and self.program.poll() is None:
            self.program.kill()
            self.program.wait()
        for name in (self.router, self.provider):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


class HomeAgent:
    """Answers what it is told to answer, on real sockets."""

    def __init__(self, scene: Scene) -> None:
        netns.pushns(scene.provider)
        try:
            self.sockets = MobilitySocket("home-agent")
        finally:
            netns.popns()
        self.waiting: list[Datagram] = []

    def receive(self) -> tuple[Datagram, BindingUpdate]:
        """The next Binding Update, checked."""
        until = time.monotonic() + DEADLINE_S
        while not self.waiting:
            ready, _, _ = select.select(self.sockets.sockets, [], [], max(0.0, until - time.monotonic()))
            assert ready, "no Binding Update came"
            for one in ready:
                # Heartbeats carry no Home Address option; this home agent knows none, and never answers them.
                self.waiting += [found for found in self.sockets.receive(one) if found.home_address is not None]
        datagram = self.waiting.pop(0)
        assert datagram.home_address == HOME_ADDRESS
        message = header.decode(datagram.octets, HOME_ADDRESS, HOME_AGENT)
        assert isinstance(message, BindingUpdate)
        assert verify(datagram.octets, ASSOCIATION, datagram.source, HOME_ADDRESS)
        return datagram, message

    def accept(self, datagram: Datagram, update: BindingUpdate) -> None:
        """Answer with status 0."""
        options: list[Option] = [BindingIdentifier(bid) for bid in bids(update)]
        options.append(MessageIdentification(timestamp_of(update)))
        ack = BindingAck(0, BindingAckFlag.MOBILE_ROUTER, update.sequence, update.lifetime_s, tuple(options))
        signed = encode_signed(ack, ASSOCIATION, datagram.source, HOME_ADDRESS, HOME_AGENT, HOME_ADDRESS)
        self.sockets.send(packet.ack_packet(HOME_AGENT, datagram.source, HOME_ADDRESS, signed), HOME_AGENT)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    try:
        made.build()
        yield made
    finally:
        made.destroy()


def eventually(good: Callable[[], bool]) -> None:
    """Poll until `good`, at most DEADLINE_S."""
    until = time.monotonic() + DEADLINE_S
    while not good():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_register_lose_a_line_crash_restart_and_stop(scene: Scene) -> None:
    home_agent = HomeAgent(scene)
    far = {bid: int(scene.ip(scene.provider, "-o", "link", "show", f"far{bid}").split(":")[0]) for bid in (1, 2)}

    # Registration over line 1, both care-of addresses in it.
    scene.start()
    datagram, update = home_agent.receive()
    assert (datagram.source, datagram.interface_index, bids(update)) == (CARE_OF[1], far[1], [1, 2])
    assert update.flags & OVERWRITE
    home_agent.accept(datagram, update)
    eventually(lambda: scene.status().get("state") == "registered")
    status = scene.status()
    assert [(line["bid"], line["registered"], line["care_of"]) for line in status["uplinks"]] == [
        (1, True, "2001:db8:1:c::20"),
        (2, True, "2001:db8:2:c::20"),
    ]
    assert all(250 < line["lifetime_left_s"] <= 300 for line in status["uplinks"])
    assert timestamp_of(update) <= int(scene.timestamp_file.read_text())  # a Heartbeat may have followed

    # Line 1 is cut: its BID is deregistered over line 2 at once.
    scene.ip(scene.provider, "link", "set", "far1", "down")
    cut_at = time.monotonic()
    datagram, update = home_agent.receive()
    took_s = time.monotonic() - cut_at
    assert (datagram.source, datagram.interface_index, bids(update)) == (CARE_OF[2], far[2], [1])
    assert update.lifetime_s == 0
    assert took_s < 0.2
    home_agent.accept(datagram, update)
    eventually(lambda: scene.status().get("state") == "degraded")

    # A crash leaves the kernel as it was; the next start registers anew with overwrite.
    assert scene.program is not None
    before = _nexthops(scene)
    assert before
    scene.program.send_signal(signal.SIGKILL)
    scene.program.wait()
    scene.start()
    datagram, again = home_agent.receive()
    assert again.flags & OVERWRITE and bids(again) == [2]
    assert timestamp_of(again) > timestamp_of(update)
    assert _nexthops(scene) == before
    home_agent.accept(datagram, again)
    eventually(lambda: scene.status().get("state") == "degraded")

    # A stop deregisters everything and cleans up.
    scene.program.send_signal(signal.SIGTERM)
    datagram, last = home_agent.receive()
    assert (last.lifetime_s, bids(last)) == (0, [])
    home_agent.accept(datagram, last)
    assert scene.program.wait(DEADLINE_S) == 0
    assert not _nexthops(scene)
    assert not list((scene.configuration.parent / "state/poison").glob("*"))


def _nexthops(scene: Scene) -> str:
    return scene.ip(scene.router, "nexthop", "show", "protocol", "209")


def test_the_program_refuses_a_key_that_others_can_read(scene: Scene) -> None:
    (scene.configuration.parent / "mr.key").chmod(0o644)
    command = [sys.executable, "-m", "mr", "--config", str(scene.configuration), "-n"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 1
    assert "chmod 0600" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_program_of_the_same_instance_is_refused(scene: Scene) -> None:
    scene.start()
    eventually(lambda: bool(scene.status()))
    command = [sys.executable, "-m", "mr", "--config", str(scene.configuration)]
    done = subprocess.run(["ip", "netns", "exec", scene.router, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 5
    assert scene.status()
