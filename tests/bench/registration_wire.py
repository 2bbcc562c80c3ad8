"""registration-wire: Binding Updates a second from packet to packet, against a running `xsp-ha`.

Two network namespaces, raw sockets, the real daemon and kernel. Refreshes as in `registration_core`; what counts is
the acknowledgement with status 0 that the sender hears. The row only holds if at 80 % of that rate none is lost. The
sender has the other core.
"""

import statistics
from functools import partial

from tests.bench.process import home_agent, updates
from tests.bench.result import Result

TARGET = 7_000
CUSTOMERS = 20_000
REPETITIONS = 5
UPDATES = 15_000  # a repetition
UNANSWERED_MAX = 256
STEADY = 0.8


def run() -> Result:
    """Measure."""
    rates, notes = [], []
    with home_agent(CUSTOMERS) as agent:
        print(f"  registering {CUSTOMERS:,} customers ...", flush=True)
        for first in range(0, CUSTOMERS, 5_000):
            agent.register(first, first + 5_000)
        for sequence in range(2, 2 + REPETITIONS):
            packets = updates(range(UPDATES), sequence)
            took_s = agent.net.inside("mr", partial(agent.routers.ask, packets, UNANSWERED_MAX))
            rates.append(agent.routers.accepted / took_s)
            print(f"  {sequence - 1}/{REPETITIONS}: {rates[-1]:,.0f}/s", flush=True)
            if agent.routers.accepted < UPDATES:
                notes.append(f"{UPDATES - agent.routers.accepted} of {UPDATES} lost at full rate")
        steady = STEADY * statistics.median(rates)
        packets = updates(range(UPDATES), 2 + REPETITIONS)
        lost = agent.net.inside("mr", lambda: agent.routers.ask_at(packets, steady))
    notes.append(f"at {steady:,.0f}/s {lost} of {UPDATES:,} were lost")
    return Result("registration-wire", rates, "BU/s", TARGET, notes=tuple(notes), holds=lost == 0)
