"""A stream between two home agents: the door it comes through, and the frames on it. Decides who is there, no more.

Theory of operation. Both ends prove themselves in TLS 1.3 with certificates of the xSP's authority
(`ha/credentials.py`), then both send `Identify`. A stream counts only if certificate, locator and `Identify` name the
same site, and if there is a protocol that both speak. `proof` None: plain TCP, for those who asked for it in their
configuration; then the locator is all there is. Every read is bounded: in octets, in records, and by the pace at which
this peer is listened to, which is remembered from one stream to the next. Frames are small and many, and what one
costs is mostly TLS and the kernel: so all that are sent in one turn of the loop go out together, acknowledgements in
one frame, and all that came in together are taken apart without waiting.
"""

import asyncio
import socket
import ssl
import time

from ha import credentials, frames
from ha.credentials import Credentials
from ha.frames import (
    BadFrame,
    Frame,
    Identify,
    StateDigest,
    StateRepairRequest,
    StateSyncAck,
    StateSyncReply,
    StateSyncRequest,
    Unknown,
)
from ha.pace import Pace
from runtime.counters import Counters

HANDSHAKE_S = 2.0
GREETING_MAX_BYTES = 4096
OCTETS_PER_UNIT = 256  # of pace: a record with two bindings has about 200, so it costs about two units
READ_BYTES = 256 * 1024  # at once; asyncio holds no more of a stream that nobody reads
LENGTH_BYTES = 4
DIGEST_UNITS = 1_000  # one comes in two seconds; to answer takes milliseconds
BUCKET_UNITS = 50  # what we hold of it may be the answer: 25 records, with 100,000
ACKS_A_UNIT = 4
REQUEST_UNITS = 15_000  # of pace: the answer may be all records

_TLS_HANDSHAKE = 0x16  # RFC 8446 5.1


class Refused(Exception):
    """A peer that is not let in. Field: `reason`, one word to count by."""

    def __init__(self, reason: str, why: object) -> None:
        super().__init__(str(why))
        self.reason = reason


class Stream:
    """A connection whose other end has proved its name.

    `serial`: of its certificate, 0 in plain TCP; `pace`: how fast this peer is listened to from now on.
    """

    __slots__ = (
        "_acknowledged",
        "_counters",
        "_leaving",
        "_leaving_bytes",
        "_read",
        "_received",
        "pace",
        "reader",
        "serial",
        "writer",
    )

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, serial: int, pace: Pace, counters: Counters
    ) -> None:
        self.reader, self.writer, self.serial, self.pace = reader, writer, serial, pace
        self._counters = counters
        self._leaving: list[bytes] = []
        self._acknowledged: dict[tuple[str, bool], list[int]] = {}  # what an acknowledgement says besides -> of what
        self._leaving_bytes = 0
        self._received = b""
        self._read = 0  # so many of them were taken

    def cut(self) -> None:
        """End it now, whatever waits to be sent."""
        self._leaving.clear()
        self._acknowledged.clear()
        self.writer.transport.abort()

    def send(self, frame: Frame) -> None:
        """Put a frame behind those that wait; it leaves with all that are sent in this turn of the loop."""
        if not self._leaving and not self._acknowledged:
            asyncio.get_running_loop().call_soon(self._leave)
        if isinstance(frame, StateSyncAck):
            self._acknowledged.setdefault((frame.site, frame.serves), []).extend((frame.index, *frame.also))
        else:
            self._put(frame)

    def _put(self, frame: Frame) -> None:
        octets = frames.encode(frame)
        self._leaving.append(octets)
        self._leaving_bytes += len(octets)

    def _leave(self) -> None:
        for (site, serves), indexes in self._acknowledged.items():
            for start in range(0, len(indexes), frames.ACKS_MAX):
                index, *also = indexes[start : start + frames.ACKS_MAX]
                self._put(StateSyncAck(index, site, serves, tuple(also)))
        self._acknowledged.clear()
        octets, self._leaving_bytes = b"".join(self._leaving), 0
        self._leaving.clear()
        if octets and not self.writer.is_closing():
            self.writer.write(octets)

    def waiting_bytes(self) -> int:
        """What the peer has not taken yet, beyond the kernel's buffers."""
        return self._leaving_bytes + self.writer.transport.get_write_buffer_size()

    async def read(self, max_bytes: int = frames.MAX_FRAME_BYTES) -> Frame | Unknown:
        """The next frame, as soon as this peer may say more. Raises: BadFrame, EOFError, OSError."""
        if wait_s := self.pace.wait_s(time.monotonic()):
            self._counters.add("peers_slowed")
            await asyncio.sleep(wait_s)
        while (octets := self._taken(max_bytes)) is None:
            more = await self.reader.read(READ_BYTES)
            if not more:
                raise EOFError("it hung up")
            self._received, self._read = self._received[self._read :] + more, 0
        frame = frames.decode(octets)
        self.pace.take(units(frame) + len(octets) / OCTETS_PER_UNIT, time.monotonic())
        return frame

    def _taken(self, max_bytes: int) -> bytes | None:
        """A frame without its length, if all of it is here. Raises: BadFrame."""
        begins = self._read + LENGTH_BYTES
        prefix = self._received[self._read : begins]
        if len(prefix) < LENGTH_BYTES:
            return None
        length = int.from_bytes(prefix, "big")
        if length > max_bytes:
            if prefix[0] == _TLS_HANDSHAKE:
                raise BadFrame("it speaks TLS, and we are told to speak plain TCP")
            raise BadFrame(f"a frame of {length} octets is more than {max_bytes}")
        if len(self._received) < begins + length:
            return None
        self._read = begins + length
        return self._received[begins : self._read]


class Door:
    """Lets peers in. `proof` may be replaced at any time; streams that are through are not asked again."""

    def __init__(self, site: str, incarnation: int, proof: Credentials | None, counters: Counters) -> None:
        self._site, self._incarnation = site, incarnation
        self._counters = counters
        self.proof = proof

    async def opened(self, sock: socket.socket, site: str, carries: str | None, pace: Pace) -> tuple[Stream, Identify]:
        """A stream to `site` on a connection that we dialed (to carry this) or accepted (None); owns the socket.

        Raises: Refused, BadFrame, OSError.
        """
        try:
            named: str | None = site
            if self.proof is None:
                stream = await self._in_the_clear(sock, pace)
            else:
                stream, named = await self._in_tls(sock, self.proof, pace, dialed=carries is not None)
            try:
                if named != site:
                    raise Refused("another_name", f"its certificate is of {named!r}")
                stream.send(Identify(frames.LOWEST, frames.HIGHEST, self._site, self._incarnation, carries or ""))
                identify = await self._identified(stream, site)
                if self.proof is not None and stream.serial in self.proof.revoked:
                    raise Refused("revoked", "its certificate was revoked while it greeted us")
                return stream, identify
            except BaseException:
                stream.cut()
                raise
        except ssl.SSLError as error:
            raise Refused(credentials.why_refused(error), error) from error
        except (ConnectionError, EOFError) as error:  # asyncio sends no alert, and one who does not like us hangs up
            raise Refused("hung_up", "it hung up before we were through; its log may say why") from error

    async def _in_tls(
        self, sock: socket.socket, proof: Credentials, pace: Pace, *, dialed: bool
    ) -> tuple[Stream, str | None]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        if dialed:
            transport, _ = await loop.create_connection(
                lambda: protocol,
                sock=sock,
                ssl=proof.dialing,
                server_hostname="",
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        else:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, sock, ssl=proof.accepting, ssl_handshake_timeout=HANDSHAKE_S
            )
        shown = transport.get_extra_info("peercert")
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return Stream(reader, writer, credentials.serial_of(shown), pace, self._counters), credentials.site_of(shown)

    async def _in_the_clear(self, sock: socket.socket, pace: Pace) -> Stream:
        reader, writer = await asyncio.open_connection(sock=sock)
        return Stream(reader, writer, 0, pace, self._counters)

    async def _identified(self, stream: Stream, site: str) -> Identify:
        identify = await stream.read(GREETING_MAX_BYTES)
        if not isinstance(identify, Identify):
            raise BadFrame("it does not identify itself")
        if identify.site != site:
            raise Refused("another_name", f"it calls itself {identify.site[:64]!r}")
        if frames.agreed(identify) is None:
            spoken = f"{identify.lowest} to {identify.highest}"
            raise Refused("protocol", f"it speaks {spoken}, we {frames.LOWEST} to {frames.HIGHEST}")
        return identify


def units(frame: Frame | Unknown) -> int:
    """What a frame costs of a stream's pace besides its octets: about what it is to us to do what it asks for."""
    match frame:
        case StateSyncReply():
            return 1 + len(frame.records)
        case StateSyncAck():
            return 1 + len(frame.also) // ACKS_A_UNIT
        case StateSyncRequest():
            return REQUEST_UNITS
        case StateRepairRequest(buckets):
            return BUCKET_UNITS * len(buckets)
        case StateDigest():
            return DIGEST_UNITS
        case _:
            return 1
