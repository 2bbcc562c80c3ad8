"""Twenty mobile routers that never rest: each registers two lines, changes one, drops one, takes it back.

They are Binding Updates made by hand, signed with real keys, one outstanding for each router and repeated every second
until it is answered (RFC 6275 11.8), sent from hosts at two ISPs: line 1 of each is behind `cn1`, line 2 behind `cn3`.
What was acknowledged with status 0 is remembered: all of it must be in the kernels of the sites, and nothing older.
"""

import base64
import contextlib
import hashlib
import json
import random
import select
import socket
import threading
import time
from dataclasses import dataclass, field, replace

from ha import customer_table
from ha.prefix import address_text, prefix_text
from lab import build
from lab.lab import Lab
from lab.topology import SITES
from mip6 import auth, ntp, packet
from mip6.messages import BindingUpdate
from mip6.mhsocket import MobilitySocket
from mip6.numbers import ROUTING_HEADER
from mip6.options import BindingIdentifier, MessageIdentification, MobileNodeIdentifier, Option
from tests.bench.population import ALGORITHM, FIRST, OFFICE, REFRESH, SPI, home, key, prefix, public_key_text
from tests.ha.cast import HOME_AGENT, address

ROUTERS = range(1000, 1020)
HOSTS = {1: "cn1", 2: "cn3"}  # where the lines are
NETS = {1: "2001:db8:1:e", 2: "2001:db8:3:e"}
LIFETIME_S = 300
ANSWER_S = 1.0  # RFC 6275 12: INITIAL_BINDACK_TIMEOUT
REST_S = (0.2, 1.5)  # between an answer and the next change
_HOME, _STATUS, _SEQUENCE = slice(8, 24), 24 + 6, slice(24 + 8, 24 + 10)  # behind a type 2 routing header
Care = frozenset[bytes]


def prepare(lab: Lab) -> None:
    """Their rows in every site's table, signed with the tests' key, and ways to their addresses."""
    build.without_hold_down(lab)
    for site in SITES:
        table = lab.layout.customer_table(site)
        table.write_bytes(_joined(table.read_bytes()))
        config = lab.layout.etc(site) / "ha.toml"
        lines = [
            f'table_public_key = "{public_key_text()}"' if line.startswith("table_public_key") else line
            for line in config.read_text().splitlines()
        ]
        config.write_text("\n".join(lines) + "\n")
    for line, host in HOSTS.items():
        isp = lab.network.topology.isp_of(host)
        lab.network.configure(isp.name, [f"route add {_roaming(line)} via {NETS[line]}::99 dev {host}"])
        lab.network.configure(host, [f"route add local {_roaming(line)} dev lo"])
        for rule in MobilitySocket.prepare("mobile-router").output_rules:
            chain = "chain output { type filter hook output priority raw;\n" + rule + "\n}\n"
            lab.network.run(host, "nft", "-f", "-", stdin="table ip6 roamers {\n" + chain + "}")


def _roaming(line: int) -> str:
    return f"{NETS[line]}:ffff::/80"


def care_of(router: int, line: int, move: int) -> bytes:
    """Where a line is after so many moves."""
    return address(f"{NETS[line]}:ffff:{move >> 16:x}:{move & 0xFFFF:x}:{router:x}")


def is_roaming(text: str) -> bool:
    """Is it the address of a line of theirs?"""
    return any(text.startswith(f"{net}:ffff:") for net in NETS.values())


def _joined(published: bytes) -> bytes:
    head_line, _, mine = published.partition(b"\n")
    rest = mine + b"".join(map(_row, ROUTERS))
    head = json.loads(head_line) | {
        "count": len(ROUTERS) + mine.count(b"\n"),
        "sha256": hashlib.sha256(rest).hexdigest(),
    }
    head.pop("signature")
    signature = base64.b64encode(OFFICE.sign(customer_table.signed_octets(head))).decode()
    return json.dumps(head | {"signature": signature}).encode() + b"\n" + rest


def _row(router: int) -> bytes:
    lines = [
        {"bid": line, "name": f"line{line}", "weight": 1, "priority": 0, "allowed_care_of": [_roaming(line)]}
        for line in NETS
    ]
    secret = base64.b64encode(key(router)).decode()
    row = {
        "customer": f"roamer{router}",
        "home_address": address_text(home(router)),
        "prefixes": [prefix_text(prefix(router))],
        "keys": [{"spi": SPI, "algorithm": ALGORITHM, "secret": secret, "not_after": None}],
        "uplinks": lines,
        "state": "active",
        "limits": {},
        "options": {"verify_care_of": False, "allow_nested": False, "require_authentication": True},
    }
    return json.dumps(row).encode() + b"\n"


@dataclass
class Roamer:
    """One router. `acknowledged`: the care-of addresses of the last Binding Update that was answered with status 0."""

    number: int
    sequence: int = 0
    stamp: int = 0
    moves: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    lines: tuple[int, ...] = (1, 2)
    asked: Care | None = None
    sent_at: float = 0.0
    due_at: float = 0.0
    acknowledged: Care = frozenset()
    acknowledged_at: float = 0.0

    def care_ofs(self) -> Care:
        """Where it is now."""
        return frozenset(care_of(self.number, line, self.moves[line]) for line in self.lines)


class Roamers:
    """All of them, in one thread, until `stop`."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.all = {home(number): Roamer(number) for number in ROUTERS}
        self.refused: list[int] = []
        self.answers = 0
        self._draw = random.Random(seed)
        self._out = {line: lab.network.inside(host, _sender) for line, host in HOSTS.items()}
        self._in = [lab.network.inside(host, _receiver) for host in HOSTS.values()]
        self._rests, self._ends = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._roam, name="roamers", daemon=True)

    def start(self) -> None:
        """Go."""
        self._thread.start()

    def rest(self) -> None:
        """From now on nobody changes anything; what is asked and not answered is repeated."""
        self._rests.set()

    def go_on(self) -> None:
        """Change again."""
        self._rests.clear()

    def settled(self) -> dict[bytes, Roamer]:
        """Home address -> a copy of the router, of those that wait for nothing."""
        with self._lock:
            return {at_home: replace(one) for at_home, one in self.all.items() if one.asked is None}

    def stop(self) -> None:
        """End."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()
        for one in (*self._out.values(), *self._in):
            one.close()

    def _roam(self) -> None:
        while not self._ends.is_set():
            heard = select.select(self._in, (), (), 0.01)[0]
            with self._lock:
                for sock in heard:
                    self._hear(sock)
                now = time.monotonic()
                for one in self.all.values():
                    if one.asked is None and one.due_at <= now and not self._rests.is_set():
                        self._change(one)
                        self._ask(one, now)
                    elif one.asked is not None and one.sent_at + ANSWER_S <= now:
                        self._ask(one, now)

    def _change(self, one: Roamer) -> None:
        """A line moves to another address, and one or both are up from now on."""
        moved = self._draw.choice((1, 2))
        one.moves[moved] += 1
        one.lines = self._draw.choice(((1,), (2,), (1, 2), (1, 2), (1, 2)))

    def _ask(self, one: Roamer, now: float) -> None:
        one.sequence = (one.sequence + 1) & 0xFFFF
        one.stamp = max(one.stamp + 1, ntp.to_timestamp(time.time()))
        one.asked, one.sent_at = one.care_ofs(), now
        at_home, through = home(one.number), self._draw.choice(one.lines)
        source = care_of(one.number, through, one.moves[through])
        options: tuple[Option, ...] = (
            *(BindingIdentifier(line, care_of=care_of(one.number, line, one.moves[line])) for line in one.lines),
            MobileNodeIdentifier(1, f"roamer{one.number}@xsp.example".encode()),
            MessageIdentification(one.stamp),
        )
        # With one line the other is dropped; with both, either says all.
        flags = FIRST if len(one.lines) == 1 else self._draw.choice((FIRST, REFRESH))
        message = BindingUpdate(one.sequence, flags, LIFETIME_S, options)
        association = auth.SecurityAssociation(SPI, ALGORITHM, key(one.number))
        signed = auth.encode_signed(message, association, source, at_home, at_home, HOME_AGENT)
        with contextlib.suppress(OSError):  # no way just now; it is repeated
            self._out[through].send(packet.update_packet(source, HOME_AGENT, at_home, signed))

    def _hear(self, sock: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                octets = sock.recv(512)
                one = self.all.get(octets[_HOME])
                if one is None or one.asked is None or int.from_bytes(octets[_SEQUENCE], "big") != one.sequence:
                    continue
                if octets[_STATUS] != 0:
                    self.refused.append(octets[_STATUS])
                    continue
                now = time.monotonic()
                one.acknowledged, one.acknowledged_at, one.asked = one.asked, now, None
                one.due_at = now + self._draw.uniform(*REST_S)
                self.answers += 1


def _sender() -> socket.socket:
    out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
    out.connect((socket.inet_ntop(socket.AF_INET6, HOME_AGENT), 0))
    return out


def _receiver() -> socket.socket:
    return socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, ROUTING_HEADER)


def in_kernel(lab: Lab, site: str) -> dict[str, set[str]]:
    """What a site's kernel encapsulates to: care-of addresses of these routers, as text, by the router's number."""
    found: dict[str, set[str]] = {}
    for line in lab.network.run(site, "ip", "-6", "nexthop", "show").splitlines():
        for word in line.split():
            if is_roaming(word):
                found.setdefault(word.rsplit(":", 1)[1], set()).add(word)
    return found
