"""Runs a pure core: feed it events, carry out its effects, wake it at its deadline.

Owns the clock, the queue and the alarm. Rule: nothing that comes from the network stops a daemon. If `handle` raises,
the core promises that its state is unchanged; the event is dropped, counted and kept as poison (bounded) for a human
to read. Effects are carried out before the next event is handled, and what they report comes back as events on the
same queue.
"""

import asyncio
import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from runtime import log
from runtime.counters import Counters

MAX_POISON_FILES = 32  # enough to see a pattern, too few to fill a disk

Event = TypeVar("Event", contravariant=True)
Effect = TypeVar("Effect", covariant=True)
AnyEvent = TypeVar("AnyEvent")
AnyEffect = TypeVar("AnyEffect")


class Core(Protocol[Event, Effect]):
    """What a core offers: one call in, one list out, and when it next wants to be called."""

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Change state by `event` and say what to do; `now` is monotonic seconds. All or nothing if it raises."""

    def next_deadline(self) -> float | None:
        """When, on the clock of `now`, the core wants a `time_reached` event; None for never."""


@dataclass(frozen=True, slots=True)
class Tick(Generic[AnyEvent]):
    """What must be on time however busy a turn is: the event, and when it is due next, monotonic seconds."""

    event: AnyEvent
    due_at: Callable[[], float]


class Loop(Generic[AnyEvent, AnyEffect]):
    """The asyncio shell around one core.

    Args:
        core: the pure part.
        perform: carries out one effect; may call `feed` to report back.
        time_reached: the event to feed when the core's deadline has come.
        counters: `poison_events` is counted here.
        poison_directory: where dropped events are kept; None keeps none.
        tick: besides the deadlines of the core, one that does not wait for the end of a turn.
    """

    def __init__(
        self,
        core: Core[AnyEvent, AnyEffect],
        perform: Callable[[AnyEffect], None],
        time_reached: AnyEvent,
        counters: Counters,
        poison_directory: Path | None = None,
        tick: Tick[AnyEvent] | None = None,
    ) -> None:
        self._core = core
        self._perform = perform
        self._time_reached = time_reached
        self._counters = counters
        self._poison_directory = poison_directory
        self._tick = tick
        self._queue: deque[AnyEvent] = deque()
        self._busy = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    @staticmethod
    def now() -> float:
        """The clock of this process's deadlines: monotonic seconds."""
        return time.monotonic()

    def feed(self, event: AnyEvent) -> None:
        """Handle `event`, and all that its effects report, before returning; reentrant calls only enqueue.

        A tick that has come meanwhile is handled here too: asyncio lets an alarm ring only behind all that waits in its
        turn, and a turn under load brings hundreds of events from all sockets. For other deadlines that is right: who
        waits for an answer gives up only when all that came is read.
        """
        self._queue.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            self._drain()
            if self._tick is not None and self._tick.due_at() <= self.now():
                self._queue.append(self._tick.event)
                self._drain()
        finally:
            self._busy = False
        self._arm()

    def stop(self) -> None:
        """Cancel the alarm; nothing more is handled by time."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _drain(self) -> None:
        while self._queue:
            self._handle(self._queue.popleft())

    def _handle(self, event: AnyEvent) -> None:
        try:
            effects = self._core.handle(event, self.now())
        except Exception:
            self._keep_poison(event, traceback.format_exc())
            return
        for effect in effects:
            try:
                self._perform(effect)
            except Exception:
                self._counters.add("effects_failed", type(effect).__name__)
                log.get().error("effect failed", kind=type(effect).__name__, trace=traceback.format_exc())

    def _arm(self) -> None:
        """An alarm that would ring too early stays: thousands of deadlines a second are put off, few ever come."""
        deadline = self._core.next_deadline()
        if deadline is None:
            return
        if self._alarm is not None:
            if deadline >= self._alarm_at:
                return
            self._alarm.cancel()
        self._alarm_at = deadline
        self._alarm = asyncio.get_running_loop().call_later(max(0.0, deadline - self.now()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        deadline = self._core.next_deadline()
        if deadline is not None and deadline <= self.now():
            self.feed(self._time_reached)
        else:
            self._arm()

    def _keep_poison(self, event: AnyEvent, trace: str) -> None:
        self._counters.add("poison_events", type(event).__name__)
        log.get().error("event dropped by an internal error", kind=type(event).__name__, trace=trace)
        if self._poison_directory is None:
            return
        try:
            self._poison_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if len(list(self._poison_directory.iterdir())) < MAX_POISON_FILES:
                path = self._poison_directory / f"{time.time_ns()}.txt"
                path.write_text(f"{event!r}\n\n{trace}")
        except OSError as error:
            log.get().warning("poison event not kept", reason=str(error))
