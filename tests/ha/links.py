"""Sites' links and callers of every kind on one machine: three locators, real sockets, real certificates."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from ha import frames
from ha.credentials import Credentials
from ha.events import Event
from ha.frames import Frame, Hello, Identify
from ha.peerlink import PORT, PeerLink
from runtime.counters import Counters
from tests.netns import Net

ONE, TWO, THREE, STRANGER = (IPv6Address(f"2001:db8:{n}::1") for n in (1, 2, 3, 4))
LOCATORS = {"site1": ONE, "site2": TWO, "site3": THREE}
HELLO = Hello(1 << 63, "ANNOUNCED", "announced", True, 3)
DEADLINE_S = 10.0


def prepare(net: Net) -> None:
    """One node with all locators."""
    net.add("here")
    for address in (*LOCATORS.values(), STRANGER):
        net.run("here", "ip", "addr", "add", f"{address}/128", "dev", "lo")


def in_namespace(net: Net, scenario: Callable[[], Awaitable[None]]) -> None:
    """Run it there, with a bound."""

    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await scenario()

    net.inside("here", lambda: asyncio.run(bounded()))


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

    async def start(self) -> "End":
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

    async def read(self) -> Frame:
        length = int.from_bytes(await self.reader.readexactly(4), "big")
        return frames.decode(await self.reader.readexactly(length))

    async def until_cut(self) -> bytes:
        """Everything that is said until they hang up."""
        try:
            return await self.reader.read()
        except (ConnectionError, ssl.SSLError):
            return b""
        finally:
            self.writer.close()


async def call(source: IPv6Address, context: ssl.SSLContext | None, *said: Frame, octets: bytes = b"") -> Caller:
    """Call site1. Raises: OSError if there is no handshake."""
    name = None if context is None else ""
    reader, writer = await asyncio.open_connection(
        str(ONE), PORT, local_addr=(str(source), 0), ssl=context, server_hostname=name
    )
    caller = Caller(reader, writer)
    await caller.say(*said, octets=octets)
    return caller
