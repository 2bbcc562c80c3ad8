"""lease-gap: the longest time between two renewals of the lease while a home agent does everything at once.

The real daemon with its kernel on one processor: it is given a table of 100,000, all of whom register, many change a
line, half of the routes are flushed and repaired, and status is asked for, all of it beside packets that are forwarded
at full speed on the other processor. Heard are the renewals themselves, at the lease socket, by a process that does
nothing else. (`lease_gap.py` watches the sites of the failover table.)
"""

import threading
import time
from collections.abc import Callable

from tests.bench import reconcile
from tests.bench.forwarding import PLAIN, TO_CUSTOMERS
from tests.bench.lease_gap import TARGET_MS
from tests.bench.population import CUSTOMERS, FIRST
from tests.bench.process import HomeAgentProcess, home_agent, updates
from tests.bench.result import Result
from tests.topology.lease_holder import ListenerProcess

AT_ONCE = 5_000
MOVING = 20_000
PACKETS = 50_000  # in one go
QUIET_S = 5.0
_DEAF = "table ip6 deaf { chain c { type filter hook prerouting priority -400; meta l4proto 41 drop; }; }"


def run() -> Result:
    """A sample a phase."""
    samples, notes = [], []
    with home_agent(1) as agent:
        heard = ListenerProcess(agent.directory / "lease.sock")
        ended = threading.Event()
        traffic = threading.Thread(target=_forward, args=(agent, ended))
        phases: dict[str, Callable[[], object]] = {
            "nothing but packets": lambda: time.sleep(QUIET_S),
            "table of 100,000 read": lambda: agent.load(CUSTOMERS, 2),
            "100,000 register": lambda: _everybody(agent),
            "20,000 change a line": lambda: _move(agent),
            "routes flushed and repaired": lambda: _flushed(agent),
            "status asked for": agent.status,
        }
        time.sleep(2.0)
        traffic.start()
        try:
            for name, work in phases.items():
                began = time.monotonic()
                work()
                samples.append(heard.longest_gap_s(began) * 1000)
                notes.append(f"{name}: {time.monotonic() - began:.1f} s, longest gap {samples[-1]:.0f} ms")
            bound = agent.status()["cache"]["in_kernel"]
            notes.append(f"{bound} customers are bound in the end")
        finally:
            ended.set()
            traffic.join()
            heard.close()
    holds = max(samples) <= TARGET_MS and bound > 0.9 * CUSTOMERS
    return Result("lease-gap", samples, "ms", TARGET_MS, at_least=False, holds=holds, notes=tuple(notes))


def _forward(agent: HomeAgentProcess, ended: threading.Event) -> None:
    """Packets for all customers, received and forwarded; nobody answers what comes out."""
    net = agent.net
    net.run("mr", "nft", _DEAF)
    [link] = net.json("ha", "ip", "-j", "link", "show", "isp")
    generator = PLAIN[TO_CUSTOMERS](bytes.fromhex(link["address"].replace(":", "")), range(CUSTOMERS)).generator
    while not ended.is_set():
        net.inside("ha", lambda: generator.send(PACKETS, link["ifindex"]), 600)
    generator.close()


def _everybody(agent: HomeAgentProcess) -> None:
    """Their router does not ask again as a real one does; who is not heard, beside so many packets, stays out."""
    for first in range(0, CUSTOMERS, AT_ONCE):
        packets = updates(range(first, first + AT_ONCE), 1, FIRST)
        agent.net.inside("mr", lambda packets=packets: agent.routers.ask(packets, 512), 600)  # type: ignore[misc]


def _move(agent: HomeAgentProcess) -> None:
    for first in range(0, MOVING, AT_ONCE):
        packets = updates(range(first, first + AT_ONCE), 2, move=1)
        agent.net.inside("mr", lambda packets=packets: agent.routers.ask(packets, 512), 600)  # type: ignore[misc]


def _flushed(agent: HomeAgentProcess) -> None:
    before = agent.status()["counters"].get("data_plane_repairs", 0)
    agent.net.inside("ha", reconcile.flush, 600)
    deadline = time.monotonic() + 60
    while agent.status()["counters"].get("data_plane_repairs", 0) == before and time.monotonic() < deadline:
        time.sleep(0.5)
