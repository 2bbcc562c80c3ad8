"""Sites that hear one router, each on its own, and tell each other only when and what a test says; and what must be.

The model (`Said`, `in_force`) knows nothing of versions, floors and tombstones: only what the router said, and when.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ha.customer_table import Customer
from ha.events import BindingUpdateReceived, ClockRead, RecordsReceived, TimeReached
from ha.frames import StateSyncReply, WireRecord
from ha.record import PLAIN_BID, Record
from mip6.numbers import Status
from mip6.options import Authentication, BindingIdentifier
from tests.ha.cast import EPOCH, HOME, OVERWRITE, POLICY, Site

NAMES = ("site1", "site2", "site3")
LIFETIME_S = POLICY.lifetime_max_s


@dataclass(frozen=True)
class Said:
    """What a Binding Update that was accepted says: BID -> care-of address (None: deleted), until when, by its stamp.

    `wipes`: everything older is gone (O flag, no BID option).
    """

    stamp: int
    wipes: bool
    care_ofs: dict[int, bytes | None]
    until: float


def in_force(said: Iterable[Said], at: float) -> dict[int, bytes]:
    """The bindings that must be in force at `at`, monotonic seconds, wherever all of `said` is known."""
    wiped_at = max((one.stamp for one in said if one.wipes), default=0)
    last: dict[int, Said] = {}
    for one in sorted(said, key=lambda one: one.stamp):
        if one.stamp >= wiped_at:
            last |= dict.fromkeys(one.care_ofs, one)
    left = {bid: care_of for bid, one in last.items() if (care_of := one.care_ofs[bid]) and one.until > at}
    if left:
        is_plain = max(left, key=lambda bid: last[bid].stamp) == PLAIN_BID
        left = {bid: care_of for bid, care_of in left.items() if (bid == PLAIN_BID) is is_plain}
    return left


def said_by(event: BindingUpdateReceived, bids: Iterable[int], stamp: int, now: float) -> Said:
    """What an update says of those of its BIDs that were accepted."""
    update = event.update
    lives, named = update.lifetime_s > 0, update.all(BindingIdentifier)
    care_ofs = {option.bid: option.care_of if lives else None for option in named if option.bid in bids}
    if not named and lives:
        care_ofs = {PLAIN_BID: event.source}
    wipes = not named or (lives and update.flags & OVERWRITE == OVERWRITE)
    return Said(stamp, wipes, care_ofs, now + min(update.lifetime_s, LIFETIME_S))


def unsigned(event: BindingUpdateReceived) -> BindingUpdateReceived:
    """The same update without its MN-HA option; the octets are not looked at then."""
    options = tuple(option for option in event.update.options if not isinstance(option, Authentication))
    return replace(event, update=replace(event.update, options=options))


class Islands:
    """Home agents of a set, without streams between them; `clocks` are seconds ahead of the right time."""

    def __init__(self, customer: Customer, clocks: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        self.sites: list[Site] = []
        for name, ahead_s in zip(NAMES, clocks, strict=True):
            others = tuple(other for other in NAMES if other != name)
            site = Site(policy=replace(POLICY, site=name), sites=others)
            site.load(customer)
            site.feed(ClockRead(EPOCH + ahead_s), 0.0)
            self.sites.append(site)
        self._index = 0

    def record(self, site: int) -> Record | None:
        """What a site holds of the router."""
        return self.sites[site].agent.cache.records.get(HOME)

    def hear(self, site: int, event: BindingUpdateReceived, now: float) -> tuple[Status, set[int]] | None:
        """A site hears an update: its status and the BIDs that were accepted; None: it was not answered."""
        self.pass_time(now)
        acks = self.sites[site].acks(event, now)
        if not acks:
            return None
        [ack] = acks
        if ack.ack.status >= Status.REASON_UNSPECIFIED:
            return Status(ack.ack.status), set()
        answered = ack.ack.all(BindingIdentifier)
        return Status(ack.ack.status), {option.bid for option in answered if option.status == Status.ACCEPTED}

    def word_of(self, site: int, now: float) -> tuple[WireRecord, ...]:
        """What a site tells the others of the router."""
        return tuple(self.sites[site].agent.snapshot(now))

    def tell(self, sender: int, receiver: int, now: float, words: tuple[WireRecord, ...] | None = None) -> None:
        """A site hears what another one says, or said when it was given `words`."""
        self.pass_time(now)
        self._index += 1
        frame = StateSyncReply(self._index, self.word_of(sender, now) if words is None else words, False)
        self.sites[receiver].feed(RecordsReceived(NAMES[sender], 1, frame), now)

    def tell_all(self, pairs: Iterable[tuple[int, int]], now: float) -> None:
        """Each pair of (sender, receiver) in turn."""
        for sender, receiver in pairs:
            if sender != receiver:
                self.tell(sender, receiver, now)

    def pass_time(self, now: float) -> None:
        """Everywhere."""
        for site in self.sites:
            site.feed(TimeReached(), now)

    def forwarded(self, site: int) -> dict[int, bytes]:
        """What the data plane of a site holds."""
        entry = self.sites[site].plane.read().get(HOME)
        return {path.bid: path.care_of for path in entry.paths} if entry else {}

    def live(self, site: int, now: float) -> dict[int, bytes | None]:
        """The bindings that a site holds to be in force."""
        record = self.record(site)
        return {bid: cell.care_of for bid, cell in record.live(now).items()} if record else {}
