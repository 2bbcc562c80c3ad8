"""What one home agent knows, in one place: each module of this folder that handles events is given it.

Owns nothing of its own but the questions that several of them ask. While an event is handled, state changes only
through `undo`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from dataplane.entry import ForwardingEntry
from ha import forwarding, readiness
from ha.cache import BindingCache
from ha.customer_table import CustomerTable
from ha.effects import Effect, Note, SendBindingAck
from ha.limits import RouterLimits
from ha.record import Record
from ha.replication import Replication
from ha.revocation import Revocation
from ha.serving import Serving
from ha.site import Policy
from ha.strangers import Strangers
from ha.undo import Undo
from mip6 import ntp
from runtime.counters import Counters

COMPLAIN_EVERY_S = 60.0


@dataclass(slots=True)
class State:
    """The state of `HomeAgent`.

    `clock_offset_s` is Unix seconds minus monotonic seconds; `restarts` how often this site lost its bindings;
    `revocations` those under way, by home address; `complained` of whom, why and when, monotonic seconds.
    """

    policy: Policy
    table: CustomerTable
    cache: BindingCache
    replication: Replication
    serving: Serving
    strangers: Strangers
    counters: Counters
    clock_offset_s: float
    restarts: int
    limits: RouterLimits = field(default_factory=RouterLimits)
    revocations: dict[bytes, Revocation] = field(default_factory=dict)
    complained: dict[tuple[str, str], float] = field(default_factory=dict)
    undo: Undo = field(default_factory=Undo)

    def clock(self, now: float) -> int:
        """This site's wall clock at `now`, as a 64-bit NTP timestamp."""
        return ntp.to_timestamp(self.unix(now))

    def unix(self, now: float) -> float:
        """This site's wall clock at `now`, in Unix seconds."""
        return now + self.clock_offset_s

    def entry(self, record: Record | None, now: float) -> ForwardingEntry | None:
        """What should be forwarded for a record."""
        if record is None:
            return None
        return forwarding.entry(record, self.table.customers.get(record.home_address), self.policy, now)

    def forwards_all(self, home_address: bytes, now: float) -> bool:
        """Will all be forwarded that the record wants, when what is ordered is in? Our customer table may be older than
        that of the site that took it.
        """
        return forwarding.is_whole(self.cache.records[home_address], self.cache.wants(home_address), now)

    def changed(self, record: Record, answer: SendBindingAck | None, now: float) -> list[Effect]:
        """A record of our own making is installed: tell the other sites; the answer leaves when its time has come."""
        return self.replication.changed(record, answer, self.serving.forwarding, now, self.undo)

    def amend(self, home_address: bytes, change: Callable[[Record], Record], now: float) -> list[Effect]:
        """Change a record of our own accord: tell the other sites, and the kernel if it is to forward otherwise."""
        known = self.cache.amend(home_address, change, self.undo)
        effects = [] if known is None else self.changed(known, None, now)
        entry = self.entry(self.cache.records[home_address], now)
        if entry != self.cache.wants(home_address):
            effects.append(self.cache.begin(home_address, entry, None, (), self.undo))
        return effects

    def believed(self, home_address: bytes, now: float) -> Record | None:
        """What this site holds of a router, unless it was written by a clock that was ahead: this site's own, then.

        It would stand above whatever the router says now, for as long as the clock was ahead, and no other site
        believes it: the next word of the router, heard here or by another site, takes its place. But it may be the
        clock now that is wrong, and behind: what others know too is not given up for that, so they are asked.
        """
        record = self.cache.records.get(home_address)
        if record is None or not self.is_from_the_future(self.written_at(record), now):
            return record
        return None if readiness.clock_is_confirmed(self.serving.seen, now) else record

    def written_at(self, record: Record) -> float:
        """When the newest of a record was said, in monotonic seconds, if whoever heard it had our time."""
        return ntp.to_unix(max(record.newest().time, record.message_id)) - self.clock_offset_s

    def is_from_the_future(self, written_at: float, now: float) -> bool:
        """Must a clock have been ahead, so that something was written then? Or ours is behind."""
        return written_at - self.policy.replay_window_s - self.policy.clock_skew_s > now

    def is_outdated(self, written_at: float, now: float) -> bool:
        """Was a change that is told now written by a clock that is behind?

        Then it stands below all that any site has heard of the router, and yields to it, whoever has merged it. Only
        who has the time of most sites can tell: for the one that is ahead all others are behind.
        """
        taken_until = written_at + self.policy.replay_window_s + self.policy.clock_skew_s
        return taken_until < now and readiness.clock_is_confirmed(self.serving.seen, now)

    def knows(self, home_address: bytes) -> bool:
        """Is this the home of a customer of ours, or of somebody of whom there is a record?"""
        return home_address in self.cache.records or home_address in self.table.customers

    def room(self) -> int:
        """So many records of other homes may be kept. They may be new customers', whom the next table will name; but a
        peer that makes up homes must not fill our memory with them. What is bounded is all records, of whomever: to
        count those of strangers alone would mean to look at all of them whenever a table comes.
        """
        return len(self.table.customers) + self.policy.unknown_max - len(self.cache.records)

    def complain(self, subject: str, why: str, note: Note, now: float) -> list[Effect]:
        """Say it, unless the same was said within the last minute. Both texts are of few: a peer's name, a reason."""
        if now < self.complained.get((subject, why), -math.inf) + COMPLAIN_EVERY_S:
            return []
        self.undo.put(self.complained, (subject, why), now)
        return [note]

    def longest_s(self) -> float:
        """Nothing in a record may matter to any site for longer."""
        return self.policy.lifetime_max_s + self.policy.clock_skew_s + self.policy.replay_window_s
