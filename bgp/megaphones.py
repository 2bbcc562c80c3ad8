"""The socket on which the speakers of all sites tell each other what they announce. An edge; `fellows` decides."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from bgp import config, fellows
from bgp.errors import BgpError
from bgp.fellows import SAY_S, Fellows, Said
from runtime.counters import Counters
from runtime.exits import Exit


class Megaphones(asyncio.DatagramProtocol):
    """One site's end.

    Args:
        site: this one. peers: site -> locator. key: see `fellows.derive`.
    """

    def __init__(self, site: str, peers: Mapping[str, str], key: bytes, counters: Counters) -> None:
        self._site, self._peers, self._key, self._counters = site, peers, key, counters
        self._number = time.time_ns()
        self._fellows = Fellows(peers)
        self._transport: asyncio.DatagramTransport | None = None

    def change(self, peers: Mapping[str, str], key: bytes) -> None:
        """Speak to these from now on, and believe them."""
        self._peers, self._key = peers, key
        self._fellows.change(peers)

    async def open(self, locator: str) -> None:
        """Listen at the locator. Raises: BgpError."""
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, (locator, fellows.PORT))
        except OSError as error:
            what = f"UDP port {fellows.PORT} of the locator {locator} cannot be used ({error.strerror})"
            raise BgpError(what, "give this machine that address, and see what listens there", Exit.CONFLICT) from error

    def say(self, announces: bool) -> None:
        """Tell the others."""
        self._number += 1
        octets = fellows.encode(Said(self._site, self._number, time.time(), announces), self._key)
        if self._transport is not None:
            for locator in self._peers.values():
                with suppress(OSError):  # no route for the moment: it is said again
                    self._transport.sendto(octets, (locator, fellows.PORT))

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """See asyncio."""
        said = fellows.decode(data, self._key)
        trouble = "malformed" if said is None else self._fellows.take(said, time.time(), time.monotonic())
        if trouble is not None:
            self._counters.add("fellow_datagrams_dropped_total", trouble)

    def said_s_ago(self) -> float | None:
        """See `Fellows`."""
        return self._fellows.said_s_ago(time.monotonic())

    def table(self) -> list[dict[str, object]]:
        """For the status."""
        return self._fellows.table(time.monotonic())

    def close(self) -> None:
        """Say no more."""
        if self._transport is not None:
            self._transport.close()


class OtherSites:
    """What is said to the other sites and heard of them, for as long as there are any in the configuration.

    Args: announces: whether our neighbours really hear us; asked before each word.
    """

    def __init__(self, site: str, counters: Counters, announces: Callable[[], bool]) -> None:
        self._site, self._counters, self._announces = site, counters, announces
        self._settings: config.Fellows | None = None
        self._megaphones: Megaphones | None = None
        self._telling: asyncio.Task[None] | None = None

    def check(self, settings: config.Fellows | None) -> bytes:
        """Whether this can be changed to while it runs. Returns: the key. Raises: BgpError."""
        if settings is None:
            return b""
        if self._settings is not None and settings.locator != self._settings.locator:
            raise BgpError("bgp.toml differs in fellows.locator", "restart xsp-bgp to use it")
        try:
            return fellows.derive(settings.key_file.read_bytes().strip())
        except OSError as error:
            what = f"the key of the sites, {settings.key_file}, cannot be read ({error.strerror})"
            raise BgpError(what, "render the site's files anew with 'xsp render'") from error

    async def change(self, settings: config.Fellows | None) -> None:
        """These from now on; nobody's session is touched. Raises: BgpError."""
        key = self.check(settings)
        if settings is None:
            await self.close()
            return
        peers = {site.name: str(site.locator) for site in settings.site}
        if self._megaphones is not None:
            self._megaphones.change(peers, key)
        else:
            megaphones = Megaphones(self._site, peers, key, self._counters)
            await megaphones.open(str(settings.locator))
            self._megaphones = megaphones
            self._telling = asyncio.get_running_loop().create_task(self._tell(megaphones))
        self._settings = settings

    @asynccontextmanager
    async def changed(self, settings: config.Fellows | None) -> AsyncIterator[None]:
        """These from now on, unless what is done meanwhile fails. Raises: BgpError."""
        before = self._settings
        await self.change(settings)
        try:
            yield
        except Exception:
            with suppress(BgpError):
                await self.change(before)
            raise

    def said_s_ago(self) -> float | None:
        """See `Fellows`."""
        return None if self._megaphones is None else self._megaphones.said_s_ago()

    def table(self) -> list[dict[str, object]]:
        """For the status."""
        return [] if self._megaphones is None else self._megaphones.table()

    async def close(self) -> None:
        """Say no more."""
        telling, megaphones = self._telling, self._megaphones
        self._telling = self._megaphones = self._settings = None
        if telling is not None:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
        if megaphones is not None:
            megaphones.close()
            await asyncio.sleep(0)  # the loop's next turn frees the port, which may be wanted at once

    async def _tell(self, megaphones: Megaphones) -> None:
        while True:
            megaphones.say(self._announces())
            await asyncio.sleep(SAY_S)
