"""Records from the other sites: doubted, merged into ours, given to the data plane, acknowledged when installed."""

from collections.abc import Sequence

from msgspec.structs import replace

from ha import forwarding, frames
from ha.effects import AcknowledgeRecords, Effect, Note
from ha.events import RecordsReceived
from ha.frames import StateSyncAck
from ha.record import Record, holds, merge, same
from ha.state import State

DOUBTS = {  # why a record is quarantined -> what the operator reads
    "future": "bindings of a peer are not believed: they were made in the future, so its clock is wrong, or ours",
    "unknown": "bindings of a peer are not kept: too many are of customers that our table does not name",
}


def received(state: State, event: RecordsReceived, now: float) -> list[Effect]:
    """A peer's changes came in.

    What is from the future by our clock is quarantined: not merged, and its change is not acknowledged. So is what
    there is no room for, of homes that our table does not name. It is found again by the digests, which differ as long
    as we lack it. Nor is a change acknowledged that came whole and is not here, for something newer was.
    """
    # The last frame of a full set only repeats the index of a change that came, or comes, on its own.
    site, index = event.site, 0 if event.frame.complete else event.frame.index
    records = [frames.from_wire(wire, now, state.longest_s()) for wire in event.frame.records]
    written_at = [state.written_at(record) for record in records]
    believed, effects = _believed(state, site, records, written_at, now)
    merged = bool(index) and len(believed) == len(records)
    promise = (site, index) if merged else None
    news: list[Record] = []
    orders: list[Effect] = []
    for record in believed:
        _merge(state, record, promise, news, orders, now)
    # What a record says last may stand below what is held here: the clock of its site is behind and it knew nothing of
    # that, or ours is ahead, and what we wrote by it, a revocation for one, is newer for us alone. Whose clock is wrong
    # we may not know; that the change is not here, nor in what we pass on, we do. It may also stand below what others
    # hold, and be here only until they say so: if we know the time, we know that.
    kept = (
        merged
        and not state.is_outdated(min(written_at, default=now), now)
        and all(_is_kept(state, *one, now) for one in zip(believed, written_at, strict=True))
    )
    whole = kept and len(news) == len(records)
    effects += state.replication.pass_on(news, site, index, now, state.undo, whole=whole)
    state.replication.merged(site, event.incarnation, event.frame, state.undo)
    forwarded = kept and all(state.forwards_all(record.home_address, now) for record in believed)
    if forwarded and orders:
        state.replication.owe(site, index, len(orders), state.undo)
    elif kept:
        effects.append(acknowledgement(state, site, index, forwarded=forwarded))
    if event.frame.repaired:
        effects += state.replication.repaired(site, now, state.undo)
    return effects + orders


def _is_kept(state: State, change: Record, written_at: float, now: float) -> bool:
    """Is what a change says last in force here, and likely to stay?

    A record may also know a time that is for that change's the future: bindings of it have expired, the number and the
    Mesg-ID have not. A site gives all of such a record up when its clock is set, the change as well.
    """
    ours = state.cache.records[change.home_address]
    return holds(ours, change, now) and not state.is_from_the_future(state.written_at(ours), written_at)


def _believed(
    state: State, site: str, records: Sequence[Record], written_at: Sequence[float], now: float
) -> tuple[Sequence[Record], list[Effect]]:
    """Those that are not quarantined, by when each was written; the others are counted, and complained of."""
    believed, doubted, room = [], dict.fromkeys(DOUBTS, 0), state.room()
    for record, at in zip(records, written_at, strict=True):
        if state.is_from_the_future(at, now):
            doubted["future"] += 1
        elif state.knows(record.home_address):
            believed.append(record)
        elif room > 0:
            room -= 1
            believed.append(record)
        else:
            doubted["unknown"] += 1
    effects: list[Effect] = []
    for why, count in doubted.items():
        if count:
            state.counters.add("records_quarantined", why, count)
            fields = {"site": site, "records": count}
            effects += state.complain(site, why, Note("error", DOUBTS[why], fields), now)
    return believed, effects


def acknowledgement(state: State, site: str, index: int, *, forwarded: bool = True) -> AcknowledgeRecords:
    """Tell a peer that its change is in; not `forwarded`: only merged, our table does not allow all of it."""
    return AcknowledgeRecords(site, StateSyncAck(index, serves=forwarded and state.serving.reconciled))


def _merge(
    state: State, theirs: Record, promise: tuple[str, int] | None, news: list[Record], orders: list[Effect], now: float
) -> None:
    """Join a peer's record into ours. Added are the record to `news` if it said something new, and to `orders` the
    order to the data plane if forwarding changes or is under way.

    If ours is not to be believed, theirs replaces it.
    """
    cache, undo, home_address = state.cache, state.undo, theirs.home_address
    pending = cache.pending.get(home_address)
    held = cache.records.get(home_address)
    at_rest = pending is None and home_address not in cache.unsettled  # else it is not in the kernel, whoever said it
    # Two peers tell a site that starts the same: what is on its way to the kernel need not be ordered again.
    is_coming = promise is None and pending is not None and pending.local is None
    if held is not None and (at_rest or is_coming) and same(held, theirs):
        return
    ours = state.believed(home_address, now)
    merged = theirs if ours is None else merge(ours, theirs)
    if ours is not None and at_rest and same(ours, merged):
        return
    state.counters.add("records_merged")
    cache.put(merged, undo)
    if pending and pending.local:
        fallback = pending.local.fallback
        local = replace(pending.local, fallback=theirs if fallback is None else merge(fallback, theirs))
        undo.put(cache.pending, home_address, replace(pending, local=local))
    if ours is None or not same(ours, merged):
        news.append(cache.committed(home_address) or theirs)
    if cache.is_settled(home_address) and forwarding.unchanged(ours, merged, now):
        return
    entry = state.entry(merged, now)
    if cache.holds(home_address, entry):
        return
    orders.append(cache.begin(home_address, entry, None, (promise,) if promise else (), undo))


def clock_read(state: State, clock_offset_s: float) -> list[Effect]:
    """This site's clock was read; it may have been set."""
    set_by_s = clock_offset_s - state.clock_offset_s
    state.undo.assign(state, "clock_offset_s", clock_offset_s)
    if abs(set_by_s) > state.policy.clock_skew_s:
        state.serving.clock_set(set_by_s, state.undo)
    return []
