"""Sites' links and callers of every kind on one machine: real sockets, real certificates, no namespace.

The locators are IPv4-mapped loopback addresses, which every machine has without being asked, so root is not needed.
They differ from process to process: two runs at once do not meet.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import IPv6Address

from ha import frames
from ha.credentials import Credentials
from ha.events import Event
from ha.frames import Frame, Hello, Identify, Unknown
from ha.peerlink import PORT, PeerLink
from runtime.counters import Counters

_PLACE = os.getpid() % 0x10000
ONE, TWO, THREE, STRANGER = (IPv6Address(f"::ffff:127.{_PLACE >> 8}.{_PLACE & 255}.{n}") for n in (1, 2, 3, 4))
LOCATORS = {"site1": ONE, "site2": TWO, "site3": THREE}
HELLO = Hello(1 << 63, "ANNOUNCED", "announced", True, 3)
DEADLINE_S = 10.0


def play(scenario: Callable[[AsyncExitStack], Awaitable[None]]) -> None:
    """Run it, with a bound; what it puts on the stack is ended after it."""

    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S), AsyncExitStack() as stage:
            await scenario(stage)

    asyncio.run(bounded())


def listener(address: IPv6Address) -> socket.socket:
    """A socket that listens where a site does."""
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((str(address), PORT))
    return sock


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for it. Raises: AssertionError naming what did not come."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:g} s: {what}") from None


class End:
    """One site's link and what it heard."""

    def __init__(self, site: str, proof: Credentials | None, *peers: str) -> None:
        self.heard: list[Event] = []
        self.counters = Counters()
        known = {peer: LOCATORS[peer] for peer in peers}
        self.link = PeerLink(site, LOCATORS[site], known, 77, proof, self.heard.append, self.counters)

    async def start(self, stage: AsyncExitStack) -> "End":
        stage.push_async_callback(self.link.stop)
        await self.link.bind()
        await self.link.start()
        return self

    async def until(self, *events: Event) -> None:
        """Wait until all of these were heard."""
        await until(lambda: all(event in self.heard for event in events), f"{events} in {self.heard[-5:]}")

    def refused(self) -> Counter[str]:
        """Reason -> how often a peer was not let in."""
        return self._counted("peers_refused")

    def cut_off(self) -> Counter[str]:
        """Reason -> how often a peer was cut off."""
        return self._counted("peers_cut_off")

    def _counted(self, name: str) -> Counter[str]:
        found = self.counters.as_dict().items()
        return Counter({key[len(name) + 1 : -1]: count for key, count in found if key.startswith(name + "{")})


def identify(site: str, carries: str = "changes", incarnation: int = 1) -> Identify:
    """As this release says it."""
    return Identify(frames.LOWEST, frames.HIGHEST, site, incarnation, carries)


@dataclass
class Caller:
    """A connection of a peer that is played by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, *said: Frame, octets: bytes = b"") -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.writer.write(b"".join(map(frames.encode, said)) + octets)
            await self.writer.drain()

    async def read(self) -> Frame | Unknown:
        length = int.from_bytes(await self.reader.readexactly(4), "big")
        return frames.decode(await self.reader.readexactly(length))

    async def until_cut(self) -> bytes:
        """Everything that is said until they hang up."""
        try:
            return await self.reader.read()
        except (ConnectionError, ssl.SSLError):
            return b""


async def call(
    stage: AsyncExitStack, source: IPv6Address, context: ssl.SSLContext | None, *said: Frame, octets: bytes = b""
) -> Caller:
    """Call site1; ends with the stage. Raises: OSError if there is no handshake."""
    name = None if context is None else ""
    reader, writer = await asyncio.open_connection(
        str(ONE), PORT, local_addr=(str(source), 0), ssl=context, server_hostname=name
    )
    stage.callback(writer.transport.abort)
    caller = Caller(reader, writer)
    await caller.say(*said, octets=octets)
    return caller
