"""Streams to and from the other home agents: frames in, frames out, reconnect. Decides nothing.

Each site dials two connections to every peer: one for HELLO, one for its changes. So each stream has one sender of
records and no site depends on who was first. A peer is who its address says it is: only configured locators are let
in. A peer that reads too slowly is cut off and will be resynchronised, never waited for.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from ha import frames
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
from runtime import log
from runtime.counters import Counters

PORT = 6275
QUEUE_MAX_BYTES = 32 * 1024 * 1024  # an empty site's first full set of 100,000 records is about 20 MB
SILENCE_MAX_S = 3.0  # HELLO comes every 100 ms; a stream silent for so long is dead

Feed = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How a stream is dialed: how long to wait for an answer, between tries (doubling), and for an acknowledgement.

    TCP itself would wait longer and longer, and a HELLO that comes back seconds after the network did looks like a
    lost peer: so a HELLO stream is given up early and dialed often. `unacknowledged_ms` is RFC 5482's user timeout.
    """

    connect_s: float
    pause_s: float
    pause_max_s: float
    unacknowledged_ms: int


PATIENCE = {"hello": Patience(0.3, 0.1, 0.1, 500), "changes": Patience(1.0, 0.2, 1.0, 3000)}


class PeerLink:
    """All streams of this site. `feed` takes the events; `peers` maps a site's name to its locator."""

    def __init__(
        self,
        site: str,
        locator: IPv6Address,
        peers: dict[str, IPv6Address],
        incarnation: int,
        feed: Feed,
        counters: Counters,
    ) -> None:
        self._identity = (site, incarnation)
        self._locator = locator
        self._peers = peers
        self._sites = {address: name for name, address in peers.items()}
        self._feed = feed
        self._counters = counters
        self._dialed: dict[tuple[str, str], asyncio.StreamWriter] = {}
        self._accepted: dict[str, asyncio.StreamWriter] = {}
        self._woken = {(site, carries): asyncio.Event() for site in peers for carries in PATIENCE}
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None

    async def bind(self) -> None:
        """Take the port on the locator without serving yet. Raises: OSError if it is taken."""
        self._server = await asyncio.start_server(self._accept, str(self._locator), PORT, start_serving=False)

    async def start(self) -> None:
        """Serve on the bound port and dial every peer, for ever."""
        assert self._server is not None  # bound before
        await self._server.start_serving()
        for site, address in self._peers.items():
            for carries in PATIENCE:
                self._tasks.append(asyncio.create_task(self._keep_dialing(site, address, carries)))

    async def stop(self) -> None:
        """Close everything."""
        for task in self._tasks:
            task.cancel()
        if self._server:
            self._server.close()
        for writer in [*self._dialed.values(), *self._accepted.values()]:
            writer.transport.abort()

    def hello(self, frame: Hello) -> None:
        """Send a HELLO to every peer that can be reached now."""
        for site in self._peers:
            self._send(self._dialed.get((site, "hello")), frame)

    def records(self, site: str, frame: StateSyncReply) -> None:
        """Send our changes to one peer."""
        self._send(self._dialed.get((site, "changes")), frame)

    def ask(self, site: str, incarnation: int, since: int) -> None:
        """Tell a peer that opened its stream to us where to resume."""
        self._send(self._accepted.get(site), StateSyncRequest(incarnation, since))

    def acknowledge(self, site: str, frame: StateSyncAck) -> None:
        """Tell a peer that its change is merged and installed here."""
        self._send(self._accepted.get(site), frame)

    def connected(self) -> dict[str, bool]:
        """Peer -> does it take our changes?"""
        return {site: (site, "changes") in self._dialed for site in self._peers}

    def _send(self, writer: asyncio.StreamWriter | None, frame: Frame) -> None:
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() > QUEUE_MAX_BYTES:
            self._counters.add("peers_cut_off", "slow")
            writer.transport.abort()
            return
        writer.write(frames.encode(frame))

    async def _keep_dialing(self, site: str, address: IPv6Address, carries: str) -> None:
        patience = PATIENCE[carries]
        woken = self._woken[site, carries]
        pause_s = patience.pause_s
        while True:
            woken.clear()
            try:
                reader, writer = await asyncio.wait_for(
                    asyncio.open_connection(str(address), PORT, local_addr=(str(self._locator), 0)), patience.connect_s
                )
            except (OSError, TimeoutError):
                pass
            else:
                pause_s = patience.pause_s
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience.unacknowledged_ms)
                await self._converse(site, carries, reader, writer)
            # A peer that dials us is back: no reason to wait out the pause.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), pause_s)
            pause_s = min(patience.pause_max_s, 2 * pause_s)

    async def _converse(
        self, site: str, carries: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Our own stream to a peer, until it breaks."""
        name, incarnation = self._identity
        self._dialed[site, carries] = writer
        writer.write(frames.encode(Identify(frames.PROTOCOL, name, incarnation, carries)))
        try:
            while True:
                frame = await _read(reader)
                match frame:
                    case StateSyncRequest(known, since):
                        self._feed(PeerAsked(site, known, since))
                    case StateSyncAck():
                        self._feed(RecordsAcknowledged(site, frame))
                    case _:
                        raise BadFrame(f"unexpected {type(frame).__name__}")
        except (OSError, EOFError, BadFrame) as error:
            log.get().info("peer stream ended", peer=site, carries=carries, reason=str(error))
        finally:
            writer.transport.abort()
            self._dialed.pop((site, carries), None)
            if carries == "changes":
                self._feed(PeerUnreachable(site))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A peer's stream to us, until it breaks."""
        address = IPv6Address(writer.get_extra_info("peername")[0])
        try:
            site = self._sites.get(address)
            if site is None:
                self._counters.add("peers_refused", "unknown_locator")
                return
            identify = await asyncio.wait_for(_read(reader), SILENCE_MAX_S)
            if not isinstance(identify, Identify) or identify.site != site or identify.protocol != frames.PROTOCOL:
                raise BadFrame(f"{address} does not identify itself as {site}")
            for carries in PATIENCE:
                self._woken[site, carries].set()
            await self._listen(site, identify, reader, writer)
        except (OSError, EOFError, BadFrame, TimeoutError) as error:
            if isinstance(error, BadFrame):
                self._counters.add("peers_cut_off", "bad_frame")
            log.get().info("peer left", peer=str(address), reason=str(error))
        finally:
            writer.transport.abort()

    async def _listen(
        self, site: str, identify: Identify, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if identify.carries == "changes":
            old = self._accepted.pop(site, None)
            if old is not None:
                old.transport.abort()
            self._accepted[site] = writer
            self._feed(PeerIdentified(site, identify.incarnation))
        try:
            while True:
                # A silent HELLO stream is a dead one; a stream of changes may be silent for long.
                wait_s = SILENCE_MAX_S if identify.carries == "hello" else None
                frame = await asyncio.wait_for(_read(reader), wait_s)
                match frame:
                    case Hello() if identify.carries == "hello":
                        self._feed(HelloReceived(site, frame))
                    case StateSyncReply() if identify.carries == "changes":
                        self._feed(RecordsReceived(site, identify.incarnation, frame))
                    case _:
                        raise BadFrame(f"unexpected {type(frame).__name__}")
        finally:
            if self._accepted.get(site) is writer:
                with contextlib.suppress(KeyError):
                    del self._accepted[site]


async def _read(reader: asyncio.StreamReader) -> Frame:
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length > frames.MAX_FRAME_BYTES:
        raise BadFrame(f"a frame of {length} octets is more than {frames.MAX_FRAME_BYTES}")
    return frames.decode(await reader.readexactly(length))
