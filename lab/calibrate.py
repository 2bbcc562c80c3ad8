"""Chooses source ports so that every direction has flows on every line, whatever this machine's hash seed is.

The kernel spreads flows over a customer's lines by a hash of addresses and ports. Owns a short trial with many ports,
of which a few per line are kept. Refuses to go on if a line carries nothing: then something is wrong, not unlucky.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from lab.errors import LabError
from lab.ledger import Ledger
from lab.netns import Network
from lab.probe import Prober, Stream
from lab.topology import LINES, SITES

FIRST_PORT = 20001
TRIAL_PORTS = 16  # all on one of two lines: once in 32,768 runs
FLOWS_PER_LINE = 2
TRIAL_HZ = 200.0
TRIAL_S = 0.3
PATIENCE_S = 20.0


def calibrated(network: Network, streams: Sequence[Stream], patience_s: float = PATIENCE_S) -> list[Stream]:
    """The same streams with chosen ports. Raises: LabError if a direction does not use every line in time."""
    trial = [
        replace(stream, source_ports=tuple(range(first, first + TRIAL_PORTS)), rate_hz=TRIAL_HZ)
        for first, stream in zip(range(FIRST_PORT, FIRST_PORT + 1000, 100), streams, strict=False)
    ]
    deadline = time.monotonic() + patience_s
    while True:
        prober = Prober(network, trial, SITES, LINES)
        prober.start()
        try:
            time.sleep(TRIAL_S)
        finally:
            prober.stop()
        chosen = {stream.direction: choose(prober.ledger, stream.direction) for stream in streams}
        short = [direction for direction, found in chosen.items() if found is None]
        if not short:
            return [replace(stream, source_ports=chosen[stream.direction] or ()) for stream in streams]
        if time.monotonic() > deadline:
            what = f"the probes of {short[0]} do not use both lines after {patience_s:.0f} s"
            raise LabError(what, "read the logs of xsp-mr and xsp-ha in the run folder")


def choose(ledger: Ledger, direction: str) -> tuple[int, ...] | None:
    """A few ports for each line, None if a line has too few. A flow that moved between lines meanwhile is nobody's."""
    lines_of: dict[int, set[str]] = defaultdict(set)
    for probe in ledger.between(float("-inf"), float("inf"), direction):
        if probe.received_at is not None and probe.line is not None:
            lines_of[ledger.flows[probe.flow].source_port].add(probe.line)
    chosen: list[int] = []
    for line in ledger.lines:
        ports = [port for port, lines in lines_of.items() if lines == {line}]
        if len(ports) < FLOWS_PER_LINE:
            return None
        chosen += ports[:FLOWS_PER_LINE]
    return tuple(sorted(chosen))
