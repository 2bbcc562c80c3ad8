"""Any site is killed, stopped or cut off at any moment: no acknowledged binding is lost, no packet after the shift.

Real processes; between the sites 80 ms there and back and one packet in a hundred lost. Twenty routers register and
change lines all the time (`tests/topology/roamers.py`), beside the one that carries a probe every 2 ms each way.

At each moment everybody stops changing, and the survivors are given two digest periods and a second to hold exactly
what was acknowledged: nobody registers meanwhile, so nothing can be put right by accident. An acknowledgement that the
failing site gave alone and counted as degraded promises nothing. Then everybody goes on, the site comes back, which
costs no packet, and it must come to hold the same as the others. In full mesh and in a star, whose reflector fails like
a site (then nobody can agree until it is back). Moments: 3 in each, or `--moments N`, others with `--moments-seed N`.
"""

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from ha.repair import DIGEST_EVERY_S
from lab import build, distance
from lab import ledger as books
from lab.build import Ready
from lab.engine import GRACEFUL_SHUTDOWN
from lab.lab import Lab
from lab.ledger import Ledger
from lab.poll import wait_until
from lab.scenario import Expectation, ProbeStream, Step
from lab.topology import SITES, locator
from runtime import control
from tests.topology import roamers
from tests.topology.roamers import Roamers

DELAY_MS, LOSS = 40.0, 0.01  # one way
TO_AGREE_S = 2 * DIGEST_EVERY_S + 1.0
RELAXED = 3.0  # as all lab tests, for busy machines
# What is done, how it is undone, and how long packets may go astray (the failover table).
DEEDS = {"kill": ("start", 0.45), "stop": ("cont", 0.45), "cut": ("restore", 0.3)}
RETURN_S, ARRIVAL_S, RECENT_S = 60.0, 0.3, 0.3
DOWN_S, BETWEEN_S = (0.2, 2.0), (0.2, 2.0)

pytestmark = [pytest.mark.netns]


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs; `compared`: how many routers were compared with the kernels, each time."""

    ready: Ready
    ledger: Ledger
    crowd: Roamers
    compared: list[int] = field(default_factory=list)

    @property
    def lab(self) -> Lab:
        """The lab."""
        return self.ready.lab


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A lab with long ways between its sites, probes both ways and twenty restless routers."""
    seed = request.config.getoption("--moments-seed")

    def prepare(lab: Lab) -> None:
        roamers.prepare(lab)
        distance.put(lab, DELAY_MS, LOSS, seed)

    with Lab(request.param) as lab:
        ready = build.raise_up(lab, lambda text: None, lambda text: None, prepare=prepare)
        prober = build.prober(lab, (ProbeStream("cn1", "lan1", 500.0), ProbeStream("lan1", "cn1", 500.0)))
        crowd = Roamers(lab, seed)
        prober.start()
        crowd.start()
        try:
            yield Stage(ready, prober.ledger, crowd)
        finally:
            crowd.stop()
            prober.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    moments = metafunc.config.getoption("--moments")
    metafunc.parametrize("stage", ("reference", "star"), indirect=True)
    metafunc.parametrize("moments", [pytest.param(moments, marks=pytest.mark.timeout(120 + 60 * moments))])


def test_no_acknowledged_binding_is_lost_and_no_packet_beyond_the_shift(
    stage: Stage, moments: int, request: pytest.FixtureRequest
) -> None:
    draw = random.Random(request.config.getoption("--moments-seed"))
    wait_until(lambda: at_rest(stage), RETURN_S)
    wrong: list[str] = []
    for moment in range(moments):
        site = draw.choice((*SITES, *stage.lab.network.topology.hubs))
        deed = draw.choice(sorted(DEEDS))
        complaints = play(stage, site, deed, draw)
        wrong += [f"moment {moment + 1}, {deed} {site}: {one}" for one in complaints]
        found = f"{complaints or 'nothing lost'} of {stage.compared[-2:]} routers"
        print(f"moment {moment + 1} of {moments}: {deed} {site}: {found}", flush=True)
    assert stage.crowd.answers > 10 * moments, "the routers hardly registered"
    assert sum(stage.compared) > len(roamers.ROUTERS) / 2 * len(stage.compared), "hardly a router was compared"
    assert wrong == []


def play(stage: Stage, site: str, deed: str, draw: random.Random) -> list[str]:
    """One moment; what was wrong."""
    others = tuple(one for one in SITES if one != site)
    began, degraded = time.monotonic(), acknowledged_alone(stage.lab)
    time.sleep(draw.uniform(*BETWEEN_S))
    alone = acknowledged_alone(stage.lab)[site] > degraded[site]
    stage.crowd.rest()
    at = stage.ready.hands.do(Step(0.0, deed, (site,), Expectation()))
    complaints = lost(stage, others, doubtful_since=began if alone else at) if site in SITES else []
    stage.crowd.go_on()
    time.sleep(draw.uniform(*DOWN_S))
    complaints += astray(stage, site, deed, at)
    back = stage.ready.hands.do(Step(0.0, DEEDS[deed][0], (site,), Expectation()))
    wait_until(lambda: at_rest(stage), RETURN_S)
    complaints += strayed_again(stage, max(back, at + RELAXED * DEEDS[deed][1]))
    stage.crowd.rest()
    complaints += lost(stage, SITES, doubtful_since=time.monotonic())
    stage.crowd.go_on()
    if stage.crowd.refused:
        complaints.append(f"routers were refused: {stage.crowd.refused}")
        stage.crowd.refused.clear()
    return complaints


def lost(stage: Stage, sites: tuple[str, ...], doubtful_since: float) -> list[str]:
    """What these sites' kernels lack, or hold although it is not so any more, when they had the time to agree.

    Routers that still wait for an answer are left out, and those that were answered after `doubtful_since`.
    """
    wrong: list[str] = []
    deadline = time.monotonic() + TO_AGREE_S
    while True:
        known = {
            f"{one.number:x}": {socket.inet_ntop(socket.AF_INET6, care_of) for care_of in one.acknowledged}
            for one in stage.crowd.settled().values()
            if one.acknowledged_at < doubtful_since
        }
        held = {site: roamers.in_kernel(stage.lab, site) for site in sites}
        wrong = [
            f"{site} forwards router {number} to {sorted(held[site].get(number, ()))}, acknowledged is {sorted(wanted)}"
            for number, wanted in known.items()
            for site in sites
            if held[site].get(number, set()) != wanted
        ]
        if not wrong or time.monotonic() > deadline:
            stage.compared.append(len(known))
            return wrong
        time.sleep(0.1)


def astray(stage: Stage, site: str, deed: str, at: float) -> list[str]:
    """Probes that were lost later than their flow's shift, and shifts that took too long."""
    time.sleep(ARRIVAL_S)
    end = time.monotonic() - ARRIVAL_S
    complaints = []
    for direction in stage.ledger.directions:
        shift = books.away_from(stage.ledger, direction, (site,), at, end)
        if shift.lost_outside:
            complaints.append(f"{direction}: {shift.lost_outside} probes were lost outside the shift")
        allowed_s = RELAXED * DEEDS[deed][1]
        took_s = end - at if shift.shift_s is None else shift.shift_s  # who is back so soon need not have shifted
        if shift.affected and took_s > allowed_s:
            complaints.append(f"{direction}: the shift took {shift.shift_s} s, allowed are {allowed_s:.2f}")
    return complaints


def strayed_again(stage: Stage, back: float) -> list[str]:
    """Probes that were lost since then, although a site that comes back costs nobody a packet."""
    end = time.monotonic() - ARRIVAL_S
    lost = {
        direction: sum(probe.received_at is None for probe in stage.ledger.between(back, end, direction))
        for direction in stage.ledger.directions
    }
    return [f"{direction}: {count} probes were lost when it came back" for direction, count in lost.items() if count]


def acknowledged_alone(lab: Lab) -> Counter[str]:
    """How often each site answered a router without another site, by its own count."""
    found: Counter[str] = Counter()
    for site in SITES:
        counters = control.ask(lab.layout.run_root / site / "control-ha.sock", "status", brief=True)["counters"]
        found[site] = sum(count for name, count in counters.items() if name.startswith("acknowledged_degraded"))
    return found


def at_rest(stage: Stage) -> str | None:
    """What is not as at the start: every site preferred by its own ISP, probes arriving both ways."""
    for site in SITES:
        rib = stage.lab.seen_from(site)
        if rib.neighbour != locator(site) or GRACEFUL_SHUTDOWN in rib.offers[locator(site)]:
            return f"{site} is not announced"
    now = time.monotonic()
    for direction in stage.ledger.directions:
        probes = list(stage.ledger.between(now - ARRIVAL_S - RECENT_S, now - ARRIVAL_S, direction))
        if not probes or any(probe.received_at is None for probe in probes):
            return f"probes {direction} are lost"
    return None
