"""xsp-ha as a process: start-up, sockets, the loop around `HomeAgent`. The only file that wires the parts together.

Order at start: configuration and table, data plane, snapshot, reconcile, then the peers, the mobility sockets and the
lease. Fatal are only a failed start-up and a data plane that cannot be opened; nothing that arrives by the network
is.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from bgp.client import LeaseClient
from bgp.route import Route
from dataplane.errors import DataPlaneError
from dataplane.linux import LinuxHomeAgent
from ha import accounting, customer_table, effects, events, journal, reception, transmission, wish_file
from ha.accounting_command import AccountingCommand
from ha.config import Config
from ha.credential_files import CredentialFiles, cookie_key
from ha.customer_table import TableRefused
from ha.home_agent import HomeAgent
from ha.journal import Made, Recovered
from ha.kernel import TUNNELLED, Kernel
from ha.load import Meter
from ha.past import Past
from ha.peerlink import PeerLink
from ha.readiness import Mode
from ha.site_plan import site_plan
from ha.snapshot_file import SnapshotFile
from ha.start import bind, control_taken, make_directories
from ha.status import Dumped, shown, status_document
from ha.table_file import TableFile
from mip6.mhsocket import MobilitySocket
from runtime import collector, control, exits, log, notify, threads
from runtime.counters import Counters
from runtime.journal import Journal, Recorded
from runtime.loop import Loop, Tick

LOOK_EVERY_S = 1.0
DATAGRAMS_A_TURN = 64


class Daemon:
    """One running home agent."""

    def __init__(self, config: Config, journal_path: Path | None = None) -> None:
        self._config = config
        self._counters = Counters()
        self._table = TableFile(config, self._counters)
        self._snapshot = SnapshotFile(config.state_directory, self._counters)
        self._asked_to_read = False
        incarnation, now, offset_s = time.time_ns(), time.monotonic(), time.time() - time.monotonic()
        self.agent = HomeAgent(
            policy=config.policy(cookie_key(config)),
            topology=config.topology,
            table=customer_table.EMPTY,
            incarnation=incarnation,
            now=now,
            clock_offset_s=offset_s,
            mrai_s=config.bgp.mrai_s,
            orphan_hold_s=config.bgp.orphan_hold_s,
            counters=self._counters,
        )
        self._journal = Journal(journal_path, self._counters) if journal_path else None
        self._write(Made(config.instance, incarnation, now, offset_s), now)
        core = Recorded(self.agent, self._write) if self._journal else self.agent
        self._loop: Loop[events.Event, effects.Effect] = Loop(
            core,
            self._perform,
            events.TimeReached(),
            self._counters,
            config.state_directory / "poison",
            Tick(events.TickReached(), self.agent.next_tick),
        )
        peers = {peer.site: peer.locator for peer in config.peer if not peer.beyond}
        self._credentials = CredentialFiles(config, self._counters)
        self._past = Past(config.state_directory)
        self._peerlink = PeerLink(
            config.instance,
            config.locator,
            peers,
            incarnation,
            self._credentials.now,
            self._loop.feed,
            self._counters,
            reflects=config.reflects,
        )
        self._lease = LeaseClient(config.bgp.lease_socket, on_answer=self._lease_answered, on_lost=self._lease_lost)
        self._routes = tuple(
            Route(route.prefix, route.communities, route.med, route.prepend) for route in config.bgp.route
        )
        self._longer = tuple(replace(route, prepend=route.prepend + config.load.prepend) for route in self._routes)
        self._meter = Meter([egress.interface for egress in config.egress], config.load.capacity_mbit_s)
        self._source = config.home_agent_address.packed
        self._stop = asyncio.Event()
        self._lease_suspected: str | None = None
        self._lease_trouble: str | None = None  # what the log says of it last

        self._kernel = Kernel(
            LinuxHomeAgent(config.driver),
            site_plan(config),
            self._loop.feed,
            lambda: self.agent.cache.installed,
            self._counters,
        )

    def _write(self, entry: journal.Line, now: float) -> None:
        """Into the journal, if there is one."""
        if self._journal:
            self._journal.write(journal.to_line(entry, now))

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        The control socket and the port come first: a second instance must find out before it touches the kernel.
        """
        config = self._config
        threads.step_aside()
        make_directories(config)
        accounts = AccountingCommand(self._kernel.volumes, lambda: self.agent.table.customers)
        commands: dict[str, control.Command] = {
            "status": self._status,
            "drain": lambda request: self._operator(Mode.DRAIN, request),
            "depreference": lambda request: self._operator(Mode.DEPREFERENCE, request),
            "undrain": lambda request: self._operator(Mode.SERVE, request),
            "leaving": lambda _: self._leaving(),
            "revoke": self._revoke,
            "accounting": accounts.answer,
        }
        server = await control.serve(config.control_socket, commands)
        try:
            await bind(self._peerlink, config)
            gc.disable()  # nothing that is read now is garbage, and looking for some doubles the time
            await self._prepare()
            collector.quiet()
            await self._serve()
        finally:
            notify.stopping()
            await self._close(server)

    async def _serve(self) -> None:
        self._mobility = MobilitySocket("home-agent")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._ask_to_read)
        for sock in self._mobility.sockets:
            loop.add_reader(sock.fileno(), self._receive, sock)
        await self._peerlink.start()
        self._kernel.start()
        looking = asyncio.create_task(self._look())
        notify.ready()
        log.get().info("serving", instance=self._config.instance)
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()  # an error of our own: better to end, and let the lease lapse, than to watch nothing
        looking.cancel()

    # --- start and end ----------------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        config = self._config
        self._past.load()
        try:
            table = self._table.load()
        except (OSError, TableRefused) as error:
            why = error.strerror if isinstance(error, OSError) else error.why
            what = f"the customer table {config.customer_table} cannot be used: {why}"
            exits.fail(what, "Publish one with 'xsp table publish'", exits.MISSING)
        self._loop.feed(events.TableLoaded(table))
        if (asked := wish_file.load(config.state_directory)) is not None:
            self._loop.feed(asked)
        present = await self._kernel.prepare()
        records, restarts = self._snapshot.load()
        self.agent.state.restarts, now = restarts, time.monotonic()
        wanted = self.agent.recover(records, present, now)
        results = await self._kernel.reconcile(wanted)
        self.agent.reconciled(wanted, results)
        self._write(Recovered(records, present, results, restarts), now)
        log.get().info(
            "forwarding reconciled", customers=len(wanted), refused=sum(r is not None for r in results.values())
        )

    async def _close(self, server: asyncio.Server) -> None:
        """Leave the kernel forwarding: the peers carry on, and a restart finds everything in place."""
        self._loop.stop()
        self._kernel.stop()
        await self._lease.close()
        await self._peerlink.stop()
        server.close()
        if self.agent.serving.reconciled:  # a start that failed must not replace a good snapshot by an empty one
            await self._snapshot.save(self.agent)
        self._past.close()
        self._config.control_socket.unlink(missing_ok=True)

    # --- events -----------------------------------------------------------------------------------------------------

    async def _read_table(self) -> None:
        self._asked_to_read = False
        table = await self._table.newer(self.agent.table)
        if table is not None:
            self._kernel.forget(await asyncio.to_thread(accounting.freed, self.agent.table, table))
            self._loop.feed(events.TableLoaded(table))

    def _read_credentials(self) -> None:
        if (proof := self._credentials.newer(asked=self._asked_to_read)) is not None:
            self._peerlink.renew(proof)
        self._credentials.alarm()

    def _ask_to_read(self) -> None:
        self._asked_to_read = True

    def _receive(self, sock: socket.socket) -> None:
        for datagram in self._mobility.receive(sock, limit=DATAGRAMS_A_TURN):
            self._loop.feed(reception.event(datagram))

    def _lease_answered(self, _: object) -> None:
        if self._lease.refusal is not None:
            self._counters.add("lease_refused")
        sessions = sum(session.state == "established" for session in self._lease.sessions)
        self._loop.feed(events.LeaseAnswered(self._lease.state, sessions, self._lease.mrai_s))

    def _lease_lost(self) -> None:
        self._loop.feed(events.LeaseAnswered("unreachable", 0))

    def _watch_lease(self) -> None:
        """Log once what keeps the lease from us, if it is so at two looks in a row; and its end."""
        suspected, self._lease_suspected = self._lease_suspected, self._lease.trouble
        if suspected == self._lease_suspected != self._lease_trouble:
            self._lease_trouble = suspected
            if suspected:
                log.get().error("lease not held", reason=suspected)
            else:
                log.get().info("lease held")

    async def _look(self) -> None:
        """Once a second, and on the self-test's alarm: the kernel, the clock, the table; now and then a snapshot."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kernel.alarm.wait(), LOOK_EVERY_S)
            hurried = self._kernel.alarm.is_set()
            self._kernel.alarm.clear()
            self._loop.feed(events.ClockRead(time.time() - time.monotonic()))
            if not hurried:  # else the time between two looks says nothing
                self._watch_lease()
            if (share := self._meter.read(time.monotonic())) != self.agent.serving.load:
                self._loop.feed(events.LoadMeasured(share))
            await self._kernel.look()
            self._read_credentials()
            if self._table.has_changed() or self._asked_to_read:
                await self._read_table()
            if self._snapshot.is_due():
                await self._snapshot.save(self.agent)

    # --- effects ----------------------------------------------------------------------------------------------------

    def _perform(self, effect: effects.Effect) -> None:
        if isinstance(effect, effects.ToPeers):
            self._peerlink.perform(effect)
            return
        match effect:
            case effects.SetForwarding(home_address, entry, generation):
                self._kernel.order(home_address, entry, generation)
            case effects.RenewLease(wanted, reason, linger_ms, prepend):
                self._lease.renew(wanted, reason, linger_ms, self._longer if prepend else self._routes)
            case effects.Note(level, message, fields):
                getattr(log.get(), level)(message, **fields)
                self._past.note(self.agent.serving.history)
            case _:
                self._send(transmission.octets(effect, self._source))

    def _send(self, octets: bytes) -> None:
        try:
            self._mobility.send(octets, self._source)
        except OSError as error:
            self._counters.add("packets_not_sent", error.strerror or "unknown")

    # --- operator ------------------------------------------------------------------------------------------

    async def _status(self, request: Mapping[str, Any]) -> dict[str, object]:
        """`brief` asks for no dump of what the kernel forwards, which takes seconds with 100,000 customers.

        `home_address` asks for the bindings of this customer. Raises: control.Refusal if it is none's.
        """
        try:
            chosen = [] if request.get("brief") else shown(self.agent, request.get("home_address"))
        except ValueError as error:
            raise control.Refusal(str(error), "See 'xsp customer list' for all of them") from error
        connected, counters = self._peerlink.connected(), self._counters.as_dict() | self._kernel.relay_counters()
        present: Dumped | None = None
        troubles = [one for one in (self._lease.trouble, self._credentials.alarm()) if one]
        try:
            if request.get("brief"):
                counters |= self._kernel.counters()
            else:
                present, more = await self._kernel.read(chosen)
                counters |= more
        except DataPlaneError as error:
            troubles.append(f"the data plane cannot be read: {error}")
        transport, past, now = self._credentials.status(), self._past.rows(), time.monotonic()
        narrow = self._kernel.narrow_lines()
        return status_document(
            self._config, self.agent, present, connected, transport, counters, troubles, past, narrow, now
        )

    def _operator(self, mode: Mode, request: Mapping[str, Any]) -> dict[str, object]:
        """Raises: control.Refusal if the wish would not outlive this process."""
        by, why = (str(request.get(name) or "")[: wish_file.MAX_TEXT] for name in ("by", "why"))
        asked = events.OperatorAsked(mode, by, why)
        try:
            wish_file.save(self._config.state_directory, asked)
        except OSError as error:
            what = f"the wish cannot be written to {self._config.state_directory} ({error.strerror})"
            raise control.Refusal(what, "Make room or correct its rights: a restart would forget it") from error
        self._loop.feed(asked)
        return {}

    def _leaving(self) -> dict[str, object]:
        """How far a drain is: cheap enough to be asked often."""
        serving = self.agent.serving
        try:
            counted: Mapping[str, int] = self._kernel.counters()
        except DataPlaneError:
            counted = {}
        return {
            "wanted": serving.decision.wanted,
            "reasons": list(serving.decision.reasons),
            "announcement": serving.lease_state,
            "linger_s": serving.drain_s,
            **{f"tunnelled_{way}": counted.get(name) for way, name in TUNNELLED.items()},
        }

    def _revoke(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Raises: control.Refusal if there is nothing to revoke."""
        try:
            home_address = IPv6Address(str(request.get("home_address"))).packed
            bids = tuple(int(bid) for bid in request.get("bids") or ())
        except ValueError as error:
            raise control.Refusal(f"the request is not understood ({error})", "Name a home address and BIDs") from error
        record = self.agent.cache.records.get(home_address)
        live = record.live(time.monotonic()) if record else {}
        if not live or not all(bid in live for bid in bids):
            what = f"{request.get('home_address')} has no such binding here"
            raise control.Refusal(what, "See 'xsp-ha status' for those it has")
        self._loop.feed(events.RevokeAsked(home_address, bids))
        return {"revoked": len(bids or live)}


def run(config: Config, config_path: Path, journal_path: Path | None = None) -> None:
    """Run the daemon in the foreground; leaves with an exit status and two sentences if it cannot start."""
    if os.geteuid() != 0:
        exits.fail(
            "xsp-ha needs root to program tunnels and routes", f"Run: sudo xsp-ha --config {config_path}", exits.MISSING
        )
    try:
        asyncio.run(_run(config, journal_path))
    except DataPlaneError as error:
        remedy = "Correct the configuration or the machine; README.md names what is needed"
        exits.fail(f"the data plane cannot be set up: {error}", remedy, exits.MISSING)
    except control.Unreachable as error:
        control_taken(error)


async def _run(config: Config, journal_path: Path | None) -> None:
    try:
        daemon = Daemon(config, journal_path)
    except OSError as error:
        what = f"the journal {journal_path} cannot be opened ({error.strerror})"
        exits.fail(what, "Name a file in a folder that is there", exits.MISSING)
    await daemon.run()
