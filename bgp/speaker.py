"""The speaker: a lease, what its holder wants, ExaBGP's replies and the time -> the next command to ExaBGP.

Owns the lease, the linger and the one command in flight; the states stand in `bgp.states`. Refuses to open pipes, to
read clocks, and to decide whether this site *should* be announced: the home agent's readiness does. RFC 8326
(GRACEFUL_SHUTDOWN).

Theory of operation
    An announcement is a lease: it lasts LEASE_S after the last renewal, no longer. While the lease lives, the
    holder's word counts: announce, depreference or withdraw, at once, for as long as it is renewed. When it ends
    (nothing heard, or the holder's connection closed), the kernel most likely still forwards, so the aggregate is
    depreferenced at once, and withdrawn when the linger of the last renewal is over and another site is known to
    announce, by what the other speakers say; what killed the holder here may have killed all of them. Their word counts
    if it was said AFTERMATH_S after our lease had ended: that is more than it takes until a speaker no longer says what
    is no longer true (`fellows.VOUCH_S`) and its word to arrive, so of sites whose leases end together none believes
    another. Without such word the aggregate stays for `orphan_hold_s`. A withdraw that the holder asks for has no
    linger: the holder says so only if its data plane is dead or its own linger is over.

    An announcement that came and went is held back, longer each time (`hold_down`): depreferenced meanwhile.

    A bridge is started anew by ExaBGP with the old announcements still in place and no event replayed. So its first
    acts are to ask what is there and which sessions, and to withdraw what is not shown, which may be there all the
    same. What is shown was announced under a lease that may still live: it stays as it is for INHERITED_S, in which a
    living holder is back, and a bridge's death costs nobody anything. If none comes, it is a lease that ended, as any
    other. It is less than a whole lease, because some of it has passed: a new bridge takes its time to start, and if
    the one before was killed for being deaf, all of it has.

    `done` from ExaBGP means "in the RIB". We keep per neighbour and prefix what was confirmed last; the next step is
    always the first step of the difference between that and what the state calls for, so a refused or late answer needs
    no special case: a refused step waits for its next try while the others go on (`bgp.told`).
"""

from collections.abc import Iterable
from math import inf

from bgp.events import (
    AskNeighbours,
    AskRoutes,
    Command,
    CommandAnswered,
    Effect,
    Event,
    HolderLost,
    LeaseRenewed,
    NeighbourChanged,
    NeighboursGiven,
    Note,
    OthersHeard,
    Session,
    StopAsked,
    Transition,
    Wanted,
)
from bgp.heartbeat import HEARTBEAT_S, Heartbeat
from bgp.hold_down import HoldDown
from bgp.recent import Recent
from bgp.route import Announce, Place, Prefix, Route, Step, Terms, Withdraw
from bgp.sessions import ESTABLISHED, Sessions
from bgp.states import ASKED_BY, DEPREFERRING, SELF_ENDING, TABLE, Cue, State
from bgp.told import Told

LEASE_S = 0.3  # three renewals of 100 ms
INHERITED_S = 0.2  # a living holder tries to come back every 50 ms, and its loop may be busy for 150
RETRY_S = 0.25  # a command ExaBGP refused is tried again; the reason stands only in ExaBGP's log
OTHERS_FRESH_S = 1.0  # what another site said of its announcement counts so long
AFTERMATH_S = 0.6  # ... and only if it was said so long after our lease ended, see above
BRAKE = "brake: no other site is known to announce"
DEFAULT_ORPHAN_HOLD_S = 300.0
INHERITED_LINGER_S = 1.0  # the linger of a lease that we never saw, at least
MRAI_FACTOR = 2  # ... and at least so many of the neighbours' advertisement intervals


_CUE_OF_WISH = {
    Wanted.ANNOUNCE: Cue.ANNOUNCE,
    Wanted.DEPREFERENCE: Cue.DEPREFERENCE,
    Wanted.WITHDRAW: Cue.WITHDRAW,
}


class Speaker:
    """Carries out what the lease holder wants, one command at a time.

    `handle(event, now)` -> effects, at most one command among them; `next_deadline()` -> when to send `TimeReached`.

    Args:
        neighbours: whom the aggregates are announced to.
        orphan_hold_s: how long the aggregate outlives its lease while no other site is known to announce.
        hold_down: what is remembered of failures.
    """

    def __init__(
        self,
        aggregates: Iterable[Prefix],
        neighbours: Iterable[Terms],
        now: float,
        orphan_hold_s: float = 0.0,
        hold_down: HoldDown | None = None,
    ) -> None:
        self.state = State.STARTING
        self.reason = "ExaBGP was told nothing yet"
        self.changed_at = now
        self.rib: dict[str, tuple[str, ...]] = {}
        self.described = False  # whether ExaBGP has described its neighbours since ours were given
        self._inherited_until = now + INHERITED_S
        self._found: frozenset[Place] | None = None  # what an earlier bridge left; None: not asked yet
        self._told = Told(aggregates, tuple(neighbours))
        self._routes: tuple[Route, ...] = ()
        self._routes_since = now
        self._linger_s = 0.0
        self._lease_until: float | None = None
        self._was_renewed = False  # ever, by a holder
        self._linger_until: float | None = None
        self._orphan_hold_s = orphan_hold_s
        self._orphan_until: float | None = None  # set while the linger is over and no other site is known to announce
        self._others_said_at = -inf
        self._ended_at = inf  # when the lease ended, while it is over
        self._hold_down = hold_down or HoldDown()
        self._held_until: float | None = None
        self._wish = ""  # the reason the holder gave for what is held back
        self._recent = Recent()
        self._sessions = Sessions()
        self._in_flight: Command | None = None
        self._sent_at = now
        self._refused: dict[Step, float] = {}  # when to try again
        self._failing_since: float | None = None
        self._heartbeat = Heartbeat(now)

    # -- questions

    def lease_lives(self, now: float) -> bool:
        """Whether a holder has the lease; a second one is refused meanwhile."""
        return self._lease_until is not None and now < self._lease_until

    def sent(self) -> tuple[Prefix, ...]:
        """The prefixes ExaBGP confirmed to hold for some neighbour, and is not known to have dropped."""
        return self._told.prefixes()

    def settled(self) -> bool:
        """Whether ExaBGP confirmed everything the state calls for."""
        return self._in_flight is None and not self._told.steps(self._wanted())

    def sessions(self, now: float) -> tuple[Session, ...]:
        """The sessions as ExaBGP told of them last, aged to `now`."""
        return self._sessions.all(now)

    def session_ends(self, now: float) -> dict[str, dict[str, object]]:
        """Neighbour -> why its session ended last, and how long ago; see `Sessions.ends`."""
        return self._sessions.ends(now)

    def routes_sent(self) -> dict[str, tuple[str, ...]]:
        """Neighbour -> the routes it was sent in its present session, in words; see `bgp.sessions`."""
        return self._sessions.sent()

    @property
    def local_as(self) -> int:
        """Our AS, as ExaBGP said; 0 if it did not yet."""
        return self._sessions.local_as

    @property
    def mrai_s(self) -> int:
        """The longest advertisement interval of our neighbours."""
        return self._told.mrai_s

    def overdue_s(self, now: float) -> float:
        """How long ExaBGP owes an answer, or refuses to withdraw; the supervisor kills it over this."""
        waiting = now - self._sent_at if self._in_flight is not None else 0.0
        failing = now - self._failing_since if self._failing_since is not None else 0.0
        return max(waiting, failing)

    def history(self, after: int = 0) -> tuple[Transition, ...]:
        """The latest transitions with a number above `after`, oldest first."""
        return self._recent.after(after)

    def next_deadline(self) -> float:
        """When `TimeReached` is due; a heartbeat is always ahead."""
        ends = (self._lease_until, self._orphan_until or self._linger_until, self._held_until)
        deadlines = [until for until in ends if until is not None]
        if self._in_flight is None:
            deadlines.append(self._heartbeat.due_at)
            deadlines.extend(self._refused.values())
        return min(deadlines, default=self._heartbeat.due_at + HEARTBEAT_S)

    # -- events

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event; deadlines that passed before it count first."""
        effects: list[Effect] = []
        self._pass_deadlines(now, effects)
        match event:
            case LeaseRenewed():
                self._renew(event, now, effects)
            case HolderLost():
                self._lease_until = None
                self._end_lease("the holder's connection ended", now, effects)
            case OthersHeard(said_s_ago):
                self._others_said_at = -inf if said_s_ago is None else now - said_s_ago
            case StopAsked(linger_ms):
                self._stop(linger_ms / 1000, now, effects)
            case NeighboursGiven(neighbours):
                self._told.take_neighbours(neighbours)
                self.described = False
            case NeighbourChanged():
                self._note_session(event, now, effects)
            case CommandAnswered():
                self._take_answer(event, now, effects)
        self._pass_deadlines(now, effects)
        command = self._next_command(now)
        if command is not None:
            self._in_flight, self._sent_at = command, now
            if isinstance(command, AskRoutes):
                self._sessions.ask()
            effects.append(command)
        return effects

    def _renew(self, event: LeaseRenewed, now: float, effects: list[Effect]) -> None:
        if self.state not in (State.STOPPING, State.STOPPED):
            self._lease_until = now + LEASE_S
            self._linger_s, self._was_renewed = event.linger_ms / 1000, True
        state, routes = self.state, self._routes
        if self._lease_until is not None and event.wanted is not Wanted.WITHDRAW:
            self._routes = event.routes
        self._enter(_CUE_OF_WISH[event.wanted], event.reason, now, effects)
        if self.state is not state:
            self._routes_since = now
        elif routes != self._routes and state in (State.ANNOUNCED, *DEPREFERRING):
            before, after = ("; ".join(one.in_words() for one in some) for some in (routes, self._routes))
            by = ASKED_BY[_CUE_OF_WISH[event.wanted]]
            self._recent.add(now, "routes", before, after, event.reason, now - self._routes_since, by)
            self._routes_since = now
            effects.append(Note("info", "routes changed", {"before": before, "after": after, "reason": event.reason}))

    def _end_lease(self, reason: str, ended_at: float, effects: list[Effect]) -> None:
        self._inherited_until = max(self._inherited_until, ended_at)  # of a holder who came before ExaBGP had said all
        if TABLE[self.state][Cue.LEASE_ENDED] is State.LINGERING and self.state is not State.LINGERING:
            self._ended_at, self._linger_until = ended_at, ended_at + self._linger_s
        self._enter(Cue.LEASE_ENDED, reason, ended_at, effects)

    def _stop(self, linger_s: float, now: float, effects: list[Effect]) -> None:
        if self.state is State.STOPPING:
            return
        if TABLE[self.state][Cue.STOP] is State.STOPPING:
            ends = self._linger_until if self.state is State.LINGERING else None
            self._linger_until = min(now + linger_s, now + self._linger_s if ends is None else ends)
        self._lease_until = None
        self._enter(Cue.STOP, "ExaBGP is about to be stopped", now, effects)

    def _pass_deadlines(self, now: float, effects: list[Effect]) -> None:
        if self._lease_until is not None and now >= self._lease_until:
            ended_at, self._lease_until = self._lease_until, None
            self._end_lease("the lease ran out", ended_at, effects)
        if self._held_until is not None and now >= self._held_until:
            self._enter(Cue.HOLD_ENDED, self._wish, now, effects)
        if self._linger_until is not None and now >= self._linger_until:
            self._end_linger(now, effects)

    def _end_linger(self, now: float, effects: list[Effect]) -> None:
        """The brake: nobody withdraws for want of a lease who may be the last."""
        said_at = self._others_said_at
        others = said_at >= self._ended_at + AFTERMATH_S and now - said_at < OTHERS_FRESH_S
        orphaned = self.state is State.LINGERING and not others
        if self._orphan_until is None and orphaned and self._orphan_hold_s:
            self._orphan_until = self._ended_at + max(self._linger_s, self._orphan_hold_s)
            fields: dict[str, object] = {"hold_s": round(self._orphan_until - now, 3)}
            effects.append(Note("warning", BRAKE, fields))
            self.reason += f"; {BRAKE}"
        if self._orphan_until is None:
            self._enter(Cue.LINGER_ENDED, f"{self.reason}, and so did its linger", now, effects)
        elif not orphaned or now >= self._orphan_until:
            why = "the brake was held long enough" if orphaned else "another site announces now"
            self._enter(Cue.LINGER_ENDED, f"{self.reason}; {why}", now, effects)

    def _enter(self, cue: Cue, reason: str, now: float, effects: list[Effect]) -> None:
        before, after = self.state, TABLE[self.state][cue]
        if after is State.HELD and before is not State.HELD:
            after, reason = self._hold(reason, now)
        if after not in SELF_ENDING:
            self._linger_until = self._orphan_until = None
        if after is not State.HELD:
            self._held_until = None
        if after is before:
            if before in (State.WITHDRAWN, State.ANNOUNCED, State.DEPREFERENCED):
                self.reason = reason
            return
        unclaimed = before is State.INHERITED and after is not State.ANNOUNCED and not self._hold_down.owed
        if (before is State.ANNOUNCED or unclaimed) and after is not State.STOPPING:
            self._hold_down.given_up(now)
        if after is State.ANNOUNCED:
            self._hold_down.announced()
        now = max(now, self.changed_at)  # an heir's lease may be over before ExaBGP has said what there is
        lasted_s, by = round(now - self.changed_at, 3), ASKED_BY[cue]
        fields: dict[str, object] = {"before": str(before), "after": str(after), "reason": reason, "by": by}
        effects.append(Note("info", "state changed", {**fields, "lasted_s": lasted_s}))
        self._recent.add(now, "announcement", str(before), str(after), reason, lasted_s, by)
        self.state, self.reason, self.changed_at = after, reason, now

    def _hold(self, reason: str, now: float) -> tuple[State, str]:
        """Where a wish to announce leads, and why. Who slept over lease and renewal has shown nobody a failure."""
        hold_s = self._hold_down.seconds(now)
        unseen = not self._told.steps(self._routes)
        if not hold_s or unseen:
            return State.ANNOUNCED, reason
        self._held_until, self._wish = now + hold_s, reason
        failures = self._hold_down.failures(now)
        return State.HELD, f"{reason}; held back for {hold_s:g} s after {failures} failure(s)"

    # -- sessions and answers

    def _note_session(self, event: NeighbourChanged, now: float, effects: list[Effect]) -> None:
        change = self._sessions.told(event, now)
        if change is not None:
            self._recent.session(change, now)
        if event.state == ESTABLISHED:
            self._heartbeat.session_established()
        fields: dict[str, object] = {"neighbour": event.neighbour, "state": event.state}
        effects.append(Note("info", "session changed", fields | ({"reason": event.reason} if event.reason else {})))

    def _take_answer(self, answer: CommandAnswered, now: float, effects: list[Effect]) -> None:
        command, self._in_flight = self._in_flight, None
        self._heartbeat.answered(now)
        match command:
            case Announce() | Withdraw():
                self._confirm(command, answer.accepted, now, effects)
            case AskNeighbours():
                self.described = True
                if answer.sessions is not None:
                    self._describe(answer.sessions, now, effects)
            case AskRoutes():
                self.rib = answer.rib if answer.rib is not None else self.rib
                if answer.routes is not None:
                    self._sessions.answered(answer.routes)
                if self._found is None:
                    self._found = self._told.shown(self.rib)
            case None:
                effects.append(Note("warning", "unexpected answer", {"accepted": answer.accepted}))
        if self.state is State.STARTING and self.described and self._found is not None:
            self._begin(self._found, now, effects)

    def _begin(self, found: frozenset[Place], now: float, effects: list[Effect]) -> None:
        """ExaBGP has said what there is."""
        if found:
            self._lease_until = max(self._lease_until or 0.0, self._inherited_until)
            if not self._was_renewed:  # a holder's own word is better than what we make of ExaBGP's
                self._linger_s = max(INHERITED_LINGER_S, MRAI_FACTOR * self.mrai_s)
                self._routes = tuple(map(Route, dict.fromkeys(prefix for _, prefix in sorted(found, key=str))))
            self._enter(Cue.FOUND, "ExaBGP has routes of a bridge before this one", now, effects)
        elif not self._told.steps(()):
            self._enter(Cue.CLEARED, "ExaBGP advertises nothing of ours", now, effects)

    def _confirm(self, step: Step, accepted: bool, now: float, effects: list[Effect]) -> None:
        fields: dict[str, object] = {"neighbour": step.neighbour, "prefix": str(step.prefix)}
        verb = "announce" if isinstance(step, Announce) else "withdraw"
        place = (step.neighbour, step.prefix)
        if accepted:
            self._told.confirmed(place, step.route if isinstance(step, Announce) else None)
            self._refused.pop(step, None)
            self._heartbeat.route_confirmed()
            if isinstance(step, Announce):
                fields["communities"] = " ".join(step.route.communities)
            effects.append(Note("info", f"{verb} confirmed", fields))
            return
        self._told.refused(place)
        self._refused[step] = now + RETRY_S
        if isinstance(step, Withdraw) and self._failing_since is None:
            self._failing_since = now
        effects.append(Note("error", f"{verb} refused by ExaBGP", fields))

    def _describe(self, sessions: tuple[Session, ...], now: float, effects: list[Effect]) -> None:
        for change in self._sessions.described(sessions, now):
            self._recent.session(change, now)
        if sessions:  # a description of nothing proves nothing
            effects.extend(self._told.described(self._sessions.names()))

    # -- commands

    def _wanted(self) -> tuple[Route, ...]:
        if self.state is State.ANNOUNCED:
            return self._routes
        if self.state in DEPREFERRING:
            return tuple(route.depreferenced() for route in self._routes)
        return ()

    def _next_command(self, now: float) -> Command | None:
        if self._in_flight is not None:
            return None
        if self._found is None:
            return AskRoutes()
        if self.state is State.STARTING and not self.described:
            return AskNeighbours()
        steps = self._told.steps(self._wanted())
        if self.state is State.INHERITED and self._found:
            steps = tuple(step for step in steps if (step.neighbour, step.prefix) not in self._found)
        self._refused = {step: retry_at for step, retry_at in self._refused.items() if step in steps}
        if not any(isinstance(step, Withdraw) for step in self._refused):
            self._failing_since = None
        for step in steps:
            if now >= self._refused.get(step, now):
                return step
        if not self.described:
            return AskNeighbours()
        return self._heartbeat.question() if now >= self._heartbeat.due_at else None
