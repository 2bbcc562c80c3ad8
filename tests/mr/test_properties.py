"""Whatever happens in whatever order: numbers only grow, one update is outstanding, the rate is kept, time moves on."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mip6.numbers import Status
from mip6.options import BindingIdentifier
from mr.events import (
    BindingUpdateNotSent,
    ClockObserved,
    Count,
    SendBindingUpdate,
    SetUplinks,
    StopRequested,
    UplinkChanged,
)
from tests.mr.cast import (
    CARE_OF,
    CLOCK_OFFSET_S,
    GATEWAY,
    OTHER_CARE_OF,
    STRANGER,
    Answer,
    Bench,
    received_update,
    timestamp_of,
)

STATUSES = [0, 0, 0, 4, 128, 129, 130, 133, 165, 166, 174, int(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW)]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("line"), st.sampled_from([1, 2]), st.booleans(), st.sampled_from([None, 0, 0, 0, 1])),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.3, 1.0, 2.0, 30.0, 200.0, 4000.0])),
        st.tuples(st.just("answer"), st.sampled_from(STATUSES), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("forge"), st.sampled_from(STATUSES)),
        st.tuples(st.just("clock"), st.sampled_from([-1e6, -5.0, 5.0, 1e6])),
        st.tuples(st.just("unsent")),
        st.tuples(st.just("stop")),
    ),
    max_size=40,
)


class Witness:
    """Watches everything that leaves the router."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.lines: dict[int, UplinkChanged] = {}
        self.sent: list[tuple[float, SendBindingUpdate]] = []
        self.adopted: int | None = None

    def see(self, effects: list[Any]) -> None:
        """Check each update against all before it, and each set of lines against what is usable."""
        for effect in effects:
            if isinstance(effect, SendBindingUpdate):
                self._see_update(effect)
            elif isinstance(effect, SetUplinks):
                for path in effect.uplinks:
                    line = self.lines[path.bid]
                    assert line.carrier and line.care_of == path.care_of
        deadline = self.bench.router.next_deadline()
        assert deadline is None or deadline > self.bench.now

    def _see_update(self, effect: SendBindingUpdate) -> None:
        message = received_update(effect)
        assert any(line.carrier and line.care_of == effect.care_of for line in self.lines.values())
        if self.sent:
            earlier = received_update(self.sent[-1][1])
            assert timestamp_of(message) > timestamp_of(earlier)
            expected = earlier.sequence if self.adopted is None else self.adopted
            assert message.sequence == (expected + 1) % 65536
        self.adopted = None
        self.sent.append((self.bench.times[-1], effect))
        recent = [moment for moment, _ in self.sent if moment > self.sent[-1][0] - 1.0 + 1e-6]
        assert len(recent) <= 3

    def content(self, number: int) -> object:
        """What the update said, without its numbers."""
        message = received_update(self.sent[number][1])
        return message.flags, message.lifetime_s, message.all(BindingIdentifier)

    def answer(self, status: int, back: int, partly: bool) -> None:
        """Answer one of the last updates authentically."""
        if back >= len(self.sent):
            return
        number = len(self.sent) - 1 - back
        sequence = 4711 if status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW else None
        answer = Answer(status, line_statuses={2: 128} if partly else None, sequence=sequence)
        stale = self.content(number) != self.content(-1)
        effects = self.bench.router.handle(answer.to(self.sent[number][1]), self.bench.now)
        dropped = any(isinstance(effect, Count) and effect.name == "binding_acks_dropped" for effect in effects)
        assert dropped or not stale, "an update that was superseded is still outstanding"
        if sequence is not None and not dropped:
            self.adopted = sequence
        self.bench.times.append(self.bench.now)
        self.see(effects)

    def forge(self, status: int) -> None:
        """Answer the last update with the wrong key, and with the right key but another timestamp."""
        if not self.sent:
            return
        before = (self.bench.router.view(self.bench.now), self.bench.router.next_deadline())
        for answer in (Answer(status, association=STRANGER), Answer(status, timestamp=1)):
            (effect,) = self.bench.feed(answer.to(self.sent[-1][1]))
            assert isinstance(effect, Count) and effect.name == "binding_acks_dropped"
        assert (self.bench.router.view(self.bench.now), self.bench.router.next_deadline()) == before

    def step(self, name: str, *arguments: Any) -> None:
        """Play one step."""
        if name == "line":
            bid, carrier, choice = arguments
            care_of = None if choice is None else OTHER_CARE_OF if choice == 1 and bid == 1 else CARE_OF[bid]
            self.lines[bid] = UplinkChanged(bid, carrier, care_of, GATEWAY[bid])
            self.see(self.bench.feed(self.lines[bid]))
        elif name == "wait":
            end = self.bench.now + arguments[0]
            while (deadline := self.bench.router.next_deadline()) is not None and deadline <= end:
                self.see(self.bench.advance(deadline - self.bench.now))
            self.bench.now = end
        elif name == "answer":
            self.answer(*arguments)
        elif name == "forge":
            self.forge(*arguments)
        elif name == "clock":
            self.see(self.bench.feed(ClockObserved(CLOCK_OFFSET_S + arguments[0])))
        elif name == "unsent":
            self.see(self.bench.feed(BindingUpdateNotSent(1, "no route")))
        else:
            self.see(self.bench.feed(StopRequested()))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_numbers_grow_one_update_is_outstanding_and_the_rate_is_kept(script: list[tuple[Any, ...]]) -> None:
    witness = Witness()
    witness.lines = {bid: UplinkChanged(bid, True, CARE_OF[bid], GATEWAY[bid]) for bid in (1, 2)}
    witness.see(witness.bench.start())
    for name, *arguments in script:
        witness.step(name, *arguments)
