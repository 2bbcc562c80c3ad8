"""Records from the other sites: doubted, merged into ours, given to the data plane, acknowledged when installed."""

from dataclasses import replace

from ha import frames
from ha.effects import AcknowledgeRecords, Effect
from ha.events import RecordsReceived
from ha.frames import StateSyncAck
from ha.record import Record, merge, same
from ha.state import State
from mip6 import ntp


def received(state: State, event: RecordsReceived, now: float) -> list[Effect]:
    """A peer's changes came in."""
    effects: list[Effect] = []
    site, index = event.site, event.frame.index
    records = [frames.from_wire(wire, now, state.longest_s()) for wire in event.frame.records]
    believed = [record for record in records if not _from_the_future(state, record, now)]
    if quarantined := len(records) - len(believed):
        state.counters.add("records_quarantined", amount=quarantined)
    promise = (site, index) if index and not quarantined else None
    for record in believed:
        order = _merge(state, record, promise, now)
        if order is not None:
            effects.append(order)
    state.replication.merged(site, event.incarnation, event.frame, state.undo)
    if promise and effects:
        state.replication.owe(site, index, len(effects), state.undo)
    elif promise:
        effects.append(AcknowledgeRecords(site, StateSyncAck(index)))
    return effects


def _merge(state: State, theirs: Record, promise: tuple[str, int] | None, now: float) -> Effect | None:
    """Join a peer's record into ours; the order to the data plane if forwarding changes or is under way.

    Ours may be from the future too, if this site's clock was ahead when it heard the router. It would win over
    whatever the router says from now on, and nobody else believes it: theirs replaces it.
    """
    cache, undo, home_address = state.cache, state.undo, theirs.home_address
    ours = cache.records.get(home_address)
    if ours is not None and _from_the_future(state, ours, now):
        state.counters.add("records_quarantined")
        ours = None
    merged = theirs if ours is None else merge(ours, theirs)
    pending = cache.pending.get(home_address)
    if ours is not None and same(ours, merged) and pending is None:
        return None
    state.counters.add("records_merged")
    cache.put(merged, undo)
    if pending and pending.local:
        fallback = pending.local.fallback
        local = replace(pending.local, fallback=theirs if fallback is None else merge(fallback, theirs))
        undo.put(cache.pending, home_address, replace(pending, local=local))
    entry = state.entry(merged, now)
    if pending is None and entry == cache.installed.get(home_address):
        return None
    return cache.begin(home_address, entry, None, (promise,) if promise else (), undo)


def _from_the_future(state: State, record: Record, now: float) -> bool:
    ahead_s = ntp.to_unix(record.newest().time) - ntp.to_unix(state.clock(now))
    return ahead_s > state.policy.replay_window_s + state.policy.clock_skew_s
