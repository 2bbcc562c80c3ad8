"""What time alone does to the cache: bindings expire, refused orders are tried again, orphans are swept."""

from ha import forwarding
from ha.effects import Effect, Note
from ha.state import State


def expire(state: State, now: float) -> list[Effect]:
    """Take out of forwarding what nobody refreshed, and forget records that can matter to no site any more."""
    effects: list[Effect] = []
    for record in list(state.cache.due(now, state.undo)):
        left = record.without_expired(now)
        if left is None:
            state.cache.forget(record.home_address, state.undo)
            state.replication.forget(record.home_address, state.undo)
        else:
            state.cache.put(left, state.undo)
        entry = state.entry(left, now)
        if entry != state.cache.wants(record.home_address):
            state.counters.add("bindings_expired")
            effects.append(state.cache.begin(record.home_address, entry, None, (), state.undo))
            fields = forwarding.describe(record.home_address, entry)
            effects.append(Note("info", "binding expired", fields))
    return effects


def sweep(state: State) -> list[Effect]:
    """Once, after the first synchronisation: take out what the kernel still had and no site vouches for."""
    orphans = [home for home in state.cache.installed if home not in state.cache.records]
    return [state.cache.begin(home, None, None, (), state.undo) for home in orphans]


def try_again(state: State, now: float) -> list[Effect]:
    """Order again what the kernel refused last time: it may have been short of memory for a moment."""
    cache = state.cache
    due = [home for home, at in cache.unsettled.items() if at <= now and home not in cache.pending]
    return [cache.begin(home, state.entry(cache.records.get(home), now), None, (), state.undo) for home in due]
