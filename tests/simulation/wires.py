"""TCP between the sites as `ha.peerlink` uses it: ordered, but what is under way is lost with the connection.

Owns for each ordered pair of sites two streams that the first dials (HELLO, changes), and when they open and break.
Octets are those of `ha.frames`. A path that is cut loses nothing at once: TCP sends again when it heals, and gives up
when it was silent for too long.
"""

import random
from collections import deque
from typing import TYPE_CHECKING

from ha import frames
from ha.events import (
    DigestReceived,
    HelloReceived,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    RecordsAcknowledged,
    RecordsReceived,
    RepairAsked,
)
from ha.frames import Hello, Identify, StateDigest, StateRepairRequest, StateSyncAck, StateSyncReply, StateSyncRequest
from tests.simulation.schedule import Schedule

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

PATIENCE_S = {"hello": 0.5, "changes": 3.0}  # RFC 5482 user timeouts of `ha.peerlink`
PAUSE_MAX_S = {"hello": 0.2, "changes": 1.0}  # between two tries to dial
SILENCE_MAX_S = 3.0  # of HELLO, then the listener closes


class Wire:
    """The path between two sites. `delay_s` one way; `cuts`: how many faults hold it cut now."""

    def __init__(self, ends: "tuple[Machine, Machine]", delay_s: float, jitter_s: float) -> None:
        self.ends = ends
        self.delay_s, self.jitter_s = delay_s, jitter_s
        self.cuts = 0

    def carries(self) -> bool:
        """Do packets pass?"""
        return not self.cuts and self.ends[0].powered and self.ends[1].powered


class Stream:
    """One connection that `dialer` keeps to `listener`, life after life. `opened_at`: when the last one began."""

    def __init__(
        self, dialer: "Machine", listener: "Machine", carries: str, wire: Wire, schedule: Schedule, seed: str
    ) -> None:
        self.dialer, self.listener, self.carries, self.wire = dialer, listener, carries, wire
        self.is_open = False
        self.opened_at = 0.0
        self._schedule = schedule
        self._random = random.Random(f"{seed} {dialer.name} {listener.name} {carries}")
        self._life = 0
        self._queues: tuple[deque[bytes], deque[bytes]] = (deque(), deque())  # to the listener, to the dialer
        self._due = [0.0, 0.0]
        self._missed = [0, 0]
        self._identity: Identify | None = None

    # -- life

    def dial(self) -> None:
        """Try to open it after a pause; whoever removes an obstacle calls this again."""
        self._schedule.after(self._random.random() * PAUSE_MAX_S[self.carries], self._open)

    def _open(self) -> None:
        possible = self.dialer.runs() and self.listener.agent is not None and self.wire.carries()
        if self.is_open or not possible:
            return
        self.is_open = True
        self.opened_at = self._schedule.now
        self._life += 1
        assert self.dialer.agent is not None  # it runs
        incarnation = self.dialer.agent.replication.incarnation
        self.send(
            0, frames.encode(Identify(frames.LOWEST, frames.HIGHEST, self.dialer.name, incarnation, self.carries))
        )

    def break_(self) -> None:
        """The connection is gone, with all that was under way; the dialer notices and dials again."""
        if not self.is_open:
            return
        self.is_open = False
        self._life += 1
        self._identity = None
        for queue in self._queues:
            queue.clear()
        self._missed = [0, 0]
        if self.carries == "changes":
            self.dialer.feed(PeerUnreachable(self.listener.name))
        self.dial()

    def healed(self) -> None:
        """The wire carries again: what waits is sent again, or a new connection is made."""
        if not self.is_open:
            self.dial()
            return
        for way in (0, 1):
            again_s = self._random.random() * 0.2
            for _ in range(self._missed[way]):
                self._schedule.after(again_s + self.wire.delay_s, self._arrive, way, self._life)
            self._missed[way] = 0

    def waiting(self) -> int:
        """How many frames are on their way, either way."""
        return sum(len(queue) for queue in self._queues)

    # -- octets

    def send(self, way: int, octets: bytes) -> None:
        """Send to the listener (0) or to the dialer (1)."""
        if not self.is_open:
            return
        self._queues[way].append(octets)
        due = self._schedule.now + self.wire.delay_s + self._random.random() * self.wire.jitter_s
        self._due[way] = due = max(due, self._due[way])
        self._schedule.at(due, self._arrive, way, self._life)

    def _arrive(self, way: int, life: int) -> None:
        if life != self._life:
            return
        if not self.wire.carries():
            self._missed[way] += 1
            if way == 0 and self._missed[0] == 1:
                self._schedule.after(PATIENCE_S[self.carries], self._lose_patience, life)
            return
        octets = self._queues[way].popleft()
        (self.listener if way == 0 else self.dialer).receive(self, way, octets)

    def _lose_patience(self, life: int) -> None:
        if life == self._life and self._missed[0]:
            self.break_()

    def read(self, way: int, octets: bytes) -> None:
        """A frame has reached the process at the end of this way."""
        frame = frames.decode(octets[4:])
        peer = self.dialer.name if way == 0 else self.listener.name
        match frame:
            case Identify():
                self._identity = frame
                if self.carries == "changes":
                    self.listener.feed(PeerIdentified(peer, frame.incarnation))
            case Hello():
                self.listener.feed(HelloReceived(peer, frame))
            case StateSyncReply():
                if self._identity is not None:
                    self.listener.feed(RecordsReceived(peer, self._identity.incarnation, frame))
            case StateSyncRequest(incarnation, since):
                self.dialer.feed(PeerAsked(peer, incarnation, since))
            case StateSyncAck():
                self.dialer.feed(RecordsAcknowledged(peer, frame))
            case StateDigest():
                self.listener.feed(DigestReceived(peer, frame))
            case StateRepairRequest():
                self.dialer.feed(RepairAsked(peer, frame))
