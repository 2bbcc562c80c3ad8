"""The self-test at work over a device in memory: what it says when its device, or it itself, fails."""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable

from dataplane import self_test
from dataplane.numbers import TUNNEL_HOP_LIMIT
from ha.self_test import PACKETS_A_TURN, SelfTest
from runtime.counters import Counters
from tests.ha.cast import HOME_AGENT

LINE = self_test.line(bytes(range(16)))
HEADER = struct.Struct(">IHBB16s16s")  # of IPv6
NO_BEGINNING = "a packet for a customer does not come out of its tunnel's beginning"


class Device:
    """A device with a right data plane behind it: what is written comes out as a kernel would send it."""

    def __init__(self) -> None:
        self._ours, self._kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        self.fd = self._ours.fileno()
        self.error = 0  # every call fails with it
        self.swallows = False
        self.mended = self.reads = 0

    def write(self, packet: bytes) -> None:
        self._check()
        if self.swallows:
            return
        if packet[8:24] == LINE.host:
            head = HEADER.pack(6 << 28, len(packet), 41, TUNNEL_HOP_LIMIT, HOME_AGENT, LINE.care_of)
            self._kernels.send(head + packet)
        elif packet[48:64] == self_test.home_address(HOME_AGENT):
            self._kernels.send(packet[HEADER.size :])

    def read(self) -> bytes | None:
        self.reads += 1
        self._check()
        try:
            return os.read(self.fd, 2048)
        except BlockingIOError:
            return None

    def mend(self) -> None:
        self.mended += 1
        self.error = 0

    def come(self) -> None:
        """Somebody's packet."""
        self._kernels.send(b"x")

    def close(self) -> None:
        self._ours.close()
        self._kernels.close()

    def _check(self) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))


class FloodedDevice(Device):
    """Behind a packet there are always more."""

    def read(self) -> bytes | None:
        self.reads += 1
        return bytes(60) if self.reads % (1000 * PACKETS_A_TURN) else None


async def turns(count: int) -> None:
    """So many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


class Site:
    """Who starts the test and hears it."""

    def __init__(self, device: Device, beside: Callable[[], None] = lambda: None) -> None:
        self.device, self.counters = device, Counters()
        self.said: list[str | None] = []
        self._news = asyncio.Event()
        self.test = SelfTest(HOME_AGENT, LINE, self._hear, beside, self.counters, lambda: device)

    def _hear(self, verdict: str | None) -> None:
        self.said.append(verdict)
        self._news.set()

    async def says(self, verdict: str | None) -> None:
        """Wait until it does."""
        async with asyncio.timeout(20.0):
            while not self.said or self.said[-1] != verdict:
                self._news.clear()
                await self._news.wait()


def test_a_right_data_plane_passes_and_one_that_swallows_everything_does_not() -> None:
    """A check that hangs is one that failed: nothing is waited for without an end."""

    async def life() -> None:
        site = Site(Device())
        site.test.start()
        await site.says(None)
        site.device.swallows = True
        await site.says(NO_BEGINNING)
        site.device.swallows = False
        await site.says(None)
        site.test.stop()
        assert site.said == [None, NO_BEGINNING, None]
        assert site.counters.as_dict()[f"self_tests_failed{{{NO_BEGINNING}}}"] >= 1

    asyncio.run(life())


def test_a_device_that_takes_no_packet_is_a_failure_and_serves_again_when_it_is_mended() -> None:
    """A device that others had set down was left as it was, and the site withdrawn for ever."""

    async def life() -> None:
        site = Site(Device())
        site.test.start()
        await site.says(None)
        site.device.error = errno.EIO
        await site.says(f"{self_test.DEVICE} cannot be used (Input/output error)")
        site.test.mend()
        await site.says(None)
        site.test.stop()
        assert site.device.mended == 1

    asyncio.run(life())


def test_a_device_that_cannot_be_read_is_a_failure_and_is_not_asked_without_end() -> None:
    """A deleted device is ready to be read for ever, each time with an error: the loop did nothing else."""

    async def life() -> None:
        site = Site(Device())
        site.test.start()
        await site.says(None)
        site.device.error = errno.EBADFD
        site.device.come()
        await site.says(f"{self_test.DEVICE} cannot be used (File descriptor in bad state)")
        await turns(5)
        reads = site.device.reads
        await turns(50)
        assert site.device.reads == reads
        site.test.stop()

    asyncio.run(life())


def test_a_flood_of_packets_is_taken_so_much_at_a_time() -> None:
    """Whoever could reach the device kept the loop from returning, and the lease lapsed."""

    async def life() -> None:
        site = Site(FloodedDevice())
        site.test.start()
        site.device.come()
        await turns(10)
        assert PACKETS_A_TURN <= site.device.reads <= 10 * PACKETS_A_TURN
        site.test.stop()

    asyncio.run(life())


def test_a_test_that_ends_by_a_fault_of_ours_is_a_failed_one_and_begins_again() -> None:
    """It was never started again: the site stayed withdrawn until its process was restarted."""
    faults = [ValueError("of ours"), KeyError("another")]

    def beside() -> None:
        if faults:
            raise faults.pop(0)

    async def life() -> None:
        site = Site(Device(), beside)
        site.test.start()
        await site.says("it ended: ValueError: of ours")
        await site.says("it ended: KeyError: 'another'")
        await site.says(None)
        site.test.stop()

    asyncio.run(life())
