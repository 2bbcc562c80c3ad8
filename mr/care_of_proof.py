"""Showing the home agent that we hear at every care-of address: one Heartbeat exchange for each claimed line.

Theory of operation. `mip6.care_of_proof` says what the messages carry. After each acknowledged registration of several
lines, those that the Binding Update did not come from are only claimed: for each of them a Heartbeat goes out over
that very line, repeated with a doubling pause. An answer with a cookie is echoed at once, but the same pause bounds a
home agent that keeps asking. An answer without one ends the test until the next registration; with the cookie kept, a
refresh costs one exchange. A home agent that knows no Heartbeats (RFC 5847) simply never answers, and nothing else
here depends on it: a line carries outgoing traffic as soon as it is registered.

The restart counter in an answer (RFC 5847 3.4) that differs from the one before says that a site lost its bindings.
Refuses clocks and randomness.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mip6 import care_of_proof
from mip6.auth import SecurityAssociation, verify
from mip6.messages import Heartbeat
from mip6.options import MessageIdentification, Option, RestartCounter
from mr.binding_update import Line
from mr.events import Count, Effect, HeartbeatReceived, Note
from mr.settings import Settings

FIRST_PAUSE_S = 1.0  # as for Binding Updates, RFC 6275 12
MAX_PAUSE_S = 32.0
ECHOES_AT_ONCE = 2  # cookies that are echoed without a pause, for one registration


@dataclass(frozen=True, slots=True)
class Test:
    """A line under test. `timestamp` 0: nothing was sent yet."""

    line: Line
    send_at: float
    sequence: int = 0
    timestamp: int = 0
    attempts: int = 0
    echoes: int = 0


@dataclass(slots=True)
class CareOfTests:
    """All tests under way, what was shown, and the cookies kept. `restarts`: the home agent's counter, if it told."""

    tests: dict[int, Test] = field(default_factory=dict)
    verified: dict[int, bytes] = field(default_factory=dict)
    cookies: dict[Line, bytes] = field(default_factory=dict)
    sequence: int = 0
    restarts: int | None = None

    def fork(self) -> "CareOfTests":
        """An independent copy."""
        return replace(self, tests=dict(self.tests), verified=dict(self.verified), cookies=dict(self.cookies))

    def registered(self, lines: Iterable[Line], source: bytes, now: float) -> None:
        """A Binding Update from `source` that names `lines` was accepted: test all but its own."""
        for line in lines:
            if line.care_of == source:
                self.tests.pop(line.bid, None)
                self.verified[line.bid] = line.care_of
            else:
                self.tests[line.bid] = Test(line, now)

    def moved(self) -> None:
        """Another home agent: its cookies and its counter are its own."""
        self.tests, self.verified, self.cookies, self.restarts = {}, {}, {}, None

    def keep(self, lines: Iterable[Line]) -> None:
        """Forget everything about lines that are not among these: they are no longer registered with this address."""
        kept = set(lines)
        self.tests = {bid: test for bid, test in self.tests.items() if test.line in kept}
        self.verified = {bid: care_of for bid, care_of in self.verified.items() if Line(bid, care_of) in kept}
        self.cookies = {line: cookie for line, cookie in self.cookies.items() if line in kept}

    def due(self, now: float) -> list[Test]:
        """Tests whose Heartbeat should go out now."""
        return [test for test in self.tests.values() if test.send_at <= now]

    def next_deadline(self) -> float | None:
        """When `due` next has something; None for never."""
        return min((test.send_at for test in self.tests.values()), default=None)

    def transmit(self, test: Test, settings: Settings, timestamp: int, now: float) -> Heartbeat:
        """The next Heartbeat of a test, which is recorded as sent."""
        self.sequence = (self.sequence + 1) % 2**32
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(test.attempts, 8), MAX_PAUSE_S)
        self.tests[test.line.bid] = replace(
            test, send_at=now + pause_s, sequence=self.sequence, timestamp=timestamp, attempts=test.attempts + 1
        )
        options: list[Option] = [care_of_proof.identifier(settings.home_address)]
        cookie = self.cookies.get(test.line)
        if cookie is not None:
            options.append(care_of_proof.cookie_option(cookie))
        options.append(MessageIdentification(timestamp))
        return Heartbeat(self.sequence, options=tuple(options))

    def answered(
        self, received: HeartbeatReceived, settings: Settings, association: SecurityAssociation, now: float
    ) -> list[Effect]:
        """Take in a Heartbeat; what is not an authentic answer to one of ours only counts."""
        test = next((one for one in self.tests.values() if one.line.care_of == received.destination), None)
        if fault := _fault(received, test, settings, association):
            return [Count("heartbeats_dropped", fault)]
        assert test is not None  # otherwise there was a fault
        effects: list[Effect] = [Count("heartbeats_answered")]
        cookie = care_of_proof.cookie(received.message)
        if cookie is None:
            del self.tests[test.line.bid]
            if self.verified.get(test.line.bid) != test.line.care_of:
                effects.append(Note("info", "care-of address verified", (("bid", test.line.bid),)))
            self.verified[test.line.bid] = test.line.care_of
        else:
            self.cookies[test.line] = cookie
            self.verified.pop(test.line.bid, None)
            send_at = now if test.echoes < ECHOES_AT_ONCE else test.send_at
            self.tests[test.line.bid] = replace(test, send_at=send_at, timestamp=0, echoes=test.echoes + 1)
        return effects

    def restarted(self, message: Heartbeat) -> bool:
        """True if the counter in an authentic answer says that the home agent lost its bindings since the last one."""
        option = message.first(RestartCounter)
        if option is None:
            return False
        before, self.restarts = self.restarts, option.counter
        return before is not None and before != option.counter


def _fault(
    received: HeartbeatReceived, test: Test | None, settings: Settings, association: SecurityAssociation
) -> str | None:
    """Why a Heartbeat is not an answer to be believed, cheap reasons first; None if it is one."""
    message = received.message
    if not message.response or received.source != settings.home_agent:
        return "not_an_answer"
    identification = message.first(MessageIdentification)
    if test is None or not test.timestamp or message.sequence != test.sequence:
        return "sequence_unknown"
    if identification is None or identification.timestamp != test.timestamp:
        return "timestamp_unknown"
    if not verify(received.octets, association, received.destination, settings.home_address):
        return "not_authentic"
    return None
