"""ack-any: how long Binding Updates wait for their acknowledgement when another site must have them first.

Three sites in TLS, `acknowledge = "any"`, 20,000 customers with two lines, authenticated refreshes, 3,000 a second for
60 s, a third to each site, as anycast spreads them; a customer stays at its site. Counted from the sending of a Binding
Update to the arrival of its acknowledgement with status 0, both at the routers. The row holds if besides every one was
answered and fewer than 0.1 % were answered without the other site (counted by the daemons as degraded). The three
daemons, the routers and the network between share two cores, so it is also a matter of what they cost: see
`tests/bench/sites.py`.
"""

import statistics
import time
from collections.abc import Sequence

from tests.bench.result import Result
from tests.bench.sites import ROUTERS, SiteProcess, counted, is_ready, others_used_s, sites
from tests.bench.traffic import Traffic, Update, update

TARGET_MS = 100.0
SITES = 3
CUSTOMERS = 20_000
RATE = 3_000
SECONDS = 60
DEGRADED_SHARE = 0.001
MAKING_S = 1.3e-4  # a Binding Update takes so long to make, with some reserve


def run(rate: int = RATE, seconds: int = SECONDS) -> Result:
    """Measure."""
    with sites(SITES, CUSTOMERS) as all_sites:
        for site in all_sites:
            site.start()
        for site in all_sites:
            site.wait_for(is_ready)
        return _measure(all_sites, rate, seconds)


def _updates(rate: int, seconds: int, began: float) -> list[Update]:
    """Of all customers in turn, each by the site that is its nearest."""
    return [
        update(place % CUSTOMERS, 2 + place // CUSTOMERS, place / rate, began, 1 + place % CUSTOMERS % SITES)
        for place in range(rate * seconds)
    ]


def _measure(all_sites: Sequence[SiteProcess], rate: int, seconds: int) -> Result:
    print(f"  signing {rate * seconds:,} Binding Updates ...", flush=True)
    began = time.time() + 1 + rate * seconds * MAKING_S
    updates = _updates(rate, seconds, began)
    traffic = all_sites[0].net.inside(ROUTERS, lambda: Traffic(SITES))
    before, others_s = counted(all_sites, "acknowledged_degraded"), others_used_s(all_sites)
    cores_s, own_s, since = [site.cpu_s() for site in all_sites], time.process_time(), time.monotonic()
    print(f"  {rate:,} a second for {seconds} s ...", flush=True)
    traffic.play(updates, began)
    lasted_s = time.monotonic() - since
    cores = ", ".join(f"{(site.cpu_s() - then) / lasted_s:.2f}" for site, then in zip(all_sites, cores_s, strict=True))
    own, others = (time.process_time() - own_s) / lasted_s, (others_used_s(all_sites) - others_s) / lasted_s
    degraded = counted(all_sites, "acknowledged_degraded") - before
    traffic.close()
    took_ms = sorted(1000 * one for one in traffic.took_s)
    missing = len(updates) - len(took_ms)
    p99 = took_ms[int(0.99 * len(took_ms))]
    notes = (
        f"median {statistics.median(took_ms):.1f} ms, longest {took_ms[-1]:.0f} ms; {missing} not accepted",
        f"{degraded} of {len(updates):,} degraded ({100 * degraded / len(updates):.3f} %)",
        f"cores used: sites {cores}; routers and network {own:.2f}; others on this machine {others:.2f}",
        f"sent at most {traffic.late_s:.3f} s late",
    )
    holds = not missing and degraded < DEGRADED_SHARE * len(updates)
    return Result("ack-any", [p99], "ms, p99", TARGET_MS, at_least=False, notes=notes, holds=holds)
