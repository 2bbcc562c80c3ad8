"""takeover-lease: the longest time between two renewals of a lease while a new site takes over and routers register.

Three sites in TLS, `acknowledge = "any"`, 100,000 customers. Two of them serve, and 3,000 authenticated Binding Updates
a second come in, half to each; then the third starts with nothing but its table, is sent everybody by both, and must
get READY before the traffic ends. Heard are the renewals themselves, at each site's lease socket, by a process that
does nothing else: those of the two all along, those of the third from when it is READY (before, nobody relies on it).
Three daemons, the routers and the network between share two cores: see `tests/bench/sites.py`.
"""

import threading
import time

from tests.bench.lease_gap import TARGET_MS
from tests.bench.population import CUSTOMERS
from tests.bench.result import Result
from tests.bench.sites import ROUTERS, all_but_one_started, is_ready, sites
from tests.bench.traffic import Traffic, Update, update
from tests.topology.lease_holder import ListenerProcess

RATE = 3_000
SECONDS = 60
ALONE_S = 5.0  # the two serve so long before the third comes
MAKING_S = 1.3e-4  # a Binding Update takes so long to make, with some reserve
OLD = (2, 3)


def run() -> Result:
    """A sample a site."""
    with sites(3, CUSTOMERS) as all_sites:
        heard = {site.name: ListenerProcess(site.directory / "lease.sock") for site in all_sites}
        try:
            new = all_but_one_started(all_sites, CUSTOMERS)
            print(f"  signing {RATE * SECONDS:,} Binding Updates ...", flush=True)
            unix_s = time.time() + 1 + RATE * SECONDS * MAKING_S
            updates = _updates(unix_s)
            traffic = new.net.inside(ROUTERS, lambda: Traffic(len(all_sites)))
            routers = threading.Thread(target=traffic.play, args=(updates, unix_s))
            time.sleep(max(0.0, unix_s - time.time()))
            began = time.monotonic()
            routers.start()
            print(f"  {RATE:,} a second; starting {new.name}, empty ...", flush=True)
            time.sleep(ALONE_S)
            new.start()
            new.wait_for(is_ready)
            ready = time.monotonic()
            installed = new.status()["counters"]["customers_installed"]
            routers.join()
            ended = time.monotonic()
            gaps_ms = {
                name: 1000 * one.longest_gap_s(ready if name == new.name else began) for name, one in heard.items()
            }
        finally:
            for one in heard.values():
                one.close()
        traffic.close()
    took_ms = sorted(1000 * one for one in traffic.took_s)
    missing = len(updates) - len(took_ms)
    notes = (
        *(f"{name}: longest gap {gap_ms:.0f} ms" for name, gap_ms in gaps_ms.items()),
        f"{new.name} was READY {ready - began - ALONE_S:.1f} s after its start, {ended - ready:.1f} s before the end",
        f"Binding Updates: p99 {took_ms[int(0.99 * len(took_ms))]:.0f} ms, longest {took_ms[-1]:.0f} ms",
        f"{installed:,} customers were installed then",
        f"{missing} of {len(updates):,} not accepted; sent at most {traffic.late_s:.3f} s late",
    )
    samples = list(gaps_ms.values())
    holds = (
        max(samples) <= TARGET_MS
        and installed >= CUSTOMERS
        and missing < 0.001 * len(updates)
        and ready < began + SECONDS
    )
    return Result("takeover-lease", samples, "ms", TARGET_MS, at_least=False, notes=notes, holds=holds)


def _updates(began_unix_s: float) -> list[Update]:
    """Of all customers in turn, each by one of the two that serve."""
    return [
        update(place % CUSTOMERS, 2 + place // CUSTOMERS, place / RATE, began_unix_s, OLD[place % CUSTOMERS % 2])
        for place in range(RATE * SECONDS)
    ]
