"""Changes on their way to other sites, and what waits until enough of these have them. Pure.

What waits is the answer to a mobile router, or, at a reflector, a peer that passed the change on to us and wants to
know who has it. "Has it" means merged and installed. How many are enough says the policy: with `any` one other home
agent that forwards, or a mere reflector if no such site is heard; with `all` each site that is heard; with `local`
none. After the timeout, or when nobody is left to wait for, the answer leaves anyway and is counted as degraded.
"""

import math
from collections.abc import Set
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from ha.effects import AcknowledgeRecords, Effect, SendBindingAck
from ha.frames import StateSyncAck
from ha.undo import Undo
from runtime.counters import Counters

SYNC_TIMEOUT_MIN_S = 0.05
SYNC_TIMEOUT_MAX_S = 2.0  # a router says it again after 1 s at first (RFC 6275 12)
SYNC_TIMEOUT_RTTS = 3
AWAITED_MAX_S = 5.0  # after this an unanswered change no longer tells us a round trip time
DUE_A_TURN = 500
RTT_SHARE = 0.125  # weight of a new sample, as in RFC 6298 2


class Origin(Struct, frozen=True, gc=False):
    """Whose change it was that we passed on: the peer, its index of it, and when we did."""

    site: str
    index: int
    at: float


class Awaited(Struct, frozen=True, gc=False):
    """A change under way, and the answer that waits for it (None: none, or given).

    `missing`: the sites that do not have it yet; `hoped`: those of them that are heard and forward, whose word alone
    is enough for `any`; `lacking`: a home agent has merged it without forwarding it, or is heard and was not reached,
    which `all` is not content with.
    """

    sent_at: float
    answer: SendBindingAck | None
    missing: frozenset[str]
    hoped: frozenset[str]
    lacking: bool = False


class Awaiting:
    """All changes under way, by our index of them. State changes only through the `Undo` of the event."""

    def __init__(self, acknowledge: str, counters: Counters) -> None:
        self._acknowledge, self._counters = acknowledge, counters
        self._awaited: dict[int, Awaited] = {}
        self._waiting: dict[int, float] = {}  # those with an answer -> when it leaves at the latest
        self._origins: dict[int, Origin] = {}
        self._rtts: dict[str, float] = {}

    def rtt_s(self, site: str) -> float | None:
        """From sending a change until that site says that it is installed there, smoothed; None: not known yet."""
        return self._rtts.get(site)

    def sync_timeout_s(self, missing: Set[str], hoped: Set[str]) -> float:
        """How long an answer waits: 3 round trips to the quickest site whose word is enough, at least 50 ms.

        With `all` to the slowest.
        """
        waits_for_all = self._acknowledge == "all"
        whom = missing if waits_for_all else hoped or missing
        known = [rtt_s for site, rtt_s in self._rtts.items() if site in whom]
        chosen = max if waits_for_all else min
        wait_s = SYNC_TIMEOUT_RTTS * chosen(known, default=0.0)
        return min(SYNC_TIMEOUT_MAX_S, max(SYNC_TIMEOUT_MIN_S, wait_s))

    def sent(
        self, index: int, answer: SendBindingAck | None, missing: Set[str], serving: Set[str], now: float, undo: Undo
    ) -> list[Effect]:
        """Our change was sent to these sites: its answer, now if it is not to wait or there is nobody to wait for."""
        effects: list[Effect] = []
        if answer is not None and (self._acknowledge == "local" or not missing):
            if self._acknowledge != "local":
                self._counters.add("acknowledged_degraded", "no_peer")
            effects.append(answer)
            answer = None
        if missing:
            hoped = frozenset(missing & serving)
            lacking = not serving <= missing  # heard, and not reached
            undo.put(self._awaited, index, Awaited(now, answer, frozenset(missing), hoped, lacking))
            if answer is not None:
                undo.put(self._waiting, index, now + self.sync_timeout_s(missing, hoped))
        return effects

    def passed_on(self, index: int, origin: Origin, undo: Undo) -> None:
        """A peer's change was passed on as our `index`: who has it is told to that peer."""
        undo.put(self._origins, index, origin)

    def is_under_way(self, index: int, site: str) -> bool:
        """Was a site sent this change lately, and has not said that it has it?"""
        awaited = self._awaited.get(index)
        return awaited is not None and site in awaited.missing

    def acknowledged(
        self, index: int, site: str, serves: bool, now: float, undo: Undo, *, reflects: bool = False
    ) -> list[Effect]:
        """A site has our change: the answer if that is enough, or the word passed on. Of itself nobody need be told.

        `serves`: it forwards what the change wants; `reflects`: the site may be no home agent, and never do so.
        """
        if (origin := self._origins.get(index)) is not None:
            if site == origin.site:
                return []
            return [AcknowledgeRecords(origin.site, StateSyncAck(origin.index, site, serves))]
        awaited = self._awaited.get(index)
        if awaited is None or site not in awaited.missing:
            return []
        self._measure(site, now - awaited.sent_at, undo)
        missing, answer = awaited.missing - {site}, awaited.answer
        lacking = awaited.lacking or not (serves or (reflects and site not in awaited.hoped))
        good = serves or (reflects and not awaited.hoped)
        enough = not missing or (self._acknowledge == "any" and good)
        if missing:
            left = replace(awaited, missing=missing, lacking=lacking, answer=None if enough else answer)
            undo.put(self._awaited, index, left)
        else:
            undo.drop(self._awaited, index)
        if answer is None or not enough:
            return []
        undo.drop(self._waiting, index)
        if lacking if self._acknowledge == "all" else not good:
            self._counters.add("acknowledged_degraded", "not_installed")
        return [answer]

    def unreachable(self, site: str, undo: Undo) -> list[Effect]:
        """A peer takes no changes any more; answers wait for the others, or for nobody."""
        answers: list[Effect] = []
        for index in list(self._waiting):
            awaited = self._awaited[index]
            missing = awaited.missing - {site}
            if missing:
                lacking = awaited.lacking or site in awaited.missing & awaited.hoped
                left = replace(awaited, missing=missing, hoped=awaited.hoped - {site}, lacking=lacking)
                undo.put(self._awaited, index, left)
            elif awaited.answer is not None:
                self._counters.add("acknowledged_degraded", "peer_lost")
                answers.append(awaited.answer)
                undo.drop(self._awaited, index)
                undo.drop(self._waiting, index)
        return answers

    def time_reached(self, now: float, undo: Undo) -> list[Effect]:
        """Answer what has waited long enough, forget what nobody will acknowledge. The oldest stand first."""
        answers: list[Effect] = []
        for index, deadline in list(islice(self._waiting.items(), DUE_A_TURN)):
            if now < deadline:
                break
            awaited = self._awaited[index]
            assert awaited.answer is not None  # it waits
            self._counters.add("acknowledged_degraded", "timeout")
            answers.append(awaited.answer)
            undo.put(self._awaited, index, replace(awaited, answer=None))
            undo.drop(self._waiting, index)
        for index, awaited in list(islice(self._awaited.items(), DUE_A_TURN)):
            if now < awaited.sent_at + AWAITED_MAX_S or awaited.answer is not None:
                break
            undo.drop(self._awaited, index)
        for index, origin in list(islice(self._origins.items(), DUE_A_TURN)):
            if now < origin.at + AWAITED_MAX_S:
                break
            undo.drop(self._origins, index)
        return answers

    def next_deadline(self) -> float:
        """When the oldest waiting answer has waited long enough. Timeouts hardly differ, so the oldest is the next."""
        return next(iter(self._waiting.values()), math.inf)

    def _measure(self, site: str, sample_s: float, undo: Undo) -> None:
        before = self._rtts.get(site)
        undo.put(self._rtts, site, sample_s if before is None else before + RTT_SHARE * (sample_s - before))
