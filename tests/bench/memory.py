"""memory: what a customer costs in resident memory of a running `xsp-ha`, everything included.

The real process with its real data plane: started with a table of one customer, then given one of 100,000, all of
which register two BIDs; one MNP each. The difference of resident memory, divided, is table, record, cache and view of
the kernel together, with the allocator's waste and what snapshots need. That all are in the kernel is known from the
acknowledgements: status 0 says so. A sample each 20,000 customers would flatter
(the table is loaded as a whole), so there is one: all of them.
"""

from tests.bench.population import CUSTOMERS
from tests.bench.process import home_agent
from tests.bench.result import Result

TARGET_KB = 4.0
AT_ONCE = 5_000


def run() -> Result:
    """Measure."""
    with home_agent(1) as agent:
        empty = agent.rss()
        print(f"  loading the table of {CUSTOMERS:,} ...", flush=True)
        agent.load(CUSTOMERS, 2)
        table_only = agent.rss()
        for first in range(0, CUSTOMERS, AT_ONCE):
            agent.register(first, first + AT_ONCE)
            print(f"  {first + AT_ONCE:,} registered, {agent.rss() / 1e6:,.0f} MB", flush=True)
        full = agent.rss()
    kilobytes = (full - empty) / CUSTOMERS / 1000
    notes = (
        f"of that the table {(table_only - empty) / CUSTOMERS / 1000:.2f} kB; the process alone {empty / 1e6:.0f} MB",
        "measured on the real daemon and kernel",
    )
    return Result("memory", [kilobytes], "kB/customer", TARGET_KB, at_least=False, notes=notes)
