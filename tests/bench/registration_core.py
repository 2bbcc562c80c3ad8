"""registration-core: Binding Updates a second in one process, from octets to octets, with a full cache.

Counted: decoding, checking the signature, judging, storing, comparing with what the kernel has, building and signing
the acknowledgement. The update is a bulk refresh of two BIDs with Mesg-ID and MN-HA. Compared with the least that
Python can do with the same octets (one `struct` over all fields), and with scapy's dissection.
"""

import random
import struct
import time
from collections.abc import Callable, Sequence

from dataplane.memory import MemoryDataPlane
from mip6.mhsocket import Datagram
from tests.bench.population import CUSTOMERS, mobility_header, received
from tests.bench.result import Result
from tests.bench.site import Site
from tests.ha.cast import EPOCH

TARGET = 12_000
REPETITIONS = 7
UPDATES = 10_000  # a repetition, each of another customer, in random order
STEP_S = 1 / TARGET

# Every field of such a Binding Update, padding left out; the identifier's length varies, so the rest is apart.
_FRONT = struct.Struct("!BBBxHHHH 6x BBHBB16s 2x BBHBB16s BB")
_BACK = struct.Struct("!BBQ")
_SIGNATURE = struct.Struct("!BBBI16s")


def run() -> Result:
    """Measure."""
    site = Site(MemoryDataPlane())
    print("  loading the table ...", flush=True)
    site.load(CUSTOMERS)
    print(f"  registering {CUSTOMERS:,} customers ...", flush=True)
    site.register(CUSTOMERS)
    order = list(range(CUSTOMERS))
    random.Random(1).shuffle(order)
    rates, plain_rates, all_served = [], [], True
    now = 1.0
    for repetition in range(REPETITIONS):
        chosen = order[repetition * UPDATES :][:UPDATES]
        updates = [
            received(one, mobility_header(one, 2, EPOCH + now + place * STEP_S)) for place, one in enumerate(chosen)
        ]
        began = time.perf_counter()
        answers = sum(1 for _ in site.answers(updates, now, STEP_S))
        rates.append(UPDATES / (time.perf_counter() - began))
        plain_rates.append(_rate(_unpack, updates))
        all_served = all_served and answers == UPDATES
        now += UPDATES * STEP_S
        print(f"  {repetition + 1}/{REPETITIONS}: {rates[-1]:,.0f}/s", flush=True)
    all_served = all_served and site.counters.get("binding_updates_accepted") == CUSTOMERS + REPETITIONS * UPDATES
    result = Result("registration-core", rates, "BU/s", TARGET, holds=all_served)
    plain, scapy = sorted(plain_rates)[REPETITIONS // 2], _scapy_rate(updates[:500])
    notes = (
        f"{result.value / plain:.3f} of bare struct unpacking of the same octets ({plain:,.0f}/s)",
        f"{result.value / scapy:.2f} times scapy's dissection of the same octets ({scapy:,.0f}/s)",
    )
    return Result(
        "registration-core", rates, "BU/s", TARGET, True, "scapy dissection", result.value / scapy, notes, all_served
    )


def _unpack(updates: Sequence[Datagram]) -> None:
    for update in updates:
        octets = update.octets
        front = _FRONT.unpack_from(octets)
        behind = _FRONT.size + front[-1]
        behind += -(behind - 2) % 8  # Mesg-ID stands at 8n + 2
        _BACK.unpack_from(octets, behind)
        _SIGNATURE.unpack_from(octets, len(octets) - _SIGNATURE.size)


def _rate(work: Callable[[Sequence[Datagram]], None], updates: Sequence[Datagram]) -> float:
    began = time.perf_counter()
    work(updates)
    return len(updates) / (time.perf_counter() - began)


def _scapy_rate(updates: Sequence[Datagram]) -> float:
    from scapy.layers.inet6 import MIP6MH_BU

    def dissect(updates: Sequence[Datagram]) -> None:
        for update in updates:
            MIP6MH_BU(update.octets)

    _rate(dissect, updates[:10])  # first use builds tables
    return _rate(dissect, updates)
