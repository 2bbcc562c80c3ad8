"""Home agents of a set, joined by streams in memory; what the home agents' network does is done by hand."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ha.effects import (
    AcknowledgeRecords,
    AskForRecords,
    AskForRepair,
    Effect,
    SendBindingAck,
    SendDigest,
    SendRecords,
)
from ha.events import (
    DigestReceived,
    Event,
    HelloReceived,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    RecordsAcknowledged,
    RecordsReceived,
    RepairAsked,
    TimeReached,
)
from ha.frames import Hello
from ha.site import Topology
from tests.ha.cast import POLICY, Site

NAMES = ("site1", "site2", "site3")
MESH = {name: Topology(tuple(other for other in NAMES if other != name)) for name in NAMES}


def star(reflectors: Sequence[str], clients: Sequence[str]) -> dict[str, Topology]:
    """Clients that know reflectors alone; these know everybody."""
    names = (*reflectors, *clients)
    made = {
        name: Topology(tuple(one for one in names if one != name), frozenset(reflectors) - {name}, reflects=True)
        for name in reflectors
    }
    for name in clients:
        beyond = tuple(one for one in clients if one != name)
        made[name] = Topology(tuple(reflectors), frozenset(reflectors), beyond)
    return made


class Mesh:
    """Sites joined by streams in memory: each is in order, any can be cut with what is under way lost.

    `idle`: sites that are reflectors and no home agents: they have no customer table and no kernel.
    """

    def __init__(
        self, acknowledge: str = "any", topologies: Mapping[str, Topology] = MESH, idle: Sequence[str] = ()
    ) -> None:
        self.names = tuple(topologies)
        self.topologies = topologies
        policies = {name: replace(POLICY, site=name, acknowledge=acknowledge) for name in self.names}
        self.sites = {
            name: Site(policies[name], topology=topologies[name], serves=name not in idle) for name in self.names
        }
        self.streams: dict[tuple[str, str], deque[Event]] = {}
        self.acks: list[tuple[str, SendBindingAck]] = []

    def join(self, sender: str, receiver: str, now: float) -> None:
        """The stream for `sender`'s changes comes up; nothing of an earlier one arrives any more."""
        self.streams[sender, receiver] = deque()
        self.streams[receiver + "*", sender] = deque()
        self.feed(receiver, PeerIdentified(sender, 1), now)

    def gone(self, sender: str, now: float) -> None:
        """A site dies, with all that was under way from it and to it."""
        for receiver in self.topologies[sender].peers:
            self.cut(sender, receiver, now)
            self.cut(receiver, sender, now)

    def cut(self, sender: str, receiver: str, now: float) -> None:
        self.streams.pop((sender, receiver), None)
        self.streams.pop((receiver + "*", sender), None)
        self.feed(sender, PeerUnreachable(receiver), now)

    def feed(self, name: str, event: Event, now: float) -> None:
        for effect in self.sites[name].feed(event, now):
            self._carry(name, effect)

    def _carry(self, name: str, effect: Effect) -> None:
        match effect:
            case SendRecords(site, frame) if (name, site) in self.streams:
                self.streams[name, site].append(RecordsReceived(name, 1, frame))
            case SendDigest(site, frame) if (name, site) in self.streams:
                self.streams[name, site].append(DigestReceived(name, frame))
            case AskForRepair(site, frame) if (name + "*", site) in self.streams:
                self.streams[name + "*", site].append(RepairAsked(name, frame))
            case AskForRecords(site, incarnation, since) if (name + "*", site) in self.streams:
                self.streams[name + "*", site].append(PeerAsked(name, incarnation, since))
            case AcknowledgeRecords(site, ack) if (name + "*", site) in self.streams:
                self.streams[name + "*", site].append(RecordsAcknowledged(name, ack))
            case SendBindingAck():
                self.acks.append((name, effect))

    def say_hello(self, now: float) -> None:
        """Every site tells its peers that it lives and forwards, and reflectors what they heard."""
        for _ in range(2):  # what clients say, and then that reflectors heard it
            for sender, site in self.sites.items():
                serving = site.agent.serving
                clock, others = site.agent.state.clock(now), serving.heard(now)
                hello = Hello(clock, "ANNOUNCED", "announced", serving.reconciled, 0, others=others)
                for receiver in self.topologies[sender].peers:
                    if (sender, receiver) in self.streams:
                        self.feed(receiver, HelloReceived(sender, hello), now)

    def tick(self, now: float) -> None:
        """Time passes everywhere."""
        for name in self.names:
            self.feed(name, TimeReached(), now)

    def step(self, stream: tuple[str, str], now: float) -> None:
        if self.streams.get(stream):
            self.feed(stream[1], self.streams[stream].popleft(), now)

    def settle(self, now: float) -> None:
        while any(self.streams.values()):
            for stream in list(self.streams):
                self.step(stream, now)

    def join_all(self, now: float) -> None:
        for sender in self.names:
            for receiver in self.topologies[sender].peers:
                self.join(sender, receiver, now)
        self.settle(now)
