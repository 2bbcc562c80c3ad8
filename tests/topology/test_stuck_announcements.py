"""No SIGKILL or SIGSTOP of any one process of a site, or any two, leaves its route standing while it does not serve.

Read from the RIB of its ISP and from probes that pass it. All 72 combinations: `--every-combination`, then judged at
one and a half times the bounds of the table: the RIB is asked through vtysh, which takes a tenth of a second on a busy
machine. Otherwise most single ones and some pairs, at three times the bounds.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import pytest

from lab import build, family
from lab import ledger as books
from lab.engine import GRACEFUL_SHUTDOWN
from lab.lab import Lab
from lab.ledger import Ledger
from lab.poll import wait_until
from lab.runfolder import ProcessMark, mark
from lab.scenario import ProbeStream
from lab.topology import SITES, locator
from tests.topology.combinations import (
    COVERING,
    FEW,
    LINGER_S,
    PAIRS,
    SINGLES,
    Harm,
    Look,
    bound_s,
    can_hear,
    complaint,
    must_go,
    name,
)

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]
RELAXED, STRICT = 3.0, 1.5
SITE = SITES[0]
RECENT_S, ARRIVAL_S = 0.3, 0.2
RETURN_S = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    every = metafunc.config.getoption("--every-combination")
    metafunc.parametrize("harm", (*SINGLES, *PAIRS) if every else (*FEW, *COVERING), ids=name)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Lab, Ledger]]:
    """A lab in which probes run towards the customer through the nearest site."""
    with Lab("failover") as lab:
        build.raise_up(lab, lambda text: None, lambda text: None, prepare=build.without_hold_down)
        prober = build.prober(lab, (ProbeStream("cn4", "lan1", 100.0),))
        prober.start()
        try:
            yield lab, prober.ledger
        finally:
            prober.stop()


@pytest.fixture
def relaxed(request: pytest.FixtureRequest) -> float:
    """How many times the bounds may be taken."""
    return STRICT if request.config.getoption("--every-combination") else RELAXED


def test_no_route_stays_while_its_site_does_not_serve(running: tuple[Lab, Ledger], relaxed: float, harm: Harm) -> None:
    lab, ledger = running
    wait_until(lambda: at_rest(lab, ledger), RETURN_S)
    marks = [mark(family.find(lab.processes, SITE, process)) for process, _ in harm]
    at = time.monotonic()
    family.send(lab.processes, [(SITE, process, number) for process, number in harm])
    try:
        looks = watch(lab, harm, at, relaxed)
        time.sleep(ARRIVAL_S)
        hears_others = "[fellows]" in (lab.layout.etc(SITE) / "bgp.toml").read_text() and can_hear(harm)
        wrong = complaint(harm, looks, serves(ledger), relaxed, hears_others)
    finally:
        put_back(lab, marks)
    assert wrong == "", looks


def watch(lab: Lab, harm: Harm, at: float, relaxed: float) -> list[Look]:
    """Look at the ISP's RIB until the site must be gone, or has gone."""
    until_s = relaxed * (bound_s(harm) + (LINGER_S if must_go(harm) else 0.0))
    looks: list[Look] = []
    while (after_s := time.monotonic() - at) < until_s:
        rib = lab.seen_from(SITE)
        looks.append(Look(after_s, rib.neighbour == locator(SITE), locator(SITE) in rib.offers))
        if (not looks[-1].chosen) if not must_go(harm) else (not looks[-1].offered):
            break
        time.sleep(0.02)
    return looks


def serves(ledger: Ledger) -> bool:
    """Whether every probe of late passed the site and arrived."""
    now = time.monotonic()
    probes = list(ledger.between(now - ARRIVAL_S - RECENT_S, now - ARRIVAL_S))
    return bool(probes) and all(probe.received_at is not None and books.serves(probe, (SITE,)) for probe in probes)


def at_rest(lab: Lab, ledger: Ledger) -> str | None:
    """What is not as at the start."""
    for site in SITES:
        rib = lab.seen_from(site)
        if rib.neighbour != locator(site) or GRACEFUL_SHUTDOWN in rib.offers[locator(site)]:
            return f"{site} is not announced"
    return None if serves(ledger) else f"probes do not pass {SITE}"


def put_back(lab: Lab, marks: list[ProcessMark]) -> None:
    """Whatever lives goes on; what we start ourselves is started again."""
    for one in marks:
        if one.lives():
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGCONT)
    for program in ("xsp-bgp", "xsp-ha"):
        if not lab.processes.runs(f"{SITE}-{program}"):
            lab.start_program(SITE, program)
