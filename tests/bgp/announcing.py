"""Three sites as far as announcing goes: readiness, speaker and fellows unchanged, on a clock of the test's own.

What is real: `ha.readiness`, `ha.serving`, `bgp.speaker`, `bgp.hold_down`, `bgp.fellows`. What is played: the processes
(killed, started), the kernel's verdicts, the operator, and the network between the sites, which delays and cuts.
ExaBGP obeys at once. What a site's supervisor tells the others is as old as the real one allows itself.
"""

import random
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import combinations

from bgp.events import (
    AskNeighbours,
    AskRoutes,
    CommandAnswered,
    Event,
    HolderLost,
    LeaseRenewed,
    Note,
    OthersHeard,
    Session,
    TimeReached,
    Wanted,
)
from bgp.fellows import SAY_S, VOUCH_S, Fellows, Said
from bgp.hold_down import HoldDown
from bgp.route import GRACEFUL_SHUTDOWN, Announce, Prefix, Route, Terms, Withdraw
from bgp.speaker import Speaker
from bgp.states import State
from ha.frames import Hello
from ha.readiness import SERVE, Mode, Wish
from ha.serving import Serving
from ha.site import Topology
from ha.undo import Undo
from mip6 import ntp

STEP_S = 0.05
TICK_S = 0.1
START_S = 1.0  # of a home agent
ORPHAN_HOLD_S = 300.0
HOLD_DOWN_MAX_S = 8.0
AGGREGATE = ip_network("2001:db8:f000::/36")
ISP = "2001:db8:1:a::1"
ROUTES = (Route(AGGREGATE),)
SITES = ("site1", "site2", "site3")
HARD = ("egress", "data plane", "self-test")  # what each alone makes a site lose packets
UNIX = 1_800_000_000.0


@dataclass
class HomeAgent:
    """One life of a home agent, as far as readiness goes."""

    serving: Serving
    ready_at: float
    next_tick: float
    clock_off_s: float = 0.0
    hangs: bool = False  # stopped, its connections open


@dataclass
class Site:
    """What stands at one site."""

    name: str
    speaker: Speaker
    fellows: Fellows
    agent: HomeAgent | None
    rib: dict[Prefix, Route] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # of HARD
    linger_s: float = 0.0  # that of the last renewal
    wish: Wish = SERVE
    number: int = 0
    told_at: float = 0.0
    renewed_at: float = float("-inf")
    bridge_at: float = float("-inf")  # when its bridge was started
    announced_at: float = float("-inf")  # the last time that its supervisor could see it announced
    hard_since: float | None = None
    hard_at: float = float("-inf")  # the last time that it had a hard reason
    preferred_at: float = float("-inf")  # the last time that its route was there without GRACEFUL_SHUTDOWN
    down_at: float = float("-inf")  # the last time that it was not really announced
    unfit_at: float = float("-inf")  # the last time that its home agent could not do what it is asked


class World:
    """Three sites, and what lies between them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.sites: dict[str, Site] = {}
        self.cut: set[frozenset[str]] = set()  # pairs of sites that do not hear each other
        self.delay_s = self.random.choice((0.0, 0.05, 0.2))
        self.mrai_s = self.random.choice((0.0, 2.0))
        self.vouch_s = self.random.choice((0.0, VOUCH_S))  # a busy supervisor tells what was so a while ago
        self.posts: list[tuple[float, str, str, object]] = []
        self.cut_at = dict.fromkeys(map(frozenset, combinations(SITES, 2)), self.now)  # when each pair was last cut
        for name in SITES:
            self.sites[name] = Site(name, self.speaker(), Fellows(set(SITES) - {name}), None)
            self.sites[name].told_at = self.now - self.random.random() * SAY_S
            self.start(name)

    # -- what may happen

    def speaker(self) -> Speaker:
        return Speaker((AGGREGATE,), (Terms(ISP, 64501),), self.now, ORPHAN_HOLD_S, HoldDown(HOLD_DOWN_MAX_S))

    def start(self, name: str) -> None:
        site = self.sites[name]
        if site.agent is not None:
            site.agent.hangs = False
        else:
            others = Topology(tuple(other for other in SITES if other != name))
            serving = Serving(name, others, self.now, self.mrai_s, ORPHAN_HOLD_S, 300.0)
            serving.recovered = True
            site.agent = HomeAgent(serving, self.now + START_S, self.now + self.random.random() * TICK_S)
            serving.operator_asked(site.wish, Undo())

    def kill(self, name: str) -> None:
        site = self.sites[name]
        if site.agent is not None:
            site.agent = None
            self.feed(site, HolderLost())

    def hang(self, name: str) -> None:
        """Nobody hears that it ended: only its lease does."""
        agent = self.sites[name].agent
        if agent is not None:
            agent.hangs = True

    def crash(self, name: str) -> None:
        """Home agent and bridge at once: the new bridge finds routes, and never had a holder."""
        self.sites[name].agent = None
        self.kill_bridge(name)

    def kill_bridge(self, name: str) -> None:
        """ExaBGP starts a new one at once; what the old one announced stays for one lease."""
        site = self.sites[name]
        site.speaker, site.bridge_at = self.speaker(), self.now
        self.feed(site, TimeReached())

    def break_(self, name: str, part: str) -> None:
        """From now on what comes to the site is lost there."""
        site = self.sites[name]
        site.hard_since = site.hard_since if site.broken else self.now
        site.broken.add(part)

    def mend(self, name: str, part: str) -> None:
        """Only when the last is mended it is fit again."""
        site = self.sites[name]
        site.broken.discard(part)
        site.hard_since = site.hard_since if site.broken else None

    def ask(self, name: str, mode: Mode) -> None:
        """An operator's wish; nobody is there to hear it if the home agent does not run."""
        site = self.sites[name]
        if site.agent is not None and not site.agent.hangs:
            site.agent.serving.operator_asked(Wish(mode, self.now), Undo())
            site.wish = site.agent.serving.wish

    # -- time

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += STEP_S
            self.cut_at.update(dict.fromkeys(self.cut, self.now))
            self._deliver()
            for site in self.sites.values():
                self._site_turn(site)

    def _site_turn(self, site: Site) -> None:
        agent = site.agent
        if agent is not None and not agent.hangs and self.now >= agent.next_tick:
            agent.next_tick = self.now + TICK_S
            self._tick(site, agent)
        if site.broken:
            site.hard_at = self.now
        if agent is None or agent.hangs or self.now < agent.ready_at:
            site.unfit_at = self.now
        if any(GRACEFUL_SHUTDOWN not in route.communities for route in site.rib.values()):
            site.preferred_at = self.now
        if site.speaker.state is State.ANNOUNCED and site.rib:
            site.announced_at = self.now
        else:
            site.down_at = self.now
        if self.now >= site.told_at + SAY_S:
            site.told_at, site.number = site.told_at + SAY_S, site.number + 1
            announces = self.now - site.announced_at <= self.vouch_s
            self._send(site, Said(site.name, site.number, UNIX + self.now, announces))
            self.feed(site, OthersHeard(site.fellows.said_s_ago(self.now)))
        self.feed(site, TimeReached())

    def _tick(self, site: Site, agent: HomeAgent) -> None:
        serving, undo = agent.serving, Undo()
        if self.now >= agent.ready_at:
            serving.reconciled = True
            serving.data_plane("egress" not in site.broken, "data plane" not in site.broken, undo)
            serving.self_tested("nothing came back" if "self-test" in site.broken else None, undo)
        serving.lease_answered(str(site.speaker.state), 1, self.now, undo)
        serving.decide([], frozenset(), frozenset(), self.now, undo)
        clock = ntp.to_timestamp(UNIX + self.now + agent.clock_off_s)
        self._send(site, Hello(clock, serving.state, serving.announcing(self.now), serving.reconciled, 0))
        for renewal in serving.renewals():
            site.renewed_at, site.linger_s = self.now, renewal.linger_ms / 1000
            self.feed(site, LeaseRenewed(Wanted(renewal.wanted), renewal.reason, renewal.linger_ms, ROUTES))

    # -- between the sites

    def _send(self, site: Site, what: object) -> None:
        for other in SITES:
            if other != site.name:
                self.posts.append((self.now + self.delay_s, site.name, other, what))

    def _deliver(self) -> None:
        due = [post for post in self.posts if post[0] <= self.now]
        self.posts = [post for post in self.posts if post[0] > self.now]
        for _, sender, receiver, what in due:
            site = self.sites[receiver]
            if frozenset((sender, receiver)) in self.cut:
                continue
            if isinstance(what, Said):
                site.fellows.take(what, UNIX + self.now, self.now)
            elif isinstance(what, Hello) and site.agent is not None and not site.agent.hangs:
                clock = ntp.to_timestamp(UNIX + self.now + site.agent.clock_off_s)
                site.agent.serving.hello(sender, what, clock, self.now, Undo())

    # -- ExaBGP

    def feed(self, site: Site, event: Event) -> None:
        effects = site.speaker.handle(event, self.now)
        while commands := [effect for effect in effects if not isinstance(effect, Note)]:
            effects = site.speaker.handle(self._obey(site, commands[0]), self.now)

    def _obey(self, site: Site, command: object) -> CommandAnswered:
        match command:
            case Announce(route=route):
                site.rib[route.prefix] = route
            case Withdraw(prefix=prefix):
                site.rib.pop(prefix, None)
            case AskNeighbours():
                return CommandAnswered(True, sessions=(Session(ISP, "established", 7.0, 64500),))
            case AskRoutes():
                return CommandAnswered(True, rib={ISP: tuple(map(str, site.rib))})
        return CommandAnswered(True)
