"""The watch over real links in a namespace: first view, loss, return, addresses, gateways."""

import asyncio
import contextlib
import secrets
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from pyroute2 import netns

from mr.events import UplinkChanged
from mr.linkwatch import LinkWatch
from mr.settings import LineSettings
from tests.mr.cast import CARE_OF, GATEWAY, octets

pytestmark = pytest.mark.netns
LINE = LineSettings(1, "line1", "line1", 1, 0, None)
DEADLINE_S = 5.0
REACTION_S = 0.06  # three times what is promised, for a busy machine


def ip(*words: str) -> None:
    """Run ip(8)."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Place:
    """A namespace with `line1`, and another one with its other end."""

    def __init__(self) -> None:
        token = secrets.token_hex(4)
        self.router, self.provider = f"x{token}-mr", f"x{token}-isp"

    def in_router(self, *words: str) -> None:
        """Run ip(8) in the router's namespace."""
        ip("-n", self.router, *words)

    def in_provider(self, *words: str) -> None:
        """Run ip(8) in the provider's namespace."""
        ip("-n", self.provider, *words)


@pytest.fixture
def place() -> Iterator[Place]:
    """line1 up with 2001:db8:1:c::20 and a default route."""
    made = Place()
    try:
        ip("netns", "add", made.router)
        ip("netns", "add", made.provider)
        made.in_router("link", "add", "line1", "type", "veth", "peer", "name", "far", "netns", made.provider)
        made.in_provider("link", "set", "far", "up")
        made.in_router("link", "set", "line1", "up")
        made.in_router("address", "add", "2001:db8:1:c::20/64", "dev", "line1", "nodad")
        made.in_router("-6", "route", "add", "default", "via", "2001:db8:1:c::1", "dev", "line1")
        yield made
    finally:
        for name in (made.router, made.provider):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


class Reports:
    """What the watch reported, with the moment it did."""

    def __init__(self) -> None:
        self.all: list[tuple[float, UplinkChanged]] = []
        self._changed = asyncio.Event()

    def __call__(self, event: UplinkChanged) -> None:
        self.all.append((time.monotonic(), event))
        self._changed.set()

    async def until(self, good: Callable[[UplinkChanged], bool]) -> float:
        """Wait until the last report is `good`; returns when it came."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.all or not good(self.all[-1][1]):
                self._changed.clear()
                await self._changed.wait()
        return self.all[-1][0]


def watch(place: Place, play: Callable[[Reports], Awaitable[None]], line: LineSettings = LINE) -> None:
    """Run `play` with a watch in the router's namespace."""

    async def run() -> None:
        reports = Reports()
        with contextlib.closing(LinkWatch([line], reports)) as link_watch:
            await link_watch.start()
            assert reports.all, "the first view was not reported"
            await play(reports)

    netns.pushns(place.router)
    try:
        asyncio.run(run())
    finally:
        netns.popns()


async def off_loop(run: Callable[..., None], *words: str) -> float:
    """Run ip(8) beside the loop; returns when it had ended."""

    def timed() -> float:
        run(*words)
        return time.monotonic()

    return await asyncio.to_thread(timed)


def test_the_first_view_has_carrier_address_and_gateway(place: Place) -> None:
    async def play(reports: Reports) -> None:
        assert reports.all[-1][1] == UplinkChanged(1, True, CARE_OF[1], GATEWAY[1])

    watch(place, play)


def test_a_lost_carrier_is_reported_in_time_also_when_the_link_flaps(place: Place) -> None:
    async def play(reports: Reports) -> None:
        for _ in range(4):
            done = await off_loop(place.in_provider, "link", "set", "far", "down")
            assert await reports.until(lambda event: not event.carrier) - done < REACTION_S
            await off_loop(place.in_provider, "link", "set", "far", "up")
            await reports.until(lambda event: event.carrier and event.gateway == GATEWAY[1])

    watch(place, play)


def test_an_address_that_goes_and_another_that_comes_are_reported(place: Place) -> None:
    async def play(reports: Reports) -> None:
        await off_loop(place.in_router, "address", "del", "2001:db8:1:c::20/64", "dev", "line1")
        await reports.until(lambda event: event.care_of is None)
        await off_loop(place.in_router, "address", "add", "2001:db8:1:c::77/64", "dev", "line1")
        await reports.until(lambda event: event.care_of == octets("2001:db8:1:c::77"))

    watch(place, play)


def test_a_gateway_that_changes_is_reported_and_a_configured_one_is_kept(place: Place) -> None:
    async def play(reports: Reports) -> None:
        route = ("-6", "route", "replace", "default", "via", "fe80::1", "dev", "line1")
        await off_loop(place.in_router, *route)
        await reports.until(lambda event: event.gateway == octets("fe80::1"))
        await off_loop(place.in_router, "-6", "route", "del", "default", "dev", "line1")
        await reports.until(lambda event: event.gateway is None)

    watch(place, play)

    async def configured(reports: Reports) -> None:
        assert reports.all[-1][1].gateway == GATEWAY[2]

    watch(place, configured, LineSettings(1, "line1", "line1", 1, 0, GATEWAY[2]))


def test_an_interface_that_vanishes_and_returns_is_followed(place: Place) -> None:
    async def play(reports: Reports) -> None:
        await off_loop(place.in_router, "link", "del", "line1")
        await reports.until(lambda event: not event.carrier and event.care_of is None)
        pair = ("link", "add", "line1", "type", "veth", "peer", "name", "far", "netns", place.provider)
        await off_loop(place.in_router, *pair)
        await off_loop(place.in_provider, "link", "set", "far", "up")
        await off_loop(place.in_router, "link", "set", "line1", "up")
        await reports.until(lambda event: event.carrier)

    watch(place, play)


def test_two_default_routes_of_one_metric_give_each_line_its_own_gateway(place: Place) -> None:
    place.in_router("link", "add", "line2", "type", "veth", "peer", "name", "far2", "netns", place.provider)
    place.in_provider("link", "set", "far2", "up")
    place.in_router("link", "set", "line2", "up")
    place.in_router("address", "add", "2001:db8:2:c::20/64", "dev", "line2", "nodad")
    place.in_router("-6", "route", "append", "default", "via", "2001:db8:2:c::1", "dev", "line2")

    async def first(reports: Reports) -> None:
        assert reports.all[-1][1].gateway == GATEWAY[1]
        way = ("-6", "route", "del", "default", "via", "2001:db8:1:c::1", "dev", "line1")
        await off_loop(place.in_router, *way)
        await reports.until(lambda event: event.gateway is None)

    watch(place, first)

    async def second(reports: Reports) -> None:
        assert reports.all[-1][1].gateway == GATEWAY[2]

    watch(place, second, LineSettings(1, "line2", "line2", 1, 0, None))
