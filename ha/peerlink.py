"""Streams to and from the other home agents: dialed, accepted, dialed again. Decides nothing.

Each site dials two connections to every peer: one for HELLO, one for its changes. So each stream has one sender of
records and no site depends on who was first. Who is let in is judged by `ha/stream.py`. A peer that reads too slowly is
cut off and will be resynchronised, never waited for; one that sends too fast is read more slowly; one that is not let
in keeps its place at the door for a moment, so that it can try so often a second and no more. Each complaint is counted
every time and logged once a minute.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from ipaddress import IPv6Address

from ha.credentials import Credentials
from ha.effects import (
    AcknowledgeRecords,
    AskForRecords,
    AskForRepair,
    SendDigest,
    SendHello,
    SendRecords,
    ToPeers,
)
from ha.events import (
    DigestReceived,
    Event,
    HelloReceived,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    RecordsAcknowledged,
    RecordsReceived,
    RepairAsked,
)
from ha.frames import (
    BadFrame,
    Frame,
    Hello,
    Identify,
    StateDigest,
    StateRepairRequest,
    StateSyncAck,
    StateSyncReply,
    StateSyncRequest,
    Unknown,
)
from ha.pace import Complaints, Pace
from ha.stream import Door, Refused, Stream
from runtime import log
from runtime.counters import Counters

PORT = 6275
QUEUE_MAX_BYTES = 32 * 1024 * 1024  # an empty site's first full set of 100,000 records is about 20 MB
SILENCE_MAX_S = 3.0  # HELLO comes every 100 ms; a stream silent for so long is dead
UNREAD_MAX_MS = 3000  # RFC 5482's user timeout: so long may what we sent lie unacknowledged, or not be read at all
GREETINGS_MAX = 8  # connections of one peer that have not proved anything yet
HELD_S = 0.5  # how long one that proved nothing keeps its place
REFUSED_PAUSE_S = 1.0  # before a peer is dialed again that did not let us in, or was not whom we want
BACKLOG = 64
# What is read from a peer a second, as `Stream` measures it. These are some 20,000 records, as many as a peer sends to
# a site that is empty; a flood leaves half of the loop to others.
RATES = {"dialed": 30_000.0, "greeting": 20.0, "hello": 200.0, "changes": 30_000.0}

Feed = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How a stream is dialed: how long to wait for TCP, for TLS and names, between tries (doubling), and for an ACK.

    TCP itself would wait longer and longer, and a HELLO that comes back seconds after the network did looks like a
    lost peer: so a HELLO stream is given up early and dialed often. `unacknowledged_ms` is RFC 5482's user timeout.
    """

    connect_s: float
    greet_s: float
    pause_s: float
    pause_max_s: float
    unacknowledged_ms: int


PATIENCE = {"hello": Patience(0.3, 1.0, 0.1, 0.1, 500), "changes": Patience(1.0, 2.0, 0.2, 1.0, UNREAD_MAX_MS)}


class PeerLink:
    """All streams of this site.

    Args:
        site: our name.
        locator: where we listen, and call from.
        peers: a site's name and its locator.
        incarnation: this start of the daemon.
        proof: what connections are proved with; None: plain TCP.
        feed: takes the events.
        counters: of refusals and cuts.
        reflects: what peers say is passed on to the others.
    """

    def __init__(
        self,
        site: str,
        locator: IPv6Address,
        peers: dict[str, IPv6Address],
        incarnation: int,
        proof: Credentials | None,
        feed: Feed,
        counters: Counters,
        *,
        reflects: bool = False,
    ) -> None:
        self._door = Door(site, incarnation, proof, counters)
        self._locator = locator
        self._peers = peers
        self._sites = {address: name for name, address in peers.items()}
        self._feed = feed
        self._counters = counters
        self._complaints = Complaints()
        self._dialed: dict[tuple[str, str], Stream] = {}
        self._accepted: dict[tuple[str, str], Stream] = {}
        self._greeting: Counter[str] = Counter()
        self._paces = {(site, what): Pace(rate) for site in peers for what, rate in RATES.items()}
        if reflects:  # what one peer says goes to all others, who read us no faster than RATES
            self._paces |= {(site, "changes"): Pace(RATES["changes"] / 2) for site in peers}
        self._woken = {(site, carries): asyncio.Event() for site in peers for carries in PATIENCE}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None

    async def bind(self) -> None:
        """Take the port on the locator without serving yet. Raises: OSError if it is taken."""
        listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((str(self._locator), PORT))
        except OSError:
            listener.close()
            raise
        self._listener = listener

    async def start(self) -> None:
        """Serve on the bound port and dial every peer, for ever. Raises: OSError if another listens there."""
        assert self._listener is not None  # bound before
        self._listener.listen(BACKLOG)
        self._spawn(self._keep_accepting(self._listener))
        for site, address in self._peers.items():
            for carries in PATIENCE:
                self._spawn(self._keep_dialing(site, address, carries))

    async def stop(self) -> None:
        """Close everything."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for stream in [*self._dialed.values(), *self._accepted.values()]:
            stream.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener:
            self._listener.close()

    def renew(self, proof: Credentials) -> None:
        """Use these from now on; streams stay but for those of a peer whose certificate is revoked."""
        self._door.proof = proof
        for (site, _), stream in [*self._dialed.items(), *self._accepted.items()]:
            if stream.serial in proof.revoked:
                self._cut(site, stream, "revoked", "its certificate is revoked")

    def perform(self, effect: ToPeers) -> None:
        """Tell peers what the home agent wants them to know."""
        match effect:
            case SendHello(frame):
                self.hello(frame)
            case SendRecords(site, frame) | SendDigest(site, frame):
                self.tell(site, frame)
            case AskForRecords(site, incarnation, since):
                self.answer(site, StateSyncRequest(incarnation, since))
            case AskForRepair(site, frame) | AcknowledgeRecords(site, frame):
                self.answer(site, frame)

    def hello(self, frame: Hello) -> None:
        """Send a HELLO to every peer that can be reached now."""
        for site in self._peers:
            self._send(site, self._dialed.get((site, "hello")), frame)

    def tell(self, site: str, frame: StateSyncReply | StateDigest) -> None:
        """Send our changes to one peer, or what we hold."""
        self._send(site, self._dialed.get((site, "changes")), frame)

    def answer(self, site: str, frame: StateSyncRequest | StateSyncAck | StateRepairRequest) -> None:
        """On a peer's own stream: where it is to resume, what is installed here, what differs."""
        self._send(site, self._accepted.get((site, "changes")), frame)

    def connected(self) -> dict[str, bool]:
        """Peer -> does it take our changes?"""
        return {site: (site, "changes") in self._dialed for site in self._peers}

    # --- both ways --------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, site: str, stream: Stream | None, frame: Frame) -> None:
        if stream is None or stream.writer.is_closing():
            return
        if (waiting := stream.waiting_bytes()) > QUEUE_MAX_BYTES:
            self._cut(site, stream, "slow", f"it has not read {waiting} octets")
            return
        stream.send(frame)

    def _cut(self, site: str, stream: Stream, reason: str, why: str) -> None:
        """End a stream that was good so far."""
        stream.cut()
        self._counters.add("peers_cut_off", reason)
        if self._is_due(site, reason):
            log.get().warning("peer cut off", peer=site, reason=reason, why=why)

    def _is_due(self, subject: str, reason: str) -> bool:
        return self._complaints.is_due(subject, reason, time.monotonic())

    def _refused(self, subject: str, reason: str, why: object) -> None:
        """Not let in."""
        self._counters.add("peers_refused", reason)
        if self._is_due(subject, reason):
            log.get().warning("peer refused", peer=subject, reason=reason, why=str(why))

    def _ended(self, site: str, carries: str, error: Exception) -> None:
        """Was let in, or nearly, and is gone."""
        if isinstance(error, BadFrame):
            self._counters.add("peers_cut_off", "bad_frame")
            if self._is_due(site, "bad_frame"):
                log.get().warning("peer cut off", peer=site, reason="bad_frame", carries=carries, why=error.why)
        elif self._is_due(site, carries):
            log.get().info("peer stream ended", peer=site, carries=carries, why=str(error) or type(error).__name__)

    # --- our streams ------------------------------------------------------------------------------------------------

    async def _keep_dialing(self, site: str, address: IPv6Address, carries: str) -> None:
        patience = PATIENCE[carries]
        woken = self._woken[site, carries]
        pause_s = patience.pause_s
        while True:
            woken.clear()
            try:
                stream = await self._dial(site, address, carries, patience)
            except Refused as error:
                self._refused(site, error.reason, error)
                pause_s = REFUSED_PAUSE_S
            except (OSError, BadFrame) as error:
                if not isinstance(error, TimeoutError | ConnectionError):  # that it cannot be reached is seen in status
                    self._ended(site, carries, error)
            else:
                pause_s = patience.pause_s
                await self._converse(site, carries, stream)
            # A peer that dials us is back: no reason to wait out the pause.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):  # wait_for would swallow a cancellation that comes with the event
                    await woken.wait()
            pause_s = min(patience.pause_max_s, 2 * pause_s)

    async def _dial(self, site: str, address: IPv6Address, carries: str, patience: Patience) -> Stream:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind((str(self._locator), 0))
            async with asyncio.timeout(patience.connect_s):
                await asyncio.get_running_loop().sock_connect(sock, (str(address), PORT))
            _set_options(sock, patience.unacknowledged_ms)
        except BaseException:
            sock.close()
            raise
        async with asyncio.timeout(patience.greet_s):
            stream, _ = await self._door.opened(sock, site, carries, self._paces[site, "dialed"])
        return stream

    async def _converse(self, site: str, carries: str, stream: Stream) -> None:
        """Our own stream to a peer, until it breaks."""
        self._dialed[site, carries] = stream
        try:
            while True:
                frame = await stream.read()
                match frame:
                    case StateSyncRequest(known, since) if carries == "changes":
                        self._feed(PeerAsked(site, known, since))
                    case StateSyncAck() if carries == "changes":
                        self._feed(RecordsAcknowledged(site, frame))
                    case StateRepairRequest() if carries == "changes":
                        self._feed(RepairAsked(site, frame))
                    case Unknown():
                        self._counters.add("frames_skipped", site)
                    case _:
                        raise BadFrame(f"unexpected {type(frame).__name__}")
        except (OSError, EOFError, BadFrame) as error:
            self._ended(site, carries, error)
        finally:
            stream.cut()
            self._dialed.pop((site, carries), None)
            if carries == "changes":
                self._feed(PeerUnreachable(site))

    # --- theirs -----------------------------------------------------------------------------------------------------

    async def _keep_accepting(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, (text, *_) = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors, or the caller hung up
                self._refused("stranger", "not_accepted", error)
                await asyncio.sleep(0.1)
                continue
            site = self._sites.get(IPv6Address(text))
            if site is None or self._greeting[site] >= GREETINGS_MAX:
                sock.close()
                self._refused(site or "stranger", "too_many" if site else "unknown_locator", text)
            else:
                self._greeting[site] += 1
                self._spawn(self._accept(site, sock))
            await asyncio.sleep(0)  # a queue full of callers is not served in one turn of the loop

    async def _accept(self, site: str, sock: socket.socket) -> None:
        """A peer's stream to us, until it breaks."""
        carries = "greeting"
        try:
            identify, stream = await self._greet(site, sock)
            carries = identify.carries
            await self._listen(site, identify, stream)
        except Refused as error:
            self._refused(site, error.reason, error)
        except (OSError, EOFError, BadFrame) as error:
            self._ended(site, carries, error)

    async def _greet(self, site: str, sock: socket.socket) -> tuple[Identify, Stream]:
        try:
            _set_options(sock, UNREAD_MAX_MS)
            async with asyncio.timeout(SILENCE_MAX_S):
                stream, identify = await self._door.opened(sock, site, None, self._paces[site, "greeting"])
            if identify.carries not in PATIENCE:
                stream.cut()
                raise BadFrame("it carries neither hello nor changes")
        except BaseException:
            asyncio.get_running_loop().call_later(HELD_S, self._greeting.subtract, (site,))
            raise
        self._greeting[site] -= 1
        stream.pace = self._paces[site, identify.carries]
        return identify, stream

    async def _listen(self, site: str, identify: Identify, stream: Stream) -> None:
        carries = identify.carries
        if (old := self._accepted.pop((site, carries), None)) is not None:
            old.cut()
        self._accepted[site, carries] = stream
        for dialed in PATIENCE:
            self._woken[site, dialed].set()
        if carries == "changes":
            self._feed(PeerIdentified(site, identify.incarnation))
        try:
            while True:
                match await (_read_soon(stream) if carries == "hello" else stream.read()):
                    case Hello() as frame if carries == "hello":
                        self._feed(HelloReceived(site, frame))
                    case StateSyncReply() as frame if carries == "changes":
                        self._feed(RecordsReceived(site, identify.incarnation, frame))
                    case StateDigest() as frame if carries == "changes":
                        self._feed(DigestReceived(site, frame))
                    case Unknown():
                        self._counters.add("frames_skipped", site)
                    case frame:
                        raise BadFrame(f"unexpected {type(frame).__name__}")
        finally:
            stream.cut()
            if self._accepted.get((site, carries)) is stream:
                del self._accepted[site, carries]


async def _read_soon(stream: Stream) -> Frame | Unknown:
    """A silent HELLO stream is a dead one; a stream of changes may be silent for long."""
    async with asyncio.timeout(SILENCE_MAX_S):
        return await stream.read()


def _set_options(sock: socket.socket, unacknowledged_ms: int) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
