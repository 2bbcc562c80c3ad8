"""The socket on which the speakers of all sites tell each other what they announce. An edge; `fellows` decides."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bgp import fellows
from bgp.errors import BgpError
from bgp.fellows import Fellows, Said
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
