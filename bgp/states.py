"""The speaker's states, what can happen to them, and the one table that says what follows.

Owns the table. Refuses exceptions to it: only `Speaker._enter` changes the state, and only through this table.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """What the neighbours are meant to hear, and why."""

    STARTING = "starting"  # whatever is there; ExaBGP has not said yet what, or not confirmed the withdraw of it
    INHERITED = "inherited"  # what the bridge before this one announced, for one lease at most
    WITHDRAWN = "withdrawn"  # nothing
    ANNOUNCED = "announced"  # the routes as the holder gave them
    DEPREFERENCED = "depreferenced"  # with GRACEFUL_SHUTDOWN, because the holder says so
    HELD = "held"  # the same, because it came and went too often; ends by itself
    LINGERING = "lingering"  # the same, because the lease ended; ends by itself
    STOPPING = "stopping"  # the same, because ExaBGP will be stopped; ends by itself
    STOPPED = "stopped"  # nothing, whatever a holder says


class Cue(StrEnum):
    """What can happen."""

    CLEARED = "cleared"  # ExaBGP has nothing of ours, and described its sessions
    FOUND = "found"  # ExaBGP has routes of a bridge before this one
    ANNOUNCE = "announce"  # the holder's wish, as are the next two
    DEPREFERENCE = "depreference"
    WITHDRAW = "withdraw"
    LEASE_ENDED = "lease ended"  # it ran out, or the holder's connection closed
    LINGER_ENDED = "linger ended"  # and another site is known to announce, or was hoped for long enough
    HOLD_ENDED = "hold ended"
    STOP = "stop"  # the supervisor is about to stop ExaBGP


_WISHES = {
    Cue.ANNOUNCE: State.HELD,
    Cue.DEPREFERENCE: State.DEPREFERENCED,
    Cue.WITHDRAW: State.WITHDRAWN,
}

# What changes a state; whatever is not listed leaves it as it is.
_CHANGES: Mapping[State, Mapping[Cue, State]] = {
    State.STARTING: {Cue.CLEARED: State.WITHDRAWN, Cue.FOUND: State.INHERITED, Cue.STOP: State.STOPPED},
    State.INHERITED: {
        **_WISHES,  # held only if the bridge before this one held it, or had given it up
        Cue.LEASE_ENDED: State.LINGERING,
        Cue.STOP: State.STOPPING,
    },
    State.WITHDRAWN: {**_WISHES, Cue.STOP: State.STOPPED},
    State.ANNOUNCED: {
        **_WISHES,
        Cue.ANNOUNCE: State.ANNOUNCED,
        Cue.LEASE_ENDED: State.LINGERING,
        Cue.STOP: State.STOPPING,
    },
    State.HELD: {
        **_WISHES,
        Cue.HOLD_ENDED: State.ANNOUNCED,
        Cue.LEASE_ENDED: State.LINGERING,
        Cue.STOP: State.STOPPING,
    },
    State.DEPREFERENCED: {**_WISHES, Cue.LEASE_ENDED: State.LINGERING, Cue.STOP: State.STOPPING},
    State.LINGERING: {**_WISHES, Cue.LINGER_ENDED: State.WITHDRAWN, Cue.STOP: State.STOPPING},
    State.STOPPING: {Cue.WITHDRAW: State.STOPPED, Cue.LINGER_ENDED: State.STOPPED},
    State.STOPPED: {},
}

TABLE: Mapping[State, Mapping[Cue, State]] = {
    state: {cue: changes.get(cue, state) for cue in Cue} for state, changes in _CHANGES.items()
}

SELF_ENDING = frozenset({State.LINGERING, State.STOPPING})
DEPREFERRING = frozenset({State.DEPREFERENCED, State.HELD, State.LINGERING, State.STOPPING})

ASKED_BY: Mapping[Cue, str] = {
    Cue.CLEARED: "ExaBGP",
    Cue.FOUND: "ExaBGP",
    Cue.ANNOUNCE: "xsp-ha",
    Cue.DEPREFERENCE: "xsp-ha",
    Cue.WITHDRAW: "xsp-ha",
    Cue.LEASE_ENDED: "bridge",
    Cue.LINGER_ENDED: "bridge",
    Cue.HOLD_ENDED: "bridge",
    Cue.STOP: "xsp-bgp",
}
