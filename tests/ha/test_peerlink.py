"""Streams between home agents over real TCP: who is let in, what is cut off, what comes through."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv6Address

import pytest

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
from ha.frames import Frame, Hello, Identify, StateSyncAck, StateSyncReply, StateSyncRequest
from ha.peerlink import PORT, PeerLink
from runtime.counters import Counters
from tests.netns import Net, namespaces

pytestmark = pytest.mark.netns

ONE, TWO, STRANGER = (IPv6Address(f"2001:db8:{n}::1") for n in (1, 2, 3))
HELLO = Hello(1 << 63, "ANNOUNCED", "announced", True, 3)
DEADLINE_S = 10.0


@pytest.fixture
def net() -> Iterator[Net]:
    with namespaces() as made:
        made.add("here")
        for address in (ONE, TWO, STRANGER):
            made.run("here", "ip", "addr", "add", f"{address}/128", "dev", "lo")
        yield made


class End:
    """One site's link and what it heard."""

    def __init__(self, site: str, locator: IPv6Address, peers: dict[str, IPv6Address]) -> None:
        self.heard: list[Event] = []
        self.counters = Counters()
        self.link = PeerLink(site, locator, peers, 77, self.heard.append, self.counters)

    async def until(self, kind: type[Event]) -> Event:
        """The first event of this kind, waited for."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                for event in self.heard:
                    if isinstance(event, kind):
                        return event
                await asyncio.sleep(0.01)


def in_namespace(net: Net, scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * DEADLINE_S):
            await scenario()

    net.inside("here", lambda: asyncio.run(bounded()))


def test_two_sites_find_each_other_and_talk(net: Net) -> None:
    async def scenario() -> None:
        one, two = End("site1", ONE, {"site2": TWO}), End("site2", TWO, {"site1": ONE})
        for end in (one, two):
            await end.link.bind()
            await end.link.start()
        assert await one.until(PeerIdentified) == PeerIdentified("site2", 77)
        one.link.ask("site2", 5, 9)
        assert await two.until(PeerAsked) == PeerAsked("site1", 5, 9)
        two.link.records("site1", StateSyncReply(3, (), True))
        assert await one.until(RecordsReceived) == RecordsReceived("site2", 77, StateSyncReply(3, (), True))
        one.link.acknowledge("site2", StateSyncAck(3))
        assert await two.until(RecordsAcknowledged) == RecordsAcknowledged("site1", StateSyncAck(3))
        while not any(isinstance(event, HelloReceived) for event in two.heard):
            one.link.hello(HELLO)
            await asyncio.sleep(0.01)
        await two.link.stop()
        await one.until(PeerUnreachable)
        await one.link.stop()

    in_namespace(net, scenario)


def test_a_stranger_a_pretender_and_garbage_are_cut_off(net: Net) -> None:
    async def scenario() -> None:
        one = End("site1", ONE, {"site2": TWO})
        await one.link.bind()
        await one.link.start()
        assert await _answer(STRANGER, [Identify(1, "site2", 1, "changes")]) == b""
        assert await _answer(TWO, [Identify(1, "site3", 1, "changes")]) == b""
        assert await _answer(TWO, [Identify(2, "site2", 1, "changes")]) == b""
        assert await _answer(TWO, [StateSyncRequest(1, 1)]) == b""
        assert await _answer(TWO, [Identify(1, "site2", 1, "hello"), StateSyncAck(1)]) == b""
        assert await _answer(TWO, [], b"\xff\xff\xff\xff") == b""
        assert await _answer(TWO, [], b"\0\0\0\4abcd") == b""
        assert one.heard == []
        assert one.counters.get("peers_refused", "unknown_locator") == 1
        assert one.counters.get("peers_cut_off", "bad_frame") == 6
        await one.link.stop()

    in_namespace(net, scenario)


async def _answer(source: IPv6Address, said: list[Frame], octets: bytes = b"") -> bytes:
    """Say this to site1 from `source`; everything it answers until it hangs up."""
    reader, writer = await asyncio.open_connection(str(ONE), PORT, local_addr=(str(source), 0))
    writer.write(b"".join(map(frames.encode, said)) + octets)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_a_peer_that_dials_again_replaces_its_old_stream(net: Net) -> None:
    async def scenario() -> None:
        one = End("site1", ONE, {"site2": TWO})
        await one.link.bind()
        await one.link.start()
        streams = []
        for incarnation in (1, 2):
            reader, writer = await asyncio.open_connection(str(ONE), PORT, local_addr=(str(TWO), 0))
            writer.write(frames.encode(Identify(1, "site2", incarnation, "changes")))
            while PeerIdentified("site2", incarnation) not in one.heard:
                await asyncio.sleep(0.01)
            streams.append((reader, writer))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await streams[0][0].readexactly(1)
        one.link.ask("site2", 2, 0)
        length = int.from_bytes(await streams[1][0].readexactly(4), "big")
        assert frames.decode(await streams[1][0].readexactly(length)) == StateSyncRequest(2, 0)
        for _, writer in streams:
            writer.close()
        await one.link.stop()

    in_namespace(net, scenario)
