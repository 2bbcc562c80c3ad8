"""Compares records: of one site before and after, of two sites at one moment; and counts what an object holds."""

import gc
from typing import TYPE_CHECKING

from ha.record import Record, Version
from mip6 import ntp

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

REPLAY_WINDOW_S = 7.0  # RFC 4285 6
BELIEVED_AHEAD_S = REPLAY_WINDOW_S + 2.0  # the skew bound on top
CLOCK_READ_S = 1.0  # a home agent reads its clock so often
SOON_S = 8.0  # news may come so late: twice what TCP waits, and an expiry that is looked for every 100 ms


def gone_back(before: Record, after: Record, now: float) -> str:
    """What of a record is older than it was; empty if nothing is."""
    if after.floor < before.floor:
        return "the floor"
    if after.sequence.version < before.sequence.version or after.network.version < before.network.version:
        return "a register"
    if after.message_id < before.message_id:
        return "the Mesg-ID"
    for bid, cell in before.cells.items():
        new = after.cells.get(bid)
        if cell.version <= after.floor or cell.expires_at <= now:
            continue
        if new is None or new.version < cell.version:
            return f"BID {bid}"
    return ""


def lacks(machine: "Machine", known: Record, now: float) -> str:
    """What of a record, as another site held it, this one neither has nor has something newer of; empty: nothing.

    `now`: monotonic seconds there. What is about to expire may be gone here already.
    """
    assert machine.agent is not None
    left = known.without_expired(now + SOON_S)
    if left is None:
        return ""
    record = machine.agent.cache.committed(known.home_address)
    if record is None:
        return "everything"
    if record.floor < known.floor or record.message_id < known.message_id:
        return "floor or Mesg-ID"
    if record.sequence.version < known.sequence.version or record.network.version < known.network.version:
        return "registers"
    for bid, cell in left.cells.items():
        if cell.version <= record.floor:
            continue
        here = record.cells.get(bid)
        if here is None or here.version < cell.version:
            return f"BID {bid}"
        if here.version == cell.version and cell.verified and not here.verified:
            return f"the proof of BID {bid}"
    return ""


def reachable(root: object) -> int:
    """How many containers and values hang below an object; classes, functions and modules left out."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        waiting.extend(gc.get_referents(one))
    return len(seen)


def is_of_tomorrow(machine: "Machine", written: Record | Version) -> bool:
    """Is it of the future by the clock that the process here knows?"""
    assert machine.agent is not None
    version = written.newest() if isinstance(written, Record) else written
    return ntp.to_unix(version.time) - machine.agent.state.unix(machine.now()) > BELIEVED_AHEAD_S
