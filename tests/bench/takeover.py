"""takeover: a new, empty site beside two that serve 100,000 customers: from its first connection to READY.

Three real sites in TLS. The new one has its table and nothing else: no snapshot, an empty kernel. Connected is when its
kernel shows a connection to a peer; done is when the daemon says READY, and then its kernel's own routes must be those
of everybody at once: who is READY draws traffic. Both peers send it everything at once. Reading the table is not
counted: it happens before a site can be connected. The peers and the new site share two cores, and nobody registers
meanwhile.
"""

import time
from pathlib import Path

from tests.bench.population import CUSTOMERS
from tests.bench.result import Result
from tests.bench.sites import SiteProcess, all_but_one_started, is_ready, sites

TARGET_S = 15.0
PORT_HEX = ":1883"  # 6275
ESTABLISHED = "01"
LOOK_EVERY_S = 0.05
ROUTES_A_CUSTOMER = 2  # home address and MNP


def run(customers: int = CUSTOMERS) -> Result:
    """Measure."""
    with sites(3, customers) as all_sites:
        new = all_but_one_started(all_sites, customers)
        print(f"  starting {new.name}, empty ...", flush=True)
        new.start()
        while not _is_connected(new):
            time.sleep(0.01)
        connected = time.monotonic()
        new.wait_for(is_ready, LOOK_EVERY_S)
        took_s = time.monotonic() - connected
        installed, routes = new.status()["counters"]["customers_installed"], new.routes()
    notes = (f"then {installed:,} customers were installed and the kernel held {routes:,} routes",)
    holds = installed >= customers and routes >= ROUTES_A_CUSTOMER * customers
    return Result("takeover", [round(took_s, 2)], "s", TARGET_S, at_least=False, notes=notes, holds=holds)


def _is_connected(site: SiteProcess) -> bool:
    assert site.process is not None
    # The words of a line: its number, the local and the remote address, the state.
    for line in Path(f"/proc/{site.process.pid}/net/tcp6").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == ESTABLISHED and (local.endswith(PORT_HEX) or remote.endswith(PORT_HEX)):
            return True
    return False
