"""Finds in what another site differs, and asks for it: bucket by bucket, each in its turn. Pure.

Theory of operation. Every few seconds a site shows its sums (`ha/digest.py`) to each peer. Who finds another sum for
some buckets shows what it holds of the first of them; when the peer has sent what it holds otherwise, of the next; and
so on until it is through, whatever more sums came meanwhile. The next round begins behind the last bucket of this one.
So what cannot be repaired, because it is quarantined, keeps nobody else from his turn, and costs one look a period.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ha import digest
from ha.cache import BindingCache
from ha.digest import Digests
from ha.frames import BUCKETS_MAX, SHOWN_MAX, StateDigest, StateRepairRequest
from ha.undo import Undo
from runtime.counters import Counters

DIGEST_EVERY_S = 2.0
SETTLED_A_TURN = 250  # digests made up for at a time: some 3 ms
SETTLE_EVERY_S = 0.01  # ... while more wait than that
GIVEN_UP_S = 3 * DIGEST_EVERY_S  # a peer that was asked and says nothing


@dataclass(frozen=True, slots=True)
class Round:
    """What is asked of one peer since its sums were looked at: buckets `left` to ask for, the `last` one asked for.

    `found`: how many differed.
    """

    compared_at: float = -math.inf
    asked_at: float = -math.inf
    left: tuple[int, ...] = ()
    last: int = -1
    found: int = 0


class Repair:
    """The comparisons of one site with its peers. State changes only through the `Undo` of the event."""

    def __init__(self, cache: BindingCache, counters: Counters) -> None:
        self._cache, self._counters = cache, counters
        self._digests = Digests()
        self._rounds: dict[str, Round] = {}
        self._show_at = 0.0
        self._settle_at = math.inf

    def found(self, site: str) -> int:
        """In how many buckets a peer differed when it last showed its sums."""
        return self._rounds[site].found if site in self._rounds else 0

    def next_deadline(self) -> float:
        """When more digests are to be made up for."""
        return self._settle_at

    def settle(self, now: float, undo: Undo) -> bool:
        """Make up for some of what was touched; true if nothing is left."""
        is_settled = self._digests.settle(self._cache.touched, self._cache.records, SETTLED_A_TURN, undo)
        settle_at = math.inf if is_settled else now + SETTLE_EVERY_S
        if settle_at != self._settle_at:
            undo.assign(self, "_settle_at", settle_at)
        return is_settled

    def sums(self, now: float, undo: Undo) -> StateDigest | None:
        """What to show to the peers, if it is time."""
        if not self.settle(now, undo) or now < self._show_at:
            return None
        undo.assign(self, "_show_at", now + DIGEST_EVERY_S)
        return StateDigest(digest.KIND, self._digests.sums())

    def compared(self, site: str, theirs: StateDigest, now: float, undo: Undo) -> StateRepairRequest | None:
        """A peer shows its sums: what to ask it for."""
        before = self._rounds.get(site, Round())
        if before.left and now < before.asked_at + GIVEN_UP_S:
            return None  # it is being asked
        if now < before.compared_at + DIGEST_EVERY_S / 2 or theirs.kind != digest.KIND or not self.settle(now, undo):
            return None
        found = self._digests.differing(theirs.sums)
        behind = [bucket for bucket in found if bucket > before.last]
        in_turn = (*behind, *(bucket for bucket in found if bucket <= before.last))
        if found:
            self._counters.add("digest_buckets_differed", amount=len(found))
        return self._ask(site, Round(now, now, in_turn, before.last, len(found)), now, undo)

    def go_on(self, site: str, now: float, undo: Undo) -> StateRepairRequest | None:
        """A peer has sent what it was asked for: what to ask next."""
        return self._ask(site, self._rounds.get(site, Round()), now, undo)

    def _ask(self, site: str, one: Round, now: float, undo: Undo) -> StateRepairRequest | None:
        shown = self._digests.shown(one.left[:BUCKETS_MAX], SHOWN_MAX)
        if shown:
            one = replace(one, left=one.left[len(shown) :], asked_at=now, last=one.left[len(shown) - 1])
        undo.put(self._rounds, site, one)
        return StateRepairRequest(shown) if shown else None

    def lacking(self, asked: StateRepairRequest) -> Sequence[bytes]:
        """The home addresses of which a peer, who shows what it holds, does not hold what we do."""
        return self._digests.others(asked.buckets)
