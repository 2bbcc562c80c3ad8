"""Compares records: of one site before and after, of two sites at one moment; and counts what an object holds."""

import gc
from typing import TYPE_CHECKING

from ha.record import Record

if TYPE_CHECKING:
    from tests.simulation.machine import Machine

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


def apart(one: "Machine", other: "Machine", home: bytes) -> str:
    """What two sites hold differently of a router; what is about to expire may be gone at one of them already."""
    assert one.agent is not None and other.agent is not None
    ours, theirs = one.agent.cache.records.get(home), other.agent.cache.records.get(home)
    if ours is None or theirs is None:
        machine, left = (one, ours) if theirs is None else (other, theirs)
        return "everything" if left is not None and _lasting(machine, left) else ""
    if (ours.floor, ours.message_id) != (theirs.floor, theirs.message_id):
        return "floor or Mesg-ID"
    if (ours.sequence.version, ours.network.version) != (theirs.sequence.version, theirs.network.version):
        return "registers"
    mine, other_ones = _lasting(one, ours), _lasting(other, theirs)
    for bid in mine | other_ones:
        first, second = ours.cells.get(bid), theirs.cells.get(bid)
        if first is None or second is None or first.version != second.version:
            return f"BID {bid}"
    return ""


def _lasting(machine: "Machine", record: Record) -> set[int]:
    """The BIDs that will not expire in the next moments, here or where the news came late."""
    return {bid for bid, cell in record.cells.items() if cell.expires_at > machine.now() + SOON_S}


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
