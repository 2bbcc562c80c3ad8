"""The self-test at work: a round every 100 ms through our own data plane. An edge; `dataplane.self_test` judges.

A packet that does not come is sent once more at once: one may be spoilt, two are a failure, seen within 200 ms. A loop
that was held up reads what came meanwhile before it judges. A test that ends is a failed one.
"""

import asyncio
from collections.abc import Callable

from dataplane import self_test
from dataplane.numbers import TUNNEL_HOP_LIMIT
from dataplane.self_test import PATIENCE_S, ROUND_S, Judge, Packets, Round
from dataplane.tun import Tun
from runtime.counters import Counters


class SelfTest:
    """One site's self-test.

    Args:
        home_agent: its address. told: hears each change of the verdict, None or why it failed.
        beside: called once a round, for what else is to be looked at so often.
    Raises: DataPlaneError if its device cannot be made.
    """

    def __init__(
        self, home_agent: bytes, told: Callable[[str | None], None], beside: Callable[[], None], counters: Counters
    ) -> None:
        self._tun = Tun()
        self._packets = Packets(home_agent)
        self._told, self._beside, self._counters = told, beside, counters
        self._judge = Judge()
        self._round = Round(0)
        self._done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Test from now on."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._tun.fd, self._drain)
        self._task = loop.create_task(self._run(), name="self-test")
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        """Test no more; the device goes."""
        if self._task is not None:
            self._task.remove_done_callback(self._ended)
            self._task.cancel()
            asyncio.get_running_loop().remove_reader(self._tun.fd)
        self._tun.close()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            failure = await self._try() and await self._try()
            before = self._judge.verdict
            if failure:
                self._counters.add("self_tests_failed", failure)
                self._judge.failed(failure)
            else:
                self._judge.passed()
            if self._judge.verdict != before:
                self._told(self._judge.verdict)
            self._beside()
            await asyncio.sleep(max(0.0, ROUND_S - (loop.time() - began)))

    async def _try(self) -> str:
        """One round; what is wrong, empty if nothing."""
        self._round = Round(self._round.number + 1)
        self._done.clear()
        try:
            self._tun.write(self._packets.outbound(self._round.number))
            async with asyncio.timeout(PATIENCE_S):
                await self._done.wait()
        except TimeoutError:
            self._drain()
        except OSError as error:
            return f"{self_test.DEVICE} cannot be used ({error.strerror})"
        return self._round.failure

    def _drain(self) -> None:
        """Take what came out of the device, and answer it."""
        try:
            while (octets := self._tun.read()) is not None:
                seen = self._packets.read(octets)
                if seen is not None and self._round.saw(seen, TUNNEL_HOP_LIMIT):
                    self._tun.write(self._packets.spoofed(seen.number))
                    self._tun.write(self._packets.reverse(seen.number))
        except OSError as error:
            self._round.trouble = f"{self_test.DEVICE} cannot be used ({error.strerror})"
        if self._round.done:
            self._done.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._told(f"it ended: {task.exception() if not task.cancelled() else 'cancelled'}")
