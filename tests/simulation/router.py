"""A mobile router with its lines: what `mr.daemon` does around `MobileRouter`. Its kernel takes everything.

What the kernel took is not reported: the mobile router changes nothing by that, and it costs a third of the time here.
"""

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from dataplane.entry import Prefix
from ha.record import PLAIN_BID
from mip6 import header, packet
from mip6.auth import SecurityAssociation
from mip6.messages import BindingAck, BindingError, BindingRefreshRequest, BindingRevocation, Heartbeat
from mip6.numbers import ROUTING_HEADER
from mr.binding_update import signed_heartbeat, signed_packet
from mr.events import (
    BindingAckReceived,
    BindingErrorReceived,
    ClockObserved,
    Event,
    HeartbeatReceived,
    RefreshRequested,
    RevocationReceived,
    SendBindingUpdate,
    SendHeartbeat,
    SendRevocationAck,
    Started,
    StopRequested,
    StoreTimestamp,
    TimeReached,
    UplinkChanged,
)
from mr.mobile_router import MobileRouter
from mr.settings import LineSettings, Settings
from tests.simulation.foreign import Foreign
from tests.simulation.internet import HOME_AGENT
from tests.simulation.schedule import NEVER, ROUNDING_S, UNIX

if TYPE_CHECKING:
    from tests.simulation.world import World

CLOCK_CHECK_S = 1.0
CLOCK_STEP_S = 0.5
STOPPED_S = 2.4  # a stop waits 2 s for its acknowledgement
ROAMING_BIDS = 24  # of a router whose lines change them


class Line:
    """One line: its place among the others, its BID now, at which ISP, whether it is up, its care-of address now."""

    def __init__(self, place: int, isp: int) -> None:
        self.place, self.bid, self.isp, self.up = place, place, isp, True
        self.renumbered = 0
        self.care_of = b""
        self.gateway = b""


class Router:
    """One mobile router. `core` None: the process is not there."""

    def __init__(
        self,
        world: "World",
        number: int,
        home: bytes,
        mnp: Prefix,
        key: SecurityAssociation,
        isps: list[int],
        life_s: int,
        manners: str,
    ) -> None:
        self.world, self.number, self.name, self.home, self.key = world, number, f"mr{number}", home, key
        self.is_roaming, self.is_foreign = manners == "roaming", manners.startswith("foreign")
        self._schedule = world.schedule
        self._random = random.Random(f"{world.seed} {self.name}")
        self.lines = [Line(place, isp) for place, isp in enumerate(isps, start=1)]
        self.bids = range(1, (ROAMING_BIDS if self.is_roaming else len(isps)) + 1)
        settings = tuple(LineSettings(bid, f"line{bid}", f"line{bid}", 1, 0, None) for bid in self.bids)
        self.settings = Settings(home, HOME_AGENT, (mnp,), False, life_s, self.name.encode(), settings)
        self.core: MobileRouter | None = None
        self.skew_s = 0.0
        self.disk = 0
        self.sent = 0  # Binding Updates
        self.vanished = False
        self._base = self._random.uniform(1.0, 100_000.0)
        self._lives = 0
        self._foreign = Foreign(self.settings, key)
        for line in self.lines:
            self._number_line(line)

    def now(self) -> float:
        """Its monotonic clock."""
        return self._schedule.now + self._base

    def _offset_s(self) -> float:
        return UNIX + self.skew_s - self._base

    # -- the process

    def start(self) -> None:
        """The router boots."""
        if self.core is not None or self.vanished:
            return
        self._lives += 1
        self._timer_at = NEVER
        self.core = MobileRouter(self.settings, self.key, self._random.random)
        for line in self.lines:
            self._report(line)
        self._observed_s = self._offset_s()
        self.world.watch.lockout.is_untold(self)
        self.feed(Started(self._observed_s, self.disk))
        self._schedule.after(CLOCK_CHECK_S, self._check_clock, self._lives)

    def crash(self, disk: bool) -> None:
        """The process is gone; without `disk` so is its last timestamp."""
        self.core = None
        if not disk:
            self.disk = 0

    def stop(self) -> None:
        """It takes leave: its process deregisters all, and ends."""
        self.feed(StopRequested())
        life = self._lives
        self._schedule.after(STOPPED_S, lambda: self.crash(disk=True) if life == self._lives else None)

    def vanish(self) -> None:
        """Gone for ever, lines and all."""
        self.vanished = True
        self.core = None
        for line in self.lines:
            self.lose_line(line.place)

    def _check_clock(self, life: int) -> None:
        if life != self._lives or self.core is None:
            return
        self._schedule.after(CLOCK_CHECK_S, self._check_clock, life)
        offset_s = self._offset_s()
        if abs(offset_s - self._observed_s) > CLOCK_STEP_S:
            self._observed_s = offset_s
            self.feed(ClockObserved(offset_s))

    # -- the lines

    def lose_line(self, place: int) -> None:
        """The cable is pulled."""
        line = self.lines[place - 1]
        if line.up:
            line.up = False
            self._withdraw(line)
            self._report(line)

    def regain_line(self, place: int) -> None:
        """The cable is back."""
        line = self.lines[place - 1]
        if not line.up and not self.vanished:
            line.up = True
            if self.is_roaming:
                self._change_bid(line)
            self._take(line)
            self._report(line)

    def _change_bid(self, line: Line) -> None:
        taken = {one.bid for one in self.lines}
        following = (*range(line.bid + 1, self.bids[-1] + 1), *self.bids)
        line.bid = next(bid for bid in following if bid not in taken)
        self.world.watch.lockout.is_untold(self)

    def renumber_line(self, place: int) -> None:
        """The ISP gives another address."""
        line = self.lines[place - 1]
        if line.up:
            self._withdraw(line)
        self._number_line(line)
        self._report(line)

    def _number_line(self, line: Line) -> None:
        line.renumbered += 1
        network = self.network(line)
        line.care_of = network + line.place.to_bytes(2, "big") + line.renumbered.to_bytes(6, "big")
        line.gateway = network + (1).to_bytes(8, "big")
        if line.up:
            self._take(line)

    def network(self, line: Line) -> bytes:
        """The first 64 bits of whatever address its ISP gives this router."""
        return bytes.fromhex("20010db8") + (line.isp + 1).to_bytes(2, "big") + self.number.to_bytes(2, "big")

    def _take(self, line: Line) -> None:
        self.world.internet.lines[line.care_of] = (self, line)
        self.world.watch.given_up.taken(line.care_of)

    def _withdraw(self, line: Line) -> None:
        self.world.internet.lines.pop(line.care_of, None)
        self.world.watch.given_up.withdrawn(self, line.care_of)

    def _report(self, line: Line) -> None:
        if self.core is not None:
            self.feed(UplinkChanged(line.bid, line.up, line.care_of, line.gateway))

    def believes(self) -> dict[int, bytes]:
        """What it says that the home agent holds of it: BID -> care-of address, verified ones only."""
        if self.core is None:
            return {}
        view = self.core.view(self.now())
        return {
            line.uplink.bid: line.uplink.care_of
            for line in view.lines
            if line.registered and (line.verified or self.is_foreign) and line.uplink.care_of is not None
        }

    def lines_up(self) -> dict[int, bytes]:
        """The truth about its lines, those that it should have registered: BID -> care-of address."""
        up = {line.bid: line.care_of for line in self.lines if line.up}
        return dict([min(up.items())]) if up and self._is_plain() else up

    def bound(self) -> dict[int, bytes]:
        """The same as a home agent should have it: what was registered without a BID is BID 0."""
        up = self.lines_up()
        return dict.fromkeys([PLAIN_BID], *up.values()) if up and self._is_plain() else up

    def _is_plain(self) -> bool:
        return self.core is not None and self.core.view(self.now()).way == "plain"

    # -- events

    def receive_packet(self, octets: bytes) -> None:
        """A packet to one of its care-of addresses."""
        if self.core is None:
            return
        source, destination, body, home = octets[8:24], octets[24:40], octets[packet.IPV6_OCTETS :], None
        if octets[6] == ROUTING_HEADER:
            home, _, offset = packet.routing_header(body)
            body = body[offset:]
        message = header.decode(body, source, home or destination)
        match message:
            case BindingAck():
                self.world.watch.lockout.told(self, destination, message)
                if self.is_foreign:
                    message, body = self._foreign.vouched(message, source, destination)
                self.feed(BindingAckReceived(message, body, source, destination, home, 1))
            case Heartbeat():
                self.feed(HeartbeatReceived(message, body, source, destination))
            case BindingRevocation():
                self.feed(RevocationReceived(message, body, source, destination, home))
            case BindingError():
                self.feed(BindingErrorReceived(message, source))
            case BindingRefreshRequest():
                self.feed(RefreshRequested(source))

    def feed(self, event: Event) -> None:
        """One event into the mobile router, and its effects carried out."""
        if self.core is None:
            return
        for effect in self.core.handle(event, self.now()):
            match effect:
                case SendBindingUpdate():
                    self._update(effect)
                case SendHeartbeat() if not self.is_foreign:
                    self._send(effect.care_of, signed_heartbeat(effect, self.key))
                case SendRevocationAck():
                    self._send(effect.care_of, signed_packet(effect, self.key))
                case StoreTimestamp(timestamp):
                    self.disk = timestamp
        deadline = self.core.next_deadline()
        if deadline is not None and deadline - self._base + ROUNDING_S < self._timer_at:
            self._timer_at = deadline - self._base + ROUNDING_S
            self._schedule.at(self._timer_at, self._fire, self._lives, self._timer_at)

    def _update(self, effect: SendBindingUpdate) -> None:
        self.sent += 1
        octets = signed_packet(effect, self.key)
        if self.is_foreign:
            bare = self._foreign.bare(effect)
            effect, octets = replace(effect, message=bare), self._foreign.packet(effect, bare)
        self.world.watch.updated(self, effect)
        self._send(effect.care_of, octets)

    def _fire(self, life: int, at: float) -> None:
        if life == self._lives and at == self._timer_at and self.core is not None:
            self._timer_at = NEVER
            self.feed(TimeReached())

    def _send(self, care_of: bytes, octets: bytes) -> None:
        found = self.world.internet.lines.get(care_of)
        if found is not None:
            self.world.internet.to_home_agent(found[1].isp, octets)
