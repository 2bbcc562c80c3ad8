"""merge: records from another site a second, in one process, from the octets of a frame to the acknowledgement's.

Everybody is bound here and has refreshed both lines at another site: each record wins over ours and changes no
forwarding, as almost all do. Counted: decoding, turning times, merging, comparing with what the kernel has, and
encoding the acknowledgements. Frames hold 200 records as they do when a site catches up; a note says what it is with
one in each. The row holds if every record was merged and every frame acknowledged.
"""

import time
from collections.abc import Sequence

import msgspec

from dataplane.memory import MemoryDataPlane
from ha import frames
from ha.effects import AcknowledgeRecords
from ha.events import PeerIdentified, RecordsReceived
from ha.frames import StateSyncReply, WireRecord
from mip6 import ntp
from tests.bench.result import Result
from tests.bench.site import Site
from tests.bench.sites import LIFETIME_S, bound
from tests.ha.cast import EPOCH

TARGET = 40_000
CUSTOMERS = 50_000
REPETITIONS = 7
RECORDS_A_FRAME = 200
PEER = "site2"


def run() -> Result:
    """Measure."""
    site = Site(MemoryDataPlane(), (PEER,))
    records = bound(CUSTOMERS, EPOCH - 60)
    site.load(CUSTOMERS)
    site.recover(records)
    site.agent.handle(PeerIdentified(PEER, 1), 0.0)
    site.agent.handle(RecordsReceived(PEER, 1, StateSyncReply(0, (), True)), 0.0)
    rates = []
    for repetition in range(1, REPETITIONS + 1):
        octets = _frames(records, repetition, RECORDS_A_FRAME)
        rates.append(_rate(site, octets, float(repetition)))
        print(f"  {repetition}/{REPETITIONS}: {rates[-1]:,.0f}/s", flush=True)
    single = _rate(site, _frames(records, REPETITIONS + 1, 1), REPETITIONS + 1.0)
    notes = (f"with one record in a frame {single:,.0f}/s",)
    all_merged = site.counters.get("records_merged") == (REPETITIONS + 1) * CUSTOMERS
    return Result("merge", rates, "records/s", TARGET, notes=notes, holds=all_merged)


def _frames(records: Sequence[WireRecord], repetition: int, size: int) -> list[bytes]:
    """Everybody's refresh, `repetition` seconds after the registration, in frames without their length."""
    said = ntp.to_timestamp(EPOCH + repetition)
    version = (said, PEER)
    refreshed = []
    for record in records:
        cells = {
            bid: msgspec.structs.replace(cell, version=version, remaining_s=LIFETIME_S)
            for bid, cell in record.cells.items()
        }
        network = (version, *record.network[1:])
        sequence = (version, repetition + 1)
        refreshed.append(
            msgspec.structs.replace(record, cells=cells, sequence=sequence, network=network, message_id=said)
        )
    return [
        frames.encode(StateSyncReply(1 + start, tuple(refreshed[start : start + size]), False))[4:]
        for start in range(0, len(refreshed), size)
    ]


def _rate(site: Site, octets: Sequence[bytes], now: float) -> float:
    """Records a second; `octets` hold everybody. Raises: RuntimeError if a frame is not acknowledged."""
    acknowledged = 0
    began = time.perf_counter()
    for one in octets:
        frame = frames.decode(one)
        assert isinstance(frame, StateSyncReply)
        for effect in site.agent.handle(RecordsReceived(PEER, 1, frame), now):
            if isinstance(effect, AcknowledgeRecords):
                frames.encode(effect.frame)
                acknowledged += 1
        site.agent.next_deadline()
    took_s = time.perf_counter() - began
    if acknowledged != len(octets):
        raise RuntimeError(f"{len(octets) - acknowledged} of {len(octets)} frames were not acknowledged")
    return CUSTOMERS / took_s
