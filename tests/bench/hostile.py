"""hostile: packets a second that a home agent throws away, with everything it does about them, and nothing more.

Equal shares of: the malformed test vectors, unknown message types, Binding Updates signed with a wrong key, and
replays of Binding Updates that were accepted. From datagram to answer packets, in one process, with a full table. The
row only holds if the answers to strangers stay within their budget, and if a mobile router that registers in the
middle of it all, once in a thousand packets, is always accepted.
"""

import json
import random
import time
from pathlib import Path
from typing import Any

from dataplane.memory import MemoryDataPlane
from ha.strangers import RATE
from mip6 import header
from mip6.messages import UnknownMessage
from mip6.mhsocket import Datagram
from tests.bench.population import home, mobility_header, received
from tests.bench.result import ROOT, Result
from tests.bench.site import Site
from tests.ha.cast import EPOCH, HOME_AGENT
from tests.mip6 import describe

TARGET = 30_000
REPETITIONS = 7
PACKETS = 20_000  # a repetition
CUSTOMERS = 10_000
ATTACKED = 250  # of them the wrong keys and the replays name
SERVED_EVERY = 4 * ATTACKED  # packets
VECTORS: Path = ROOT / "tests" / "mip6" / "vectors" / "malformed.json"
CORRECTIONS = 10  # RFC 4285 6: a replay is answered with 144, so often per router in ten seconds (`ha.limits`)


def run() -> Result:
    """Measure."""
    site = Site(MemoryDataPlane())
    print(f"  registering {CUSTOMERS:,} customers ...", flush=True)
    site.load(CUSTOMERS)
    site.register(CUSTOMERS)
    began = time.perf_counter() - 1.0

    def now() -> float:
        return time.perf_counter() - began

    mix = _mix(now())
    rates, faults = [], []
    for repetition in range(REPETITIONS):
        served = ATTACKED + repetition
        good = [
            received(served, mobility_header(served, 2 + place, EPOCH + now() + place * 1e-4))
            for place in range(PACKETS // SERVED_EVERY)
        ]
        before = site.counters.as_dict()
        started = now()
        answers = sum(_one_thousand(site, mix, update, now) for update in good)
        took_s = now() - started
        rates.append(PACKETS / took_s)
        faults += _faults(site, before, answers, len(good), took_s)
        print(f"  {repetition + 1}/{REPETITIONS}: {rates[-1]:,.0f}/s", flush=True)
    notes = tuple(faults) or ("answers to strangers within their budget, the valid router always served",)
    return Result("hostile", rates, "packets/s", TARGET, notes=notes, holds=not faults)


def _one_thousand(site: Site, mix: list[Datagram], good: Datagram, now: Any) -> int:
    """A share of the mix, then one good update. Returns: how many answers the bad ones drew."""
    answers = sum(1 for packet in mix for _ in site.answers((packet,), now(), 0.0))
    return answers + sum(1 for _ in site.answers((good,), now(), 0.0)) - 1


def _faults(site: Site, before: dict[str, int], answers: int, good: int, took_s: float) -> list[str]:
    after = site.counters.as_dict()
    counted = {name: count - before.get(name, 0) for name, count in after.items()}
    budget = RATE * (1 + took_s) + ATTACKED * CORRECTIONS
    faults = []
    if answers > budget:
        faults.append(f"{answers} answers, the budget is {budget:.0f}")
    if counted.get("binding_updates_accepted") != good:
        faults.append(f"{counted.get('binding_updates_accepted')} of {good} valid updates were accepted")
    if sum(count for name, count in counted.items() if name.startswith("binding_updates_refused{144")) == 0:
        faults.append("no replay was recognised")
    return faults


def _mix(now: float) -> list[Datagram]:
    """As many packets as come between two good ones, in random order."""
    share = ATTACKED
    vectors = [_vector(bytes.fromhex(one["hex"])) for one in json.loads(VECTORS.read_text())]
    packets = [vectors[place % len(vectors)] for place in range(share)]
    for customer in range(share):
        unknown = UnknownMessage(100 + customer % 100, bytes(10))
        packets.append(received(customer, header.encode(unknown, home(customer), HOME_AGENT)))
        packets.append(received(customer, mobility_header(customer, 2, EPOCH + now, secret=b"x" * 32)))
        packets.append(received(customer, mobility_header(customer, 1, EPOCH)))  # what registered it
    random.Random(1).shuffle(packets)
    return packets


def _vector(octets: bytes) -> Datagram:
    """A test vector as the socket would deliver it."""
    cut = describe.cut(octets)
    extension = octets[describe.IPV6_OCTETS : cut.at]
    return Datagram(cut.mobility_header, cut.source, cut.destination, cut.home_address, 1, None, 135, extension)
