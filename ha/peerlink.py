"""Streams to and from the other home agents: frames in, frames out, reconnect. Decides nothing.

Each site dials two connections to every peer: one for HELLO, one for its changes. So each stream has one sender of
records and no site depends on who was first. A peer is who its certificate says it is, and calls from the locator that
goes with that name; both ends then say which protocols they speak and use the highest they share. A peer that reads too
slowly is cut off and will be resynchronised, never waited for; one that sends too fast is read more slowly.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from ha import credentials, frames
from ha.credentials import Credentials
from ha.events import (
    Event,
    HelloReceived,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    RecordsAcknowledged,
    RecordsReceived,
)
from ha.frames import BadFrame, Frame, Hello, Identify, StateSyncAck, StateSyncReply, StateSyncRequest
from ha.pace import Complaints, Pace
from runtime import log
from runtime.counters import Counters

PORT = 6275
QUEUE_MAX_BYTES = 32 * 1024 * 1024  # an empty site's first full set of 100,000 records is about 20 MB
SILENCE_MAX_S = 3.0  # HELLO comes every 100 ms; a stream silent for so long is dead
HANDSHAKE_S = 2.0
GREETINGS_MAX = 8  # connections of one peer that have not proved anything yet
RECORDS_PER_S = 25_000  # an empty site has 100,000 in four seconds; a flood leaves the loop to others
BACKLOG = 64

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


PATIENCE = {"hello": Patience(0.3, 1.0, 0.1, 0.1, 500), "changes": Patience(1.0, 2.0, 0.2, 1.0, 3000)}


class Refused(Exception):
    """A peer that is not let in. Field: `reason`, one word to count by."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Stream:
    """A connection whose other end has proved its name. `serial`: of its certificate."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    serial: int

    def cut(self) -> None:
        """End it now, whatever waits to be sent."""
        self.writer.transport.abort()

    async def read(self) -> Frame:
        """The next frame. Raises: BadFrame, EOFError, OSError."""
        length = int.from_bytes(await self.reader.readexactly(4), "big")
        if length > frames.MAX_FRAME_BYTES:
            raise BadFrame(f"a frame of {length} octets is more than {frames.MAX_FRAME_BYTES}")
        return frames.decode(await self.reader.readexactly(length))


class PeerLink:
    """All streams of this site. `feed` takes the events; `peers` maps a site's name to its locator.

    `proof` may be None only without peers: home agents never talk in the clear.
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
    ) -> None:
        self._identity = (site, incarnation)
        self._locator = locator
        self._peers = peers
        self._sites = {address: name for name, address in peers.items()}
        self._proof = proof
        self._feed = feed
        self._counters = counters
        self._complaints = Complaints()
        self._dialed: dict[tuple[str, str], _Stream] = {}
        self._accepted: dict[tuple[str, str], _Stream] = {}
        self._greeting: Counter[str] = Counter()
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
        for stream in self._streams():
            stream.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener:
            self._listener.close()

    def renew(self, proof: Credentials) -> None:
        """Use these from now on; streams stay but for those of a peer whose certificate is revoked."""
        self._proof = proof
        for stream in self._streams():
            if stream.serial in proof.revoked:
                self._counters.add("peers_cut_off", "revoked")
                stream.cut()

    def hello(self, frame: Hello) -> None:
        """Send a HELLO to every peer that can be reached now."""
        for site in self._peers:
            self._send(self._dialed.get((site, "hello")), frame)

    def records(self, site: str, frame: StateSyncReply) -> None:
        """Send our changes to one peer."""
        self._send(self._dialed.get((site, "changes")), frame)

    def ask(self, site: str, incarnation: int, since: int) -> None:
        """Tell a peer that opened its stream to us where to resume."""
        self._send(self._accepted.get((site, "changes")), StateSyncRequest(incarnation, since))

    def acknowledge(self, site: str, frame: StateSyncAck) -> None:
        """Tell a peer that its change is merged and installed here."""
        self._send(self._accepted.get((site, "changes")), frame)

    def connected(self) -> dict[str, bool]:
        """Peer -> does it take our changes?"""
        return {site: (site, "changes") in self._dialed for site in self._peers}

    # --- both ways --------------------------------------------------------------------------------------------------

    def _streams(self) -> list[_Stream]:
        return [*self._dialed.values(), *self._accepted.values()]

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, stream: _Stream | None, frame: Frame) -> None:
        if stream is None or stream.writer.is_closing():
            return
        if stream.writer.transport.get_write_buffer_size() > QUEUE_MAX_BYTES:
            self._counters.add("peers_cut_off", "slow")
            stream.cut()
            return
        stream.writer.write(frames.encode(frame))

    def _refuse(self, subject: str, reason: str, why: object) -> None:
        """Count a peer that was not let in, or not let go on; say so once a minute."""
        self._counters.add("peers_refused", reason)
        if self._complaints.is_due(subject, reason, time.monotonic()):
            log.get().warning("peer refused", peer=subject, reason=reason, why=str(why))

    def _left(self, subject: str, carries: str, error: Exception) -> None:
        if isinstance(error, BadFrame):
            self._counters.add("peers_cut_off", "bad_frame")
        if self._complaints.is_due(subject, f"{carries}: {error}"[:80] if self._is_of_tls(error) else carries, _now()):
            log.get().info("peer stream ended", peer=subject, carries=carries, reason=str(error))

    @staticmethod
    def _is_of_tls(error: Exception) -> bool:
        return isinstance(error, ssl.SSLError)

    async def _greet(self, site: str, carries: str, sock: socket.socket, *, dialed: bool) -> tuple[_Stream, Identify]:
        """TLS, the peer's name, the protocol. Raises: Refused, OSError, EOFError, BadFrame, TimeoutError."""
        proof, loop = self._proof, asyncio.get_running_loop()
        assert proof is not None  # there are peers
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            if dialed:
                transport, _ = await loop.create_connection(
                    lambda: protocol, sock=sock, ssl=proof.dialing, server_hostname="", ssl_handshake_timeout=HANDSHAKE_S
                )
            else:
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol, sock, ssl=proof.accepting, ssl_handshake_timeout=HANDSHAKE_S
                )
        except ssl.SSLError as error:
            raise Refused(credentials.why_refused(error), error) from error
        shown = transport.get_extra_info("peercert")
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        stream = _Stream(reader, writer, credentials.serial_of(shown))
        try:
            if (named := credentials.site_of(shown)) != site:
                raise Refused("another_name", f"its certificate is of {named}")
            own, incarnation = self._identity
            writer.write(frames.encode(Identify(frames.LOWEST, frames.HIGHEST, own, incarnation, carries)))
            return stream, await self._identified(site, stream)
        except BaseException:
            stream.cut()
            raise

    async def _identified(self, site: str, stream: _Stream) -> Identify:
        identify = await stream.read()
        if not isinstance(identify, Identify):
            raise BadFrame("it does not identify itself")
        if identify.site != site:
            raise Refused("another_name", f"it calls itself {identify.site[:64]}")
        if frames.agreed(identify) is None:
            spoken = f"{identify.lowest} to {identify.highest}"
            raise Refused("protocol", f"it speaks {spoken}, we {frames.LOWEST} to {frames.HIGHEST}")
        return identify

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
                self._refuse(site, error.reason, error)
            except (OSError, EOFError, TimeoutError, BadFrame) as error:
                if not isinstance(error, TimeoutError | ConnectionError):
                    self._left(site, carries, error)
            else:
                pause_s = patience.pause_s
                await self._converse(site, carries, stream)
            # A peer that dials us is back: no reason to wait out the pause.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause_s)
            pause_s = min(patience.pause_max_s, 2 * pause_s)

    async def _dial(self, site: str, address: IPv6Address, carries: str, patience: Patience) -> _Stream:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            sock.bind((str(self._locator), 0))
            async with asyncio.timeout(patience.connect_s):
                await asyncio.get_running_loop().sock_connect(sock, (str(address), PORT))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience.unacknowledged_ms)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(patience.greet_s):
                kept = sock.dup()  # the transport owns it from now on
                stream, _ = await self._greet(site, carries, kept, dialed=True)
                return stream

    async def _converse(self, site: str, carries: str, stream: _Stream) -> None:
        """Our own stream to a peer, until it breaks."""
        self._dialed[site, carries] = stream
        pace = Pace(RECORDS_PER_S)
        try:
            while True:
                frame = await stream.read()
                match frame:
                    case StateSyncRequest(known, since):
                        self._feed(PeerAsked(site, known, since))
                    case StateSyncAck():
                        self._feed(RecordsAcknowledged(site, frame))
                    case _:
                        raise BadFrame(f"unexpected {type(frame).__name__}")
                await self._breathe(pace, 1)
        except (OSError, EOFError, BadFrame) as error:
            self._left(site, carries, error)
        finally:
            stream.cut()
            self._dialed.pop((site, carries), None)
            if carries == "changes":
                self._feed(PeerUnreachable(site))

    async def _breathe(self, pace: Pace, amount: int) -> None:
        """Leave the stream unread for as long as this peer sent too fast: TCP slows it down."""
        wait_s = pace.take(amount, _now())
        if wait_s:
            self._counters.add("peers_slowed")
            await asyncio.sleep(wait_s)

    # --- theirs -----------------------------------------------------------------------------------------------------

    async def _keep_accepting(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, (text, *_) = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors, or the caller hung up
                self._refuse("listener", "not_accepted", error)
                await asyncio.sleep(0.1)
                continue
            site = self._sites.get(IPv6Address(text))
            if site is None or self._greeting[site] >= GREETINGS_MAX:
                self._refuse(site or "stranger", "too_many" if site else "unknown_locator", text)
                sock.close()
            else:
                self._spawn(self._accept(site, sock))

    async def _accept(self, site: str, sock: socket.socket) -> None:
        """A peer's stream to us, until it breaks."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        carries = "greeting"
        try:
            self._greeting[site] += 1
            try:
                async with asyncio.timeout(SILENCE_MAX_S):
                    stream, identify = await self._greet(site, carries, sock, dialed=False)
            finally:
                self._greeting[site] -= 1
            carries = identify.carries
            await self._listen(site, identify, stream)
        except Refused as error:
            self._refuse(site, error.reason, error)
        except (OSError, EOFError, BadFrame, TimeoutError) as error:
            self._left(site, carries, error)
        finally:
            sock.close()

    async def _listen(self, site: str, identify: Identify, stream: _Stream) -> None:
        carries = identify.carries
        if carries not in PATIENCE:
            stream.cut()
            raise BadFrame("it carries neither hello nor changes")
        old = self._accepted.pop((site, carries), None)
        if old is not None:
            old.cut()
        self._accepted[site, carries] = stream
        for dialed in PATIENCE:
            self._woken[site, dialed].set()
        if carries == "changes":
            self._feed(PeerIdentified(site, identify.incarnation))
        pace = Pace(RECORDS_PER_S)
        try:
            while True:
                # A silent HELLO stream is a dead one; a stream of changes may be silent for long.
                async with asyncio.timeout(SILENCE_MAX_S if carries == "hello" else None):
                    frame = await stream.read()
                match frame:
                    case Hello() if carries == "hello":
                        self._feed(HelloReceived(site, frame))
                        await self._breathe(pace, 1)
                    case StateSyncReply() if carries == "changes":
                        self._feed(RecordsReceived(site, identify.incarnation, frame))
                        await self._breathe(pace, 1 + len(frame.records))
                    case _:
                        raise BadFrame(f"unexpected {type(frame).__name__}")
        finally:
            stream.cut()
            if self._accepted.get((site, carries)) is stream:
                del self._accepted[site, carries]


def _now() -> float:
    return time.monotonic()
