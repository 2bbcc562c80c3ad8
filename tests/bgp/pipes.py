"""The real bridge process with the test in ExaBGP's place at its pipes, and a client of its socket."""

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
AGGREGATE = "2001:db8:f000::/36"
ROUTES: list[dict[str, Any]] = [{"prefix": AGGREGATE, "communities": [], "med": None, "prepend": 0}]
ISP = "2001:db8:1:a::1"
NEIGHBOUR = f'[[neighbour]]\naddress = "{ISP}"\nas = 64501\n'
DESCRIPTION = json.dumps(
    [{"state": "up", "duration": 1, "local": {"as": 64500}, "peer": {"address": "2001:db8:1:a::1"}}]
)


class Exabgp:
    """ExaBGP's side of the pipes."""

    def __init__(self, directory: Path, aggregate: str = AGGREGATE, settings: str = "") -> None:
        self.socket = directory / "lease.sock"
        config = directory / "bgp.toml"
        self.config = config
        settings += f'lease_socket = "{self.socket}"\naggregates = ["{aggregate}"]\n'
        config.write_text(settings + "orphan_hold_s = 0\nhold_down_max_s = 0\n" + NEIGHBOUR)
        self.bridge = subprocess.Popen(
            [sys.executable, "-m", "bgp", "bridge", "--config", str(config)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.unread = b""

    def write(self, *lines: str) -> None:
        assert self.bridge.stdin is not None
        os.write(self.bridge.stdin.fileno(), "".join(line + "\n" for line in lines).encode())

    def command(self, deadline_s: float = 10.0) -> str:
        """The next command, unanswered."""
        assert self.bridge.stdout is not None
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.bridge.stdout], [], [], deadline_s)
            assert ready, "no command came"
            octets = os.read(self.bridge.stdout.fileno(), 4096)
            assert octets, "the bridge closed its output"
            self.unread += octets
        line, self.unread = self.unread.split(b"\n", 1)
        return line.decode("ascii")

    def obey(self, command: str) -> None:
        if command == "show neighbor json":
            self.write(DESCRIPTION)
        self.write("done")

    def obey_until(self, start: str) -> str:
        """Obey commands up to and including the first that starts so, the neighbour aside."""
        while True:
            command = self.command()
            self.obey(command)
            if command.removeprefix(f"neighbor {ISP} ").startswith(start.removeprefix(f"neighbor {ISP} ")):
                return command

    def start_up(self) -> None:
        self.obey_until("show neighbor json")
        self.obey_until("withdraw")

    def close(self) -> None:
        self.bridge.kill()
        self.bridge.communicate()


class Holder:
    """A client of the lease socket that writes what the test wants."""

    def __init__(self, path: Path) -> None:
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.settimeout(10)
        self.stream.connect(str(path))
        self.lines = self.stream.makefile("rb")

    def say(self, **fields: Any) -> dict[str, Any]:
        self.stream.sendall(json.dumps({"v": 1, **fields}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self.lines.readline())
        return answer

    def renew(self, wanted: str = "announce", linger_ms: int = 60_000, seq: int = 1) -> dict[str, Any]:
        return self.say(seq=seq, wanted=wanted, reason="test", linger_ms=linger_ms, routes=ROUTES)

    def close(self) -> None:
        self.lines.close()
        self.stream.close()


def eventually(question: Callable[[], Any], expected: Any) -> None:
    """Ask until the answer is as expected: ExaBGP's pipe and the lease socket reach the bridge in either order."""
    deadline = time.monotonic() + 10
    while (answer := question()) != expected:
        assert time.monotonic() < deadline, answer
