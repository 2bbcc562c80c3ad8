"""No router is locked out by a bad clock: rule `locked out`. No right clock passes for a wrong one: rule `clock`.

A router that speaks to a home agent which knows the time, works and hears others may be refused for what a wrong clock
left behind (status 144, 135, or silence), but not for long. By design a record counts as long as it is no more than the
replay window and the skew bound ahead of the site's clock, so it gives way after that time. One that is more ahead
gives way as soon as the clock is confirmed by those whom the site has heard in the last 3 s (`CONFIRMED_S`; a clock is
read once a second). Both together are `LOCKED_S`. Most of those and itself must be right, for of two that differ nobody
knows who is; how wrong the others are, and for how long, does not matter. The time runs from when the router heard of
the first such refusal on the line by which it asks: each leads somewhere else, and has to be told the time once. What
it heard before that home agent was well tells it nothing, and it may ask again half a minute later only (RFC 6275
11.8).

What is no matter of clocks (other refusals), what was accepted, and a router that has to be told the time anew (it
starts, its clock is set, a line comes under another BID) end the count; a copy that comes late does not begin one. It
begins anew, once, when a router whose time is good is told the number: what it asks next, it asks with both.

A home agent that knows the time, and hears (a stream is not enough) as many of which that is true as there are wrong
ones anywhere, does not stand back for its clock. One that was wrong in the last `CONFIRMED_S` may be thought so still.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha.effects import Effect, SendBindingAck
from ha.readiness import CLOCK_WITNESSES, PEER_LOST_S
from mip6.messages import BindingAck
from mip6.numbers import Status
from tests.simulation.records import BELIEVED_AHEAD_S, CLOCK_READ_S, is_of_tomorrow
from tests.simulation.violation import Violation

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.router import Router
    from tests.simulation.world import World

CONFIRMED_S = PEER_LOST_S + CLOCK_READ_S
LOCKED_S = BELIEVED_AHEAD_S + CONFIRMED_S
SOON_S = 0.5  # an answer is under way for so long at most
OF_CLOCKS = (Status.ID_MISMATCH, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW)


class Lockout:
    """Since when each router is refused on which line (home and care-of address). World's seconds."""

    def __init__(self, world: "World") -> None:
        self._world, self._schedule = world, world.schedule
        self._refused_since: dict[tuple[bytes, bytes], float] = {}
        self._taken_at: dict[bytes, float] = {}
        self._clear_since: dict[str, float] = {}
        self._right_since: dict[str, float] = {}
        self._wrong_at: dict[str, float] = {}
        self._pleased_at: dict[bytes, float] = {}
        self._told_number: set[bytes] = set()  # who was told the number since something of his was accepted
        # when a home agent at which nobody may be locked out last refused
        self._answered_at: dict[tuple[bytes, bytes], float] = {}

    def look(self) -> None:
        """Now and then: whose clock is wrong, and at which home agents may nobody be locked out?"""
        wrong = [one for one in self._world.machines if one.agent is not None and not one.knows_the_time()]
        self._wrong_at |= dict.fromkeys((one.name for one in wrong), self._schedule.now)
        for machine in self._world.machines:
            if machine.is_well() and machine.hears_somebody() and machine.is_told_the_time():
                self._clear_since.setdefault(machine.name, self._schedule.now)
            else:
                self._clear_since.pop(machine.name, None)
            self._look_at_clock(machine)

    def _look_at_clock(self, machine: "Machine") -> None:
        since = self._schedule.now - CONFIRMED_S
        wrong = {name for name, wrong_at in self._wrong_at.items() if wrong_at >= since}
        right = ({one.name for one in machine.heard_now()} & machine.fresh()) - wrong
        if not machine.is_well() or len(right) < max(len(wrong), CLOCK_WITNESSES):
            self._right_since.pop(machine.name, None)
        elif self._schedule.now - self._right_since.setdefault(machine.name, self._schedule.now) > CONFIRMED_S:
            assert machine.agent is not None
            if any("clock" in reason for reason in machine.agent.serving.decision.reasons):
                raise Violation("clock", f"{machine.name} knows the time, as most do, and stands back for its clock")

    def taken(self, router: "Router") -> None:
        """A Binding Update of this router was accepted."""
        self._taken_at[router.home] = self._schedule.now
        self._told_number.discard(router.home)
        self._forget(router.home)

    def _forget(self, home: bytes) -> None:
        for line in [line for line in self._refused_since if line[0] == home]:
            del self._refused_since[line]

    def is_untold(self, router: "Router") -> None:
        """What it was told of the time is gone or of no use: it starts, its clock was set, a line has another BID."""
        self._forget(router.home)

    def told(self, router: "Router", care_of: bytes, ack: BindingAck) -> None:
        """A router hears why: only then can it do better. An answer may be lost, and it asks ever more rarely.

        A refusal that comes about when something good did is of an update that it no longer thinks of.
        """
        now, home = self._schedule.now, router.home
        if ack.status not in OF_CLOCKS:
            self._pleased_at[home] = now
            self._forget(home)
        elif now - self._answered_at.get((home, care_of), -1.0) < SOON_S < now - self._pleased_at.get(home, -1.0):
            self._refused_since.setdefault((home, care_of), now)

    def not_taken(
        self, machine: "Machine", router: "Router", care_of: bytes, sent_at: float, done: Sequence[Effect]
    ) -> None:
        """One that left the router at `sent_at` was not: an answer says why, or there is none."""
        now, home, line = self._schedule.now, router.home, (router.home, care_of)
        clear_since = self._clear_since.get(machine.name)
        if clear_since is None or not machine.is_well() or sent_at <= self._taken_at.get(home, -1.0):
            return
        answers = [effect.ack.status for effect in done if isinstance(effect, SendBindingAck)]
        if any(status not in OF_CLOCKS for status in answers):
            self._forget(home)
            return
        if Status.SEQUENCE_NUMBER_OUT_OF_WINDOW in answers and home not in self._told_number:
            self._told_number.add(home)
            self._forget(home)
        self._answered_at[line] = now
        if self._refused_since.get(line, now) < clear_since:
            del self._refused_since[line]
        since = self._refused_since.get(line, now) if answers else self._refused_since.setdefault(line, now)
        late_s = now - since
        assert machine.agent is not None
        record = machine.agent.cache.records.get(home)
        if late_s > (CONFIRMED_S if record is not None and is_of_tomorrow(machine, record) else LOCKED_S):
            how = f"{machine.name} has refused {router.name} for {late_s:.1f} s ({answers or 'no answer'})"
            raise Violation("locked out", f"{how}, though most whom it hears know the time")
