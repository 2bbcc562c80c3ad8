"""xsp-ha as a reflector alone (`reflector = "only"`): no customer table, no kernel, no BGP, no root. An edge.

It holds the records of all sites, passes on what is new, and remembers it over a restart. Everything it decides is
decided by the same `HomeAgent`, which without customers forwards nothing, and which without a reconciled kernel never
asks for an announcement.
"""

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import Mapping
from typing import Any

from ha import customer_table, effects, events
from ha.config import Reflector
from ha.credential_files import CredentialFiles
from ha.home_agent import HomeAgent
from ha.peerlink import PeerLink
from ha.snapshot_file import SnapshotFile
from ha.start import bind, control_taken, make_directories
from ha.status import peers
from runtime import collector, control, log, notify, status, threads
from runtime.counters import Counters
from runtime.loop import Loop, Tick

LOOK_EVERY_S = 1.0


class ReflectorDaemon:
    """One running reflector."""

    def __init__(self, config: Reflector) -> None:
        self._config = config
        self._counters = Counters()
        self._snapshot = SnapshotFile(config.state_directory, self._counters)
        self._credentials = CredentialFiles(config, self._counters)
        self._asked_to_read = False
        self._began = time.monotonic()
        incarnation = time.time_ns()
        self.agent = HomeAgent(
            policy=config.policy(),
            topology=config.topology,
            table=customer_table.EMPTY,
            incarnation=incarnation,
            now=self._began,
            clock_offset_s=time.time() - time.monotonic(),
            mrai_s=0.0,
            orphan_hold_s=0.0,
            counters=self._counters,
        )
        self._loop: Loop[events.Event, effects.Effect] = Loop(
            self.agent,
            self._perform,
            events.TimeReached(),
            self._counters,
            config.state_directory / "poison",
            Tick(events.TickReached(), self.agent.next_tick),
        )
        self._peerlink = PeerLink(
            config.instance,
            config.locator,
            {peer.site: peer.locator for peer in config.peer},
            incarnation,
            self._credentials.now,
            self._loop.feed,
            self._counters,
            reflects=config.reflects,
        )
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Pass on until SIGTERM or SIGINT."""
        threads.step_aside()
        make_directories(self._config)
        recovered = False
        server = await control.serve(self._config.control_socket, {"status": self._status})
        try:
            await bind(self._peerlink, self._config)
            gc.disable()
            records, _ = self._snapshot.load()
            self.agent.recover(records, {}, time.monotonic())
            recovered = True
            collector.quiet()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._ask_to_read)
            await self._peerlink.start()
            self._loop.feed(events.TimeReached())
            notify.ready()
            log.get().info("reflecting", instance=self._config.instance, records=len(records))
            await self._look()
        finally:
            notify.stopping()
            self._loop.stop()
            await self._peerlink.stop()
            server.close()
            if recovered:  # a start that failed must not replace a good snapshot by an empty one
                await self._snapshot.save(self.agent)
            self._config.control_socket.unlink(missing_ok=True)

    def _ask_to_read(self) -> None:
        self._asked_to_read = True

    async def _look(self) -> None:
        """Once a second until the stop: the clock, the credentials, now and then a snapshot."""
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._stop.wait()
            self._loop.feed(events.ClockRead(time.time() - time.monotonic()))
            if (proof := self._credentials.newer(asked=self._asked_to_read)) is not None:
                self._peerlink.renew(proof)
            self._asked_to_read = False
            self._credentials.alarm()
            if self._snapshot.is_due():
                await self._snapshot.save(self.agent)

    def _perform(self, effect: effects.Effect) -> None:
        if isinstance(effect, effects.ToPeers):
            self._peerlink.perform(effect)
        elif isinstance(effect, effects.Note) and effect.message != "readiness changed":  # it is never to be announced
            getattr(log.get(), effect.level)(effect.message, **effect.fields)

    async def _status(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Healthy: at least one peer takes what we pass on."""
        connected, now = self._peerlink.connected(), time.monotonic()
        troubles = [alarm] if (alarm := self._credentials.alarm()) else []
        if not any(connected.values()):
            troubles.append("no site is connected")
        return status.document(
            program="xsp-ha",
            instance=self._config.instance,
            state="REFLECTING",
            since_s=now - self._began,
            reasons=troubles,
            counters=self._counters.as_dict(),
            healthy=any(connected.values()),
            sections={
                "cache": {"records": len(self.agent.cache.records)},
                "credentials": dict(self._credentials.status()),
                "peers": peers(self.agent, connected, now),
            },
        )


def run(config: Reflector) -> None:
    """Run it in the foreground; leaves with an exit status and two sentences if it cannot start."""
    try:
        asyncio.run(ReflectorDaemon(config).run())
    except control.Unreachable as error:
        control_taken(error)
