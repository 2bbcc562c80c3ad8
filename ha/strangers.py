"""What senders who have not proved who they are may cost us, and which complaints they are sent. Pure.

One token bucket for all answers to strangers together (RFC 6275 9.3.3 asks for a limiter like that of RFC 4443 2.4
f): Binding Errors, ICMPv6 Parameter Problems, status 146. Beyond the budget they get silence, counted.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ha.effects import Effect, SendBindingError, SendParameterProblem
from ha.events import (
    HeaderMalformed,
    HomeAddressUsed,
    MessageIgnored,
    MessageUnknown,
)
from ha.prefix import is_global_unicast
from ha.undo import Undo
from mip6.numbers import BindingErrorStatus
from runtime.counters import Counters

RATE = 100.0  # answers a second, and as many saved
ESP, AH = 50, 51  # RFC 6275 9.3.1: a Home Address option before these needs no binding
UNSPECIFIED = bytes(16)

FromStranger = HeaderMalformed | MessageUnknown | MessageIgnored | HomeAddressUsed
CareOfs = Callable[[bytes, float], list[bytes | None]]


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """`rate` tokens a second, at most `rate` saved. A value: taking one gives a new bucket."""

    rate: float
    tokens: float
    filled_at: float

    def take(self, now: float) -> "TokenBucket | None":
        """The bucket after one token was taken at `now` (monotonic seconds); None if it is empty."""
        tokens = min(self.rate, self.tokens + max(0.0, now - self.filled_at) * self.rate)
        return None if tokens < 1 else TokenBucket(self.rate, tokens - 1, now)


class Strangers:
    """The budget of one site."""

    def __init__(self, now: float, counters: Counters) -> None:
        self._bucket = TokenBucket(RATE, RATE, now)
        self._counters = counters

    def within_budget(self, now: float, undo: Undo) -> bool:
        """Take one answer from the budget; False, and counted, if none is left."""
        left = self._bucket.take(now)
        if left is None:
            self._counters.add("answers_suppressed", "strangers")
            return False
        undo.assign(self, "_bucket", left)
        return True

    def handle(self, event: FromStranger, care_ofs: CareOfs, now: float, undo: Undo) -> list[Effect]:
        """Count what came and complain where a rule asks for it; `care_ofs` tells the addresses registered."""
        match event:
            case HeaderMalformed():
                return self._malformed(event, now, undo)
            case MessageIgnored(kind):
                self._counters.add("mobility_headers_ignored", kind)
                return []
            case MessageUnknown(source, home_address):
                # RFC 6275 9.2: a type that nobody knows.
                self._counters.add("mobility_headers_ignored", "unknown_type")
                status, about = BindingErrorStatus.UNRECOGNIZED_TYPE, home_address or UNSPECIFIED
                return self._binding_error(status, source, about, now, undo)
            case HomeAddressUsed(source, home_address, next_header):
                # RFC 6275 9.3.1: data with a Home Address option needs a binding to its source.
                if next_header in (ESP, AH) or source in care_ofs(home_address, now):
                    return []
                self._counters.add("home_address_options_refused")
                return self._binding_error(BindingErrorStatus.UNKNOWN_BINDING, source, home_address, now, undo)

    def _malformed(self, event: HeaderMalformed, now: float, undo: Undo) -> list[Effect]:
        """RFC 6275 9.2: silence, or a Parameter Problem where the rule names an octet. Never to what is no unicast."""
        self._counters.add("mobility_headers_malformed", event.reason)
        if event.pointer is None or not is_global_unicast(event.source) or not self.within_budget(now, undo):
            return []
        problem = SendParameterProblem(event.source, event.destination, event.extension, event.octets, event.pointer)
        return [problem]

    def _binding_error(
        self, status: BindingErrorStatus, to: bytes, home_address: bytes, now: float, undo: Undo
    ) -> list[Effect]:
        if not is_global_unicast(to) or not self.within_budget(now, undo):
            return []
        return [SendBindingError(status, to, home_address)]
