"""The self-test at work: a round every 100 ms through our own data plane. An edge; `dataplane.self_test` judges.

A packet that does not come is sent once more at once: one may be spoilt, two are a failure, seen within 200 ms. A loop
that was held up reads what came meanwhile before it judges. Nothing here waits without an end. A test that ends by a
fault of our own is a failed one, and begins again.
"""

import asyncio
import traceback
from collections.abc import Callable
from typing import Protocol

from dataplane import self_test
from dataplane.entry import SelfTestLine
from dataplane.numbers import TUNNEL_HOP_LIMIT
from dataplane.self_test import PATIENCE_S, ROUND_S, Judge, Packets, Round
from dataplane.tun import Tun
from runtime import log
from runtime.counters import Counters

PACKETS_A_TURN = 500  # as many as the device holds (txqueuelen): about 2 ms
PAUSE_MAX_S = 6.4  # after a test that ended: 0.1 s at first, then doubled


class Device(Protocol):
    """Where the packets go in and come out: `dataplane.tun.Tun`."""

    fd: int

    def write(self, packet: bytes) -> None:
        """Into the kernel. Raises: OSError."""

    def read(self) -> bytes | None:
        """The next packet out of it, None if there is none. Raises: OSError."""

    def mend(self) -> None:
        """Make the device as it should be. Raises: DataPlaneError."""

    def close(self) -> None:
        """The device goes."""


class SelfTest:
    """One site's self-test.

    Args:
        home_agent: its address. line: that of the test's customer.
        told: hears each change of the verdict, None or why it failed, and now and then of a failure that stays.
        beside: called once a round, for what else is to be looked at so often.
        device: makes the device.
    Raises: DataPlaneError if its device cannot be made.
    """

    def __init__(
        self,
        home_agent: bytes,
        line: SelfTestLine,
        told: Callable[[str | None], None],
        beside: Callable[[], None],
        counters: Counters,
        device: Callable[[], Device] = Tun,
    ) -> None:
        self._device = device()
        self._packets = Packets(home_agent, line)
        self._told, self._beside, self._counters = told, beside, counters
        self._judge = Judge()
        self._round = Round(0)
        self._done = asyncio.Event()
        self._listens_at: int | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Test from now on."""
        self._listen()
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="self-test")

    def stop(self) -> None:
        """Test no more; the device goes."""
        if self._task is not None:
            self._task.cancel()
        self._listen_no_more()
        self._device.close()

    def mend(self) -> None:
        """Put the device right if others changed it, or deleted it. Raises: DataPlaneError."""
        self._listen_no_more()
        self._device.mend()
        self._listen()

    def tell_soon(self) -> None:
        """Something was repaired: a failure that stays is told again before long."""
        self._judge.tell_soon()

    def _listen(self) -> None:
        self._listens_at = self._device.fd
        asyncio.get_running_loop().add_reader(self._listens_at, self._drain)

    def _listen_no_more(self) -> None:
        if self._listens_at is not None:
            asyncio.get_running_loop().remove_reader(self._listens_at)
        self._listens_at = None

    async def _keep(self) -> None:
        """Test for ever, whatever ends a test."""
        loop, pause_s = asyncio.get_running_loop(), ROUND_S
        while True:
            began = loop.time()
            try:
                await self._test()
            except Exception as error:
                log.get().error("self-test ended", trace=traceback.format_exc())
                self._judge.failed(f"it ended: {type(error).__name__}: {error}")
                loop.call_soon(self._told, self._judge.verdict)  # which may be what fails
            if loop.time() - began > PAUSE_MAX_S:
                pause_s = ROUND_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _test(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            failure = await self._try() and await self._try()
            if failure:
                self._counters.add("self_tests_failed", failure)
            if self._judge.failed(failure) if failure else self._judge.passed():
                self._told(self._judge.verdict)
            self._beside()
            await asyncio.sleep(max(0.0, ROUND_S - (loop.time() - began)))

    async def _try(self) -> str:
        """One round; what is wrong, empty if nothing."""
        self._round = Round(self._round.number + 1)
        self._done.clear()
        try:
            self._device.write(self._packets.outbound(self._round.number))
            async with asyncio.timeout(PATIENCE_S):
                await self._done.wait()
        except TimeoutError:
            self._drain()
        except OSError as error:
            return f"{self_test.DEVICE} cannot be used ({error.strerror})"
        return self._round.failure

    def _drain(self) -> None:
        """Take what came out of the device, so much in a turn of the loop, and answer it."""
        try:
            for _ in range(PACKETS_A_TURN):
                if (octets := self._device.read()) is None:
                    break
                seen = self._packets.read(octets)
                if seen is not None and self._round.saw(seen, TUNNEL_HOP_LIMIT):
                    self._device.write(self._packets.spoofed(seen.number))
                    self._device.write(self._packets.reverse(seen.number))
        except OSError as error:
            self._round.trouble = f"{self_test.DEVICE} cannot be used ({error.strerror})"
            self._listen_no_more()  # a device that was deleted is ready to be read for ever
        if self._round.done:
            self._done.set()
