"""ExaBGP's child: the lease in by a Unix socket, commands out by a pipe. Standard library only, one thread, one loop.

Owns the lease socket (0600, peer uid checked, one holder at a time) and the two pipes to ExaBGP; the speaker decides.
Refuses to lag behind: standard input is always drained, for a child that stops reading wedges ExaBGP for good;
answers to a holder that does not read are dropped whole. Ends with ExaBGP: by end of input, or, while stopped, by the
SIGHUP and SIGCONT that a newly orphaned process group gets (ExaBGP gives each child a group of its own).
"""

import contextlib
import os
import selectors
import socket
import struct
import sys
import time
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TextIO

from bgp import exabgp, lease, memory
from bgp.errors import BgpError, MalformedLine
from bgp.events import (
    Command,
    CommandAnswered,
    Event,
    HolderLost,
    NeighbourChanged,
    NeighboursGiven,
    Note,
    StopAsked,
    TimeReached,
)
from bgp.hold_down import DEFAULT_MAX_S, HoldDown
from bgp.memory import MEMORY, Memory
from bgp.route import Prefix, Terms
from bgp.speaker import DEFAULT_ORPHAN_HOLD_S, Speaker

STANDARD_INPUT, STANDARD_OUTPUT = 0, 1
MAX_CONNECTIONS = 32  # a holder, its successor, the supervisor, and some who look
MAX_UNREAD_BYTES = 64 * 1024  # answers a client may leave unread
READ_BYTES = 64 * 1024
REFUSED_ANEW_S = 10.0  # who was refused, was silent for so long and is refused again is noted again
_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the bridge needs of bgp.toml; the supervisor has checked the whole file."""

    lease_socket: Path
    aggregates: tuple[Prefix, ...]
    neighbours: tuple[Terms, ...]
    orphan_hold_s: float
    hold_down_max_s: float
    failback_s: float


def read_settings(file: Path) -> Settings:
    """Read bgp.toml without anything beyond the standard library.

    Raises: BgpError.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        return Settings(
            lease_socket=file.parent / str(document["lease_socket"]),
            aggregates=tuple(ip_network(text) for text in document["aggregates"]),
            neighbours=tuple(map(_terms, document["neighbour"])),
            orphan_hold_s=float(document.get("orphan_hold_s", DEFAULT_ORPHAN_HOLD_S)),
            hold_down_max_s=float(document.get("hold_down_max_s", DEFAULT_MAX_S)),
            failback_s=float(document.get("failback_s", 0)),
        )
    except OSError as error:
        raise BgpError(
            f"{file} cannot be read ({error.strerror})", "make it readable for the user of ExaBGP"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BgpError(f"{file} is not a usable bgp.toml ({error})", f"run xsp-bgp -n --config {file}") from error


def _terms(table: dict[str, Any]) -> Terms:
    return Terms(
        neighbour=str(ip_address(table["address"])),
        autonomous_system=int(table["as"]),
        communities=tuple(table.get("communities", ())),
        prepend=int(table.get("prepend", 0)),
        med=table.get("med"),
        next_hop=table.get("next_hop"),
        mrai_s=int(table.get("mrai_s", 0)),
    )


class Connection:
    """One client of the lease socket: what it sent without a newline yet, what it has not read yet."""

    def __init__(self, stream: socket.socket, pid: int) -> None:
        self.stream = stream
        self.pid = pid
        self.inbox = bytearray()
        self.outbox = bytearray()

    def send(self, line: bytes) -> None:
        """Queue a whole line, or drop it if the client does not read."""
        if len(self.outbox) + len(line) <= MAX_UNREAD_BYTES:
            self.outbox += line
        self.flush()

    def flush(self) -> None:
        """Write what the socket takes; an error shows at the next read."""
        with contextlib.suppress(OSError):
            while self.outbox:
                del self.outbox[: self.stream.send(self.outbox)]


@dataclass(frozen=True, slots=True)
class Refused:
    """Who asked for the lease in vain last, and why; `at` in monotonic seconds."""

    pid: int
    what: str
    at: float

    def document(self, now: float) -> dict[str, Any]:
        """For the status."""
        return {"pid": self.pid, "what": self.what, "s_ago": round(now - self.at, 3)}


class Bridge:
    """Feeds the speaker and carries out what it says."""

    def __init__(self, file: Path, log: TextIO) -> None:
        self._file = file
        self._settings = settings = read_settings(file)
        self._log = log
        self._speaker = Speaker(
            settings.aggregates,
            settings.neighbours,
            time.monotonic(),
            settings.orphan_hold_s,
            _hold_down(settings, file.parent / MEMORY),
        )
        self._neighbours = {terms.neighbour: terms for terms in settings.neighbours}
        self._selector = selectors.DefaultSelector()
        self._listener = listen(settings.lease_socket)
        self._clients: dict[int, Connection] = {}
        self._holder: Connection | None = None
        self._refused: Refused | None = None
        self._command: Command | None = None
        self._answer_lines: list[str] = []
        self._unfinished = bytearray()
        self._counters: Counter[str] = Counter()
        self._running = True

    def run(self) -> None:
        """Work until ExaBGP closes its end."""
        os.set_blocking(STANDARD_INPUT, False)
        self._selector.register(STANDARD_INPUT, selectors.EVENT_READ, self._read_exabgp)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._feed(TimeReached())  # the first act: to look what ExaBGP has; what is not shown is withdrawn
        while self._running:
            timeout = max(0.0, self._speaker.next_deadline() - time.monotonic())
            for key, _ in self._selector.select(timeout):
                key.data()
            self._feed(TimeReached())

    def _feed(self, event: Event) -> None:
        for effect in self._speaker.handle(event, time.monotonic()):
            if isinstance(effect, Note):
                self._note(effect)
            else:
                self._command = effect
                self._counters[f"commands_total{{{type(effect).__name__}}}"] += 1
                text = exabgp.command_line(effect, self._speaker.local_as, self._neighbours)
                os.write(STANDARD_OUTPUT, text.encode("ascii") + b"\n")

    def _note(self, note: Note) -> None:
        fields = " ".join(f"{name}={value!r}" for name, value in note.fields.items())
        with contextlib.suppress(OSError):
            print(f'level={note.level} event="bridge: {note.message}" {fields}', file=self._log, flush=True)

    # -- ExaBGP

    def _read_exabgp(self) -> None:
        try:
            octets = os.read(STANDARD_INPUT, READ_BYTES)
        except BlockingIOError:
            return
        if not octets:
            self._running = False
            return
        self._unfinished += octets
        *lines, rest = self._unfinished.split(b"\n")
        self._unfinished = bytearray() if len(rest) > exabgp.MAX_LINE_BYTES else rest
        for line in lines:
            self._take_line(exabgp.read_line(line.decode("utf-8", "replace")))

    def _take_line(self, line: exabgp.Line) -> None:
        match line:
            case exabgp.Verdict(accepted):
                answer: CommandAnswered = exabgp.read_answer(self._command, self._answer_lines, accepted)
                self._command, self._answer_lines = None, []
                self._counters["answers_total{" + ("done" if accepted else "error") + "}"] += 1
                self._feed(answer)
            case exabgp.AnswerText(text):
                if self._command is not None:
                    self._answer_lines.append(text)
            case NeighbourChanged():
                self._feed(line)
            case exabgp.ShutdownBegun():
                self._running = False
            case exabgp.Noise():
                self._counters["noise_total"] += 1

    # -- lease socket

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except OSError:
            return
        pid, uid, _ = _UCRED.unpack(stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        stream.setblocking(False)
        client = Connection(stream, pid)
        if uid not in (0, os.getuid()) or len(self._clients) >= MAX_CONNECTIONS:
            self._counters["connections_refused_total"] += 1
            client.send(
                _refusal(0, f"uid {uid} may not speak to the bridge", "connect as root or as the bridge's user")
            )
            stream.close()
            return
        self._clients[stream.fileno()] = client
        self._selector.register(stream, selectors.EVENT_READ, lambda: self._read_client(client))

    def _read_client(self, client: Connection) -> None:
        client.flush()
        try:
            octets = client.stream.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        client.inbox += octets
        *lines, rest = client.inbox.split(b"\n")
        client.inbox = rest
        for line in lines:
            self._take_request(client, bytes(line))
        if not octets or len(rest) > lease.MAX_LINE_BYTES:
            self._drop(client)

    def _drop(self, client: Connection) -> None:
        self._selector.unregister(client.stream)
        del self._clients[client.stream.fileno()]
        client.stream.close()
        if client is self._holder:
            self._holder = None
            self._feed(HolderLost())

    def _take_request(self, client: Connection, line: bytes) -> None:
        try:
            request = lease.decode_request(line, self._settings.aggregates)
        except MalformedLine as error:
            self._refuse(client, error.seq, error.what, error.remedy, "malformed")
            return
        match request:
            case lease.Renewal(seq, event):
                if self._take_lease(client, seq):
                    self._feed(event)
                    client.send(lease.encode(self._answer(seq)))
            case lease.StatusAsked(after, others):
                if others is not None:
                    self._feed(others)
                client.send(lease.encode(self._status(after)))
            case StopAsked():
                self._feed(request)
                client.send(lease.encode(self._status()))
            case lease.ReloadAsked():
                client.send(self._reload())

    def _reload(self) -> bytes:
        """Read the neighbours anew; of the other settings none may have changed. Returns: what to answer."""
        try:
            settings = read_settings(self._file)
            if replace(settings, neighbours=self._settings.neighbours) != self._settings:
                raise BgpError(f"{self._file} differs in more than neighbours", "start ExaBGP anew")
        except BgpError as error:
            return _refusal(0, error.what, error.remedy)
        self._settings = settings
        self._neighbours = {terms.neighbour: terms for terms in settings.neighbours}
        self._feed(NeighboursGiven(settings.neighbours))
        return lease.encode(self._status())

    def _take_lease(self, client: Connection, seq: int) -> bool:
        """Make `client` the holder, unless another one's lease still lives."""
        holder = self._holder
        if holder is not None and holder is not client and self._speaker.lease_lives(time.monotonic()):
            what = f"process {holder.pid} holds the lease"
            self._refuse(client, seq, what, "stop that process, or wait until its lease ends", "held")
            return False
        self._holder = client
        self._counters["renewals_total"] += 1
        return True

    def _refuse(self, client: Connection, seq: int, what: str, remedy: str, kind: str) -> None:
        """Tell the client, and those who look; it asks ten times a second and is noted once."""
        before, now = self._refused, time.monotonic()
        self._refused = Refused(client.pid, what, now)
        self._counters[f"renewals_refused_total{{{kind}}}"] += 1
        if before is None or (before.pid, before.what) != (client.pid, what) or now - before.at > REFUSED_ANEW_S:
            self._note(Note("error", "lease refused", {"pid": client.pid, "reason": what, "remedy": remedy}))
        client.send(_refusal(seq, what, remedy))

    def _answer(self, seq: int) -> dict[str, Any]:
        return {
            "v": lease.VERSION,
            "seq": seq,
            "state": str(self._speaker.state),
            "sent": [str(prefix) for prefix in self._speaker.sent()],
            "sessions": [lease.session_document(session) for session in self._speaker.sessions(time.monotonic())],
            "mrai_s": self._speaker.mrai_s,
        }

    def _status(self, after: int = 0) -> dict[str, Any]:
        now, speaker = time.monotonic(), self._speaker
        ahead_s = time.time() - now
        return {
            **self._answer(0),
            "reason": speaker.reason,
            "since_s": round(now - speaker.changed_at, 3),
            "holder": self._holder.pid if self._holder is not None and speaker.lease_lives(now) else None,
            "settled": speaker.settled(),
            "described": speaker.described,
            "overdue_s": round(speaker.overdue_s(now), 3),
            "routes_sent": {neighbour: list(routes) for neighbour, routes in speaker.routes_sent().items()},
            "session_ends": speaker.session_ends(now),
            "refused": self._refused.document(now) if self._refused is not None else None,
            "history": [{**asdict(one), "at": round(one.at + ahead_s, 3)} for one in speaker.history(after)],
            "pid": os.getpid(),
            "counters": dict(self._counters),
        }


def _hold_down(settings: Settings, file: Path) -> HoldDown:
    """With what the bridges before this one went through; nobody who runs this by hand has such a file."""
    known = Memory()
    with contextlib.suppress(OSError, ValueError):
        known = memory.decode(file.read_text(encoding="utf-8"))
    now = time.monotonic()
    given_up = [now - age for age in known.ages(time.time())]
    return HoldDown(settings.hold_down_max_s, settings.failback_s, given_up, known.owed)


def _refusal(seq: int, what: str, remedy: str) -> bytes:
    return lease.encode({"v": lease.VERSION, "seq": seq, "error": what, "remedy": remedy})


def listen(path: Path) -> socket.socket:
    """Make the lease socket, 0600, in place of whatever a bridge before us left.

    A symbolic link is followed: the supervisor points it into a directory that belongs to our user.
    Raises: BgpError.
    """
    place = os.path.realpath(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        listener.bind(place)
    except OSError as error:
        listener.close()
        remedy = "start xsp-bgp run, which prepares the directory for the bridge's user"
        raise BgpError(f"the lease socket {place} cannot be made ({error})", remedy) from error
    finally:
        os.umask(before)
    listener.listen(MAX_CONNECTIONS)
    return listener


def run(file: Path) -> int:
    """Be ExaBGP's child until it goes.

    Raises: BgpError if the configuration or the socket is unusable.
    """
    bridge = Bridge(file, sys.stderr)
    with contextlib.suppress(BrokenPipeError):
        bridge.run()
    return 0
