"""The Binding Update list: what the home agent may hold, what it should hold, and the one BU that closes the gap.

Theory of operation. RFC 6275 11.7.1 lets a mobile node have an update in flight; RFC 5648 4 gives all BIDs of a home
address one sequence number. We therefore keep exactly one outstanding BU, and derive what it says instead of
queueing: `intent` compares the usable lines with `held` (what the home agent may have, from everything we sent) and
`registered` (what it acknowledged). When the answer differs from what is outstanding, the outstanding BU is forgotten
and the new one goes out; when it does not, the BU is retransmitted, each time with a new sequence number and
timestamp, doubling the pause. All transmissions of the outstanding BU say the same, so an answer to any of them
counts.

A lost line is deregistered by Lifetime 0 with its BID. When a line must go and another must come, one BU with the O
flag that names the living lines does both (RFC 5648 4.3). State at the home agent unknown (start, 133, 165): O flag
as well.

Refuses to read a clock or build packets. RFC 6275 11.7.1, 11.8, 12; RFC 5648 5; RFC 3963 5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mip6.messages import BindingAck
from mip6.numbers import BindingAckFlag, Status
from mip6.options import BindingIdentifier, BindingRefreshAdvice
from mr.binding_update import Intent, Line, Purpose
from mr.events import Count, Effect, Note
from mr.outstanding import NEVER, Binding, Outstanding, Refusal, Transmission, Way, timeout_s

MAX_UPDATE_RATE = 3  # messages a second, RFC 6275 12
MAX_ATTEMPTS = 6  # by then the pause has grown to MAX_BINDACK_TIMEOUT, RFC 6275 11.7.1: another home agent may be tried
LEAVING_ATTEMPTS = 2  # to deregister where mobile networks are not served
FALLBACK_RETRY_S = 600.0  # then a home agent that did not know several care-of addresses is asked once more
REFUSED_RETRY_S = 60.0  # a refusal is lifted by a human; asking more often helps nobody
REFRESH_FRACTION = 0.45  # of the granted lifetime; RFC 6275 11.7.1 says no more than "well before"
REFRESH_JITTER = 0.1  # of the granted lifetime: routers that started together must not stay together
MAX_CORRECTIONS = 3  # answers 135 or 144 that are acted on at once, one after the other, if the lines are not more
MAX_TRANSMISSIONS_KEPT = 8  # a minute of back-off: an older answer is lost


@dataclass(slots=True)
class BindingUpdateList:
    """See the theory of operation. `draw` returns random numbers in [0, 1)."""

    draw: Callable[[], float]
    requested_s: int
    sequence: int
    held: dict[int, Binding] = field(default_factory=dict)
    registered: dict[int, Binding] = field(default_factory=dict)
    refused_lines: dict[int, Refusal] = field(default_factory=dict)
    refused: Refusal | None = None
    unknown: bool = True
    refresh_at: float | None = None
    outstanding: Outstanding | None = None
    recent_sends: tuple[float, ...] = ()
    finished: bool = False
    priorities: Mapping[int, int] = field(default_factory=dict)
    way: Way = Way.BULK
    way_until: float = NEVER
    leaving: bool = False

    def fork(self) -> "BindingUpdateList":
        """An independent copy; all contained values are immutable."""
        return replace(
            self, held=dict(self.held), registered=dict(self.registered), refused_lines=dict(self.refused_lines)
        )

    # -- what should be said ------------------------------------------------------------------------------------

    def intent(self, usable: tuple[Line, ...], stopping: bool, now: float) -> Intent | None:
        """What the home agent must be told now, given the usable lines in order of BID; None for nothing."""
        if not usable or self.finished:
            return None
        if stopping or self.leaving:
            return Intent(Purpose.DEREGISTER_ALL, quick=True)
        if self.way is Way.PLAIN:
            return self._plain_intent(usable, now)
        bids = {line.bid for line in usable}
        gone = tuple(Line(bid, binding.care_of) for bid, binding in sorted(self.held.items()) if bid not in bids)
        missing = any(not self.is_registered(line) and not self._is_refused(line) for line in usable)
        may_register = self._may_ask(usable)
        if self.way is Way.SINGLY:
            return self._single_intent(usable, gone, now) if may_register or gone else None
        if may_register and (self.unknown or (gone and missing)):
            return Intent(Purpose.REGISTER, usable, overwrite=True, quick=bool(gone))
        if gone:
            return Intent(Purpose.DEREGISTER_LINES, gone, quick=True)
        if may_register and (missing or (self.refresh_at is not None and now >= self.refresh_at)):
            return Intent(Purpose.REGISTER, usable)
        return None

    def _plain_intent(self, usable: tuple[Line, ...], now: float) -> Intent | None:
        """The one line that is to be bound: the best usable one. A new registration replaces the old one."""
        best = min(usable, key=lambda line: (self.priorities.get(line.bid, 0), line.bid))
        if not self._may_ask((best,)):
            return None
        is_due = self.refresh_at is not None and now >= self.refresh_at
        if self.is_registered(best) and len(self.held) == 1 and not is_due:
            return None
        return Intent(Purpose.REGISTER, (best,), quick=bool(self.registered) and not is_due, plain=True)

    def _single_intent(self, usable: tuple[Line, ...], gone: tuple[Line, ...], now: float) -> Intent | None:
        """The next line that needs an update of its own; the first one clears what may be left at the home agent."""
        if gone and not self.unknown:
            return Intent(Purpose.DEREGISTER_LINES, gone[:1], quick=True)
        for line in usable:
            binding = self.registered.get(line.bid)
            if self._is_refused(line) or not self._may_ask((line,)):
                continue
            if not self.is_registered(line) or (binding is not None and binding.refresh_at <= now):
                return Intent(Purpose.REGISTER, (line,), overwrite=self.unknown)
        return None

    def gave_up(self) -> bool:
        """Has the home agent been silent for so long that another one should be tried?"""
        return self.outstanding is not None and self.outstanding.attempts >= MAX_ATTEMPTS

    def moved(self) -> None:
        """Another home agent: nothing is known there."""
        self.held, self.registered, self.refused_lines = {}, {}, {}
        self.refused, self.outstanding, self.refresh_at = None, None, None
        self.unknown, self.way, self.way_until, self.leaving = True, Way.BULK, NEVER, False

    def pursue(self, intent: Intent | None, now: float) -> None:
        """Make `intent` the outstanding one; the same intent keeps its timers."""
        if intent is None:
            self.outstanding = None
        elif self.outstanding is None or self.outstanding.intent != intent:
            self.outstanding = Outstanding(intent, send_at=now)

    def doubted(self) -> None:
        """Somebody says that the home agent has nothing of ours: register everything anew, with O."""
        self.unknown = True

    def refresh_now(self, now: float) -> None:
        """Register again what is registered, as at the end of its time."""
        self.refresh_at = now

    def revoked(self, bids: tuple[int, ...], usable: tuple[Line, ...], now: float) -> bool:
        """The home agent took these bindings away (none: all), and means it. Returns: were there any?"""
        gone = [bid for bid in (bids or tuple(self.registered)) if bid in self.registered]
        lines = {line.bid: line for line in usable}
        for bid in gone:
            care_of = self.registered.pop(bid).care_of
            self.held.pop(bid, None)
            line = lines.get(bid, Line(bid, care_of))
            refusal = Refusal((line,), int(Status.ADMINISTRATIVELY_PROHIBITED), now + REFUSED_RETRY_S)
            self.refused_lines[bid] = refusal
        if gone and not self.registered:
            status = int(Status.ADMINISTRATIVELY_PROHIBITED)
            self.refused, self.outstanding = Refusal(usable, status, now + REFUSED_RETRY_S), None
        return bool(gone)

    def is_registered(self, line: Line) -> bool:
        """Whether the home agent has acknowledged this very care-of address for this BID."""
        binding = self.registered.get(line.bid)
        return binding is not None and binding.care_of == line.care_of

    def _may_ask(self, lines: tuple[Line, ...]) -> bool:
        """A refusal of other lines than these is no refusal of these; one of nothing in particular is one of all."""
        return self.refused is None or bool(self.refused.lines and self.refused.lines != lines)

    def _is_refused(self, line: Line) -> bool:
        refusal = self.refused_lines.get(line.bid)
        return refusal is not None and refusal.lines == (line,)

    # -- time ---------------------------------------------------------------------------------------------------

    def send_at(self) -> float | None:
        """When the outstanding BU goes out next, MAX_UPDATE_RATE considered."""
        if self.outstanding is None:
            return None
        if len(self.recent_sends) < MAX_UPDATE_RATE:
            return self.outstanding.send_at
        return max(self.outstanding.send_at, self.recent_sends[0] + 1.0)

    def transmit(self, timestamp: int, care_of: bytes, now: float) -> Transmission:
        """Record one sending of the outstanding BU and set the time of the next."""
        assert self.outstanding is not None
        intent = self.outstanding.intent
        self.sequence = (self.sequence + 1) % 65536
        transmission = Transmission(self.sequence, timestamp, now, care_of)
        is_corrected = self.outstanding.is_corrected
        attempts = self.outstanding.attempts + (not is_corrected)
        self.outstanding = replace(
            self.outstanding,
            sent=self.outstanding.sent + 1,
            attempts=attempts,
            corrections=self.outstanding.corrections if is_corrected else 0,
            is_corrected=False,
            send_at=now + timeout_s(attempts, intent.quick, self.unknown),
            transmissions=(*self.outstanding.transmissions, transmission)[-MAX_TRANSMISSIONS_KEPT:],
        )
        self.recent_sends = (*self.recent_sends, now)[-MAX_UPDATE_RATE:]
        if intent.purpose is Purpose.REGISTER:
            for line in intent.lines:
                self.held[line.bid] = Binding(line.care_of, now + self.requested_s)
        return transmission

    def expire(self, now: float) -> list[Effect]:
        """Forget what the home agent has forgotten by now, and refusals that are old enough to ask again."""
        effects: list[Effect] = []
        for bid, binding in list(self.registered.items()):
            if binding.expires_at <= now:
                del self.registered[bid]
                effects.append(Note("warning", "binding expired", (("bid", bid),)))
                self.unknown = self.unknown or not self.registered
        self.held = {bid: binding for bid, binding in self.held.items() if binding.expires_at > now}
        self.refused_lines = {bid: refusal for bid, refusal in self.refused_lines.items() if refusal.retry_at > now}
        if self.refused is not None and self.refused.retry_at <= now:
            self.refused = None
        if self.way_until <= now:
            self.way, self.way_until, self.unknown = Way.BULK, NEVER, True
        if self.leaving and self.outstanding is not None and self.outstanding.attempts > LEAVING_ATTEMPTS:
            self._left(int(Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED), now)
        return effects

    def next_deadline(self, now: float) -> float | None:
        """When after `now` one of `expire`, `intent` and `send_at` may answer otherwise."""
        deadlines = [binding.expires_at for binding in (*self.registered.values(), *self.held.values())]
        deadlines += [refusal.retry_at for refusal in self.refused_lines.values()]
        deadlines += [self.refused.retry_at] if self.refused is not None else []
        deadlines += [moment for moment in (self.send_at(), self.refresh_at) if moment is not None]
        deadlines += [binding.refresh_at for binding in self.registered.values() if self.way is Way.SINGLY]
        deadlines.append(self.way_until)
        return min((moment for moment in deadlines if now < moment < NEVER), default=None)

    # -- answers ------------------------------------------------------------------------------------------------

    def answered(self, transmission: Transmission, ack: BindingAck, now: float) -> list[Effect]:
        """Take in an acknowledgement that is known to be authentic and to answer `transmission`."""
        assert self.outstanding is not None
        intent = self.outstanding.intent
        if ack.status in (Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, Status.ID_MISMATCH):
            return self._correct(ack, now)
        if intent.purpose is Purpose.REGISTER:
            return self._registration_answered(intent, transmission, ack, now)
        self.outstanding = None
        if intent.purpose is Purpose.DEREGISTER_ALL and self.leaving:
            self._left(int(Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED), now)
            return [Note("info", "deregistered where no mobile network is forwarded")]
        if intent.purpose is Purpose.DEREGISTER_ALL:
            self.held, self.registered, self.finished = {}, {}, True
            return [Note("info", "deregistered", (("status", int(ack.status)),))]
        return self._lines_deregistered(intent, ack)

    def _correct(self, ack: BindingAck, now: float) -> list[Effect]:
        """135: adopt the number (RFC 6275 11.7.3). 144: the caller has corrected the clock. Say the same again.

        At once as often as there are lines by which it was said: each may have to be told the time. After a silence
        that counts anew, for it may have lasted until a clock was set; so sites that contradict each other cost a few
        updates for each pause.
        """
        assert self.outstanding is not None
        if ack.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW:
            self.sequence = ack.sequence
        lines = {transmission.care_of for transmission in self.outstanding.transmissions}
        if self.outstanding.corrections < max(MAX_CORRECTIONS, len(lines)):
            corrections = self.outstanding.corrections + 1
            self.outstanding = replace(self.outstanding, send_at=now, corrections=corrections, is_corrected=True)
        return [Note("info", "home agent corrected us", (("status", int(ack.status)), ("sequence", ack.sequence)))]

    def _lines_deregistered(self, intent: Intent, ack: BindingAck) -> list[Effect]:
        """Whatever the answer, asking again is useless: the lines are gone or will expire (RFC 5648 5.7, 6.2)."""
        for line in intent.lines:
            self.held.pop(line.bid, None)
            self.registered.pop(line.bid, None)
        if ack.status == Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE:
            self.unknown = True
        bids = ",".join(str(line.bid) for line in intent.lines)
        return [Note("info", "lines deregistered", (("bids", bids), ("status", int(ack.status))))]

    def _registration_answered(
        self, intent: Intent, transmission: Transmission, ack: BindingAck, now: float
    ) -> list[Effect]:
        if ack.status in (Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, Status.MCOA_NON_MCOA_BINDING_EXISTS):
            if not intent.overwrite and not intent.plain:
                self.unknown = True
                self.outstanding = None
                return [Note("warning", "home agent lost our state", (("status", int(ack.status)),))]
            return self._refuse(intent, ack, now, "the home agent refuses")
        if ack.status == Status.MCOA_PROHIBITED and not intent.plain:
            return self._fall_back(Way.PLAIN, "several care-of addresses are prohibited", now)
        if ack.status == Status.MCOA_BULK_REGISTRATION_PROHIBITED and self.way is Way.BULK:
            return self._fall_back(Way.SINGLY, "bulk registration is prohibited", now)
        if ack.status >= Status.REASON_UNSPECIFIED:
            return self._refuse(intent, ack, now, "the home agent refuses")
        identifiers = ack.all(BindingIdentifier)
        if not identifiers and not intent.plain:
            return self._fall_back(Way.PLAIN, "the home agent knows no multiple care-of addresses", now)
        if not ack.flags & BindingAckFlag.MOBILE_ROUTER:
            # RFC 3963 5.3: it took us for a host; leave nothing of ours there.
            self.outstanding, self.leaving = None, True
            return [Note("error", "the home agent forwards no mobile network")]
        granted_s = min(ack.lifetime_s, self.requested_s)
        if granted_s <= 0:
            return self._refuse(intent, ack, now, "the home agent granted no lifetime")
        # RFC 5648 5.7: a BID status that is not zero wins over the status of the message.
        statuses = {option.bid: int(option.status) or int(ack.status) for option in identifiers}
        if intent.plain:
            statuses = {intent.lines[0].bid: int(ack.status)}
        return self._accept(intent, transmission, statuses, granted_s, self._refresh_s(ack, granted_s), now)

    def _accept(
        self,
        intent: Intent,
        transmission: Transmission,
        statuses: dict[int, int],
        granted_s: int,
        refresh_s: float,
        now: float,
    ) -> list[Effect]:
        effects: list[Effect] = []
        self.outstanding, self.refused, self.unknown = None, None, False
        if intent.overwrite or intent.plain:
            self.held, self.registered = {}, {}
        for line in intent.lines:
            status = statuses.get(line.bid, int(Status.REASON_UNSPECIFIED))
            if status < Status.REASON_UNSPECIFIED:
                # RFC 6275 11.7.3: the lifetime counts from the sending of the update.
                binding = Binding(line.care_of, transmission.sent_at + granted_s, transmission.sent_at + refresh_s)
                if not self.is_registered(line):
                    effects.append(Note("info", "line registered", (("bid", line.bid), ("lifetime_s", granted_s))))
                self.held[line.bid] = self.registered[line.bid] = binding
                self.refused_lines.pop(line.bid, None)
            else:
                self.registered.pop(line.bid, None)
                self.held.pop(line.bid, None)
                self.refused_lines[line.bid] = Refusal((line,), status, now + REFUSED_RETRY_S)
                effects.append(Count("lines_refused", str(status)))
                effects.append(Note("warning", "line refused", (("bid", line.bid), ("status", status))))
        self.refresh_at = transmission.sent_at + refresh_s
        return effects

    def _refresh_s(self, ack: BindingAck, granted_s: int) -> float:
        refresh_s = granted_s * (REFRESH_FRACTION + REFRESH_JITTER * self.draw())
        advice = ack.first(BindingRefreshAdvice)
        return refresh_s if advice is None or advice.interval_s <= 0 else min(refresh_s, advice.interval_s)

    def _fall_back(self, way: Way, why: str, now: float) -> list[Effect]:
        """RFC 5648 5.7: what the home agent cannot do is not asked again for a while; assume that it bound nothing."""
        self.outstanding, self.registered, self.unknown = None, {}, True
        self.way, self.way_until = way, now + FALLBACK_RETRY_S
        return [Count("fallbacks", way.name.lower()), Note("warning", why, (("now", way.name.lower()),))]

    def _left(self, status: int, now: float) -> None:
        self.held, self.registered, self.outstanding, self.leaving = {}, {}, None, False
        self.unknown, self.refused = True, Refusal((), status, now + REFUSED_RETRY_S)

    def _refuse(self, intent: Intent, ack: BindingAck, now: float, why: str) -> list[Effect]:
        self.outstanding = None
        self.refused = Refusal(intent.lines, int(ack.status), now + REFUSED_RETRY_S)
        fields = (("status", int(ack.status)), ("retry_s", REFUSED_RETRY_S))
        return [Count("registrations_refused", str(int(ack.status))), Note("error", why, fields)]
