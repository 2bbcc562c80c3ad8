"""The mobile router's process: wires the pure part to the kernel, the raw sockets, the disk and the operator.

Owns start-up order, the signals and the effects; decides nothing about registrations. It starts without any usable
line and waits for one. A clean stop deregisters and takes everything of ours out of the kernel; a crash leaves the
kernel forwarding, and the next start takes over without a gap.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from dataplane.entry import RouterPlan
from dataplane.errors import DataPlaneError
from dataplane.port import RouterPlane
from dataplane.relay import ErrorRelay
from mip6 import header
from mip6.auth import SecurityAssociation
from mip6.errors import MalformedMessage
from mip6.messages import BindingAck, BindingError, BindingRefreshRequest, BindingRevocation, Heartbeat
from mip6.mhsocket import Datagram, MobilitySocket
from mr import line_sizes
from mr.binding_update import signed_heartbeat, signed_packet
from mr.config import Configuration, ConfigurationError, parse
from mr.events import (
    BindingAckReceived,
    BindingErrorReceived,
    BindingUpdateNotSent,
    ClockObserved,
    Count,
    Effect,
    Event,
    HeartbeatReceived,
    Leave,
    LinesReported,
    Note,
    RefreshRequested,
    RevocationReceived,
    RouterPlaneReported,
    SendBindingUpdate,
    SendHeartbeat,
    SendRevocationAck,
    SetHomeAgent,
    SetLines,
    SetUplinks,
    Started,
    StopRequested,
    StoreTimestamp,
    TimeReached,
)
from mr.line_sizes import LineSizes
from mr.linkwatch import LinkWatch
from mr.mobile_router import MobileRouter
from mr.settings import Settings
from runtime import control, log, notify, status
from runtime.counters import Counters
from runtime.loop import Loop

LOOK_EVERY_S = 1.0
CLOCK_STEP_S = 0.5  # NTP slews smaller differences, and the home agent allows seven seconds


class Daemon:
    """One running mobile router.

    Args:
        configuration: already checked.
        file: where it came from, to check it again on SIGHUP.
        association: the MN-HA key.
        plane: the kernel's side.
    """

    def __init__(
        self, configuration: Configuration, file: Path, association: SecurityAssociation, plane: RouterPlane
    ) -> None:
        self._configuration = configuration
        self._file = file
        self._association = association
        self._plane = plane
        self._counters = Counters()
        self._settings: Settings = configuration.settings()
        self._core = MobileRouter(self._settings, association, random.SystemRandom().random)
        self._loop: Loop[Event, Effect] = Loop(
            self._core, self._perform, TimeReached(), self._counters, configuration.state_directory / "poison"
        )
        self._left = asyncio.Event()
        self._clock_offset_s = _clock_offset_s()
        self._relay: ErrorRelay | None = None
        self._sizes = LineSizes(self._settings.lines)

    async def run(self) -> None:
        """Serve until a stop is asked for and done.

        Raises: DataPlaneError, OSError or control.Unreachable if the start-up fails.
        """
        configuration = self._configuration
        configuration.state_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        server = await control.serve(configuration.control_socket, {"status": self._status})
        try:
            _keep_router_advertisements(self._settings)
            self._plane.prepare(self._plan(self._settings.home_agent))
            self._mobility = MobilitySocket("mobile-router")
            self._watch = LinkWatch(self._settings.lines, self._loop.feed)
            relay = self._relay = ErrorRelay(None, self._plane.owns, line_sizes.tell)
            try:
                await self._serve(relay)
            finally:
                relay.close()
                self._watch.close()
                self._mobility.close()
        finally:
            server.close()
            configuration.control_socket.unlink(missing_ok=True)

    async def _serve(self, relay: ErrorRelay) -> None:
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, self._stop)
        running.add_signal_handler(signal.SIGHUP, self._check_file)
        for mobility_socket in self._mobility.sockets:
            running.add_reader(mobility_socket, self._receive, mobility_socket)
        running.add_reader(relay.socket, relay.relay)
        await self._watch.start()
        self._loop.feed(Started(self._clock_offset_s, self._load_timestamp()))
        running.call_later(LOOK_EVERY_S, self._look)
        notify.ready()
        await self._left.wait()
        self._loop.stop()
        for mobility_socket in self._mobility.sockets:
            running.remove_reader(mobility_socket)
        running.remove_reader(relay.socket)
        self._plane.purge()
        log.get().info("stopped")

    def _plan(self, home_agent: bytes) -> RouterPlan:
        return RouterPlan(
            self._settings.home_address,
            self._settings.prefixes,
            home_agent,
            self._configuration.lan_interface,
            self._configuration.line_mtu if self._configuration.clamp_mss else 0,
        )

    # -- events -------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        notify.stopping()
        self._loop.feed(StopRequested())

    def _check_file(self) -> None:
        """SIGHUP: say what a restart would make of the file. A restart without a stop (kill -9) loses no traffic."""
        try:
            parse(self._file.read_text(), self._file)
        except (ConfigurationError, OSError, UnicodeDecodeError) as error:
            log.get().error("configuration not usable, the old one runs on", problem=str(error))
        else:
            log.get().info("configuration is good; restart to use it")

    def _look(self) -> None:
        self._sizes.look()
        offset_s = _clock_offset_s()
        if abs(offset_s - self._clock_offset_s) > CLOCK_STEP_S:
            self._clock_offset_s = offset_s
            self._loop.feed(ClockObserved(offset_s))
        asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    def _receive(self, mobility_socket: Any) -> None:
        for datagram in self._mobility.receive(mobility_socket):
            self._take(datagram)

    def _take(self, datagram: Datagram) -> None:
        try:
            if datagram.error is not None:
                raise datagram.error
            # RFC 6275 6.1.1: the checksum covers the final destination, which the routing header names.
            message = header.decode(datagram.octets, datagram.source, datagram.home_address or datagram.destination)
        except MalformedMessage as malformed:
            self._counters.add("messages_malformed", malformed.reason)
            return
        octets, source, destination = datagram.octets, datagram.source, datagram.destination
        match message:
            case BindingAck():
                home, index = datagram.home_address, datagram.interface_index
                self._loop.feed(BindingAckReceived(message, octets, source, destination, home, index))
            case Heartbeat():
                self._loop.feed(HeartbeatReceived(message, octets, source, destination))
            case BindingRevocation():
                self._loop.feed(RevocationReceived(message, octets, source, destination, datagram.home_address))
            case BindingError():
                self._loop.feed(BindingErrorReceived(message, source))
            case BindingRefreshRequest():
                self._loop.feed(RefreshRequested(source))
            case _:
                self._counters.add("messages_ignored", type(message).__name__)

    # -- effects ------------------------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendBindingUpdate():
                self._send(effect)
            case SendHeartbeat():
                self._send_packet(signed_heartbeat(effect, self._association), effect.care_of, effect.interface)
            case SendRevocationAck():
                self._send_packet(signed_packet(effect, self._association), effect.care_of, effect.interface)
            case SetHomeAgent(home_agent):
                self._set_home_agent(home_agent)
            case SetLines(lines):
                try:
                    self._plane.set_lines(lines)
                except (DataPlaneError, OSError) as error:
                    self._loop.feed(LinesReported(lines, str(error)))
                else:
                    self._loop.feed(LinesReported(lines, None))
            case SetUplinks(uplinks):
                try:
                    self._plane.apply(uplinks)
                except (DataPlaneError, OSError) as error:
                    self._loop.feed(RouterPlaneReported(uplinks, str(error)))
                else:
                    self._loop.feed(RouterPlaneReported(uplinks, None))
            case StoreTimestamp(timestamp):
                self._store_timestamp(timestamp)
            case Count(name, label):
                self._counters.add(name, label)
            case Note(level, message, fields):
                getattr(log.get(), level)(message, **dict(fields))
            case Leave():
                self._left.set()

    def _send(self, update: SendBindingUpdate) -> None:
        packet = signed_packet(update, self._association)
        try:
            self._mobility.send(packet, update.care_of, self._watch.interface_index(update.interface))
        except OSError as error:
            self._loop.feed(BindingUpdateNotSent(update.message.sequence, error.strerror or str(error)))

    def _set_home_agent(self, home_agent: bytes) -> None:
        """What the kernel refuses here it refuses again when the lines are set, which is reported and repeated."""
        try:
            self._plane.prepare(self._plan(home_agent))
        except (DataPlaneError, OSError) as error:
            self._counters.add("home_agents_refused")
            log.get().error("kernel refused the home agent", reason=str(error))

    def _send_packet(self, packet: bytes, care_of: bytes, interface: str) -> None:
        """What gets lost here is sent again by its own clock."""
        try:
            self._mobility.send(packet, care_of, self._watch.interface_index(interface))
        except OSError as error:
            self._counters.add("packets_not_sent", error.strerror or "unknown")

    def _load_timestamp(self) -> int:
        try:
            return int(self._configuration.timestamp_file.read_text())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            log.get().warning("last timestamp not readable, starting without", reason=str(error))
            return 0

    def _store_timestamp(self, timestamp: int) -> None:
        """Atomic, but not forced to the disk: a power cut may cost the last seconds, for which 144 has a cure."""
        path = self._configuration.timestamp_file
        fresh = path.with_suffix(".new")
        try:
            fresh.write_text(f"{timestamp}\n")
            fresh.replace(path)
        except OSError as error:
            self._counters.add("timestamps_not_stored")
            log.get().error("last timestamp not stored", reason=str(error))

    # -- the operator -------------------------------------------------------------------------------------------

    def _plane_counters(self) -> dict[str, int]:
        try:
            return self._plane.counters() | (self._relay.counters() if self._relay else {})
        except DataPlaneError as error:
            log.get().error("data plane cannot be read", reason=str(error))
            return {}

    def _status(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        view = self._core.view(self._loop.now())
        uplinks = [
            {
                "bid": line.uplink.bid,
                "name": line.uplink.name,
                "interface": line.uplink.interface,
                "care_of": _text(line.uplink.care_of),
                "gateway": _text(line.uplink.gateway),
                "carrier": line.uplink.carrier,
                "state": line.state,
                "registered": line.registered,
                "verified": line.verified,
                "lifetime_left_s": line.lifetime_left_s,
            }
            for line in view.lines
        ]
        return status.document(
            program="xsp-mr",
            instance=self._configuration.instance,
            state=view.state,
            since_s=view.since_s,
            reasons=[*view.reasons, *self._sizes.reasons(self._relay.narrow_lines() if self._relay else ())],
            counters=self._counters.as_dict() | self._plane_counters(),
            healthy=view.healthy,
            sections={
                "home_address": str(self._configuration.home_address),
                "home_agent": _text(view.home_agent),
                "registering": view.way,
                "pid": os.getpid(),
                "uplinks": uplinks,
            },
        )


def _keep_router_advertisements(settings: Settings) -> None:
    """A router ignores Router Advertisements unless told otherwise (ip-sysctl: accept_ra 2); a line may need them."""
    for line in settings.lines:
        path = Path("/proc/sys/net/ipv6/conf") / line.interface / "accept_ra"
        try:
            if path.read_text().strip() == "1":
                path.write_text("2\n")
        except OSError as error:
            log.get().warning("accept_ra not set", interface=line.interface, reason=str(error))


def _text(address: bytes | None) -> str | None:
    return None if address is None else str(IPv6Address(address))


def _clock_offset_s() -> float:
    return time.time() - Loop.now()
