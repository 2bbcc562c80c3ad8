"""The loop: effects before the next event, reports after them, poison kept and counted, deadlines met."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from runtime.counters import Counters
from runtime.loop import MAX_POISON_FILES, Loop, Tick


class Echo:
    """A core that answers each word with an effect, and fails on "bad"."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.deadline: float | None = None

    def handle(self, event: str, now: float) -> list[str]:
        if event == "bad":
            raise ValueError("planted")
        self.heard.append(event)
        return [f"{event} 1", f"{event} 2"]

    def next_deadline(self) -> float | None:
        return self.deadline


def run(scenario: Callable[[Loop[str, str], Echo, list[str]], None], poison: Path | None = None) -> Counters:
    counters, echo, done = Counters(), Echo(), list[str]()

    async def inside() -> None:
        loop: Loop[str, str] = Loop(echo, done.append, "time", counters, poison)
        scenario(loop, echo, done)
        loop.stop()

    asyncio.run(inside())
    return counters


def test_effects_are_carried_out_in_order_before_feed_returns() -> None:
    def scenario(loop: Loop[str, str], echo: Echo, done: list[str]) -> None:
        loop.feed("a")
        assert done == ["a 1", "a 2"]

    run(scenario)


def test_what_an_effect_reports_is_handled_after_the_other_effects() -> None:
    counters, echo, done = Counters(), Echo(), list[str]()

    async def inside() -> None:
        def perform(effect: str) -> None:
            done.append(effect)
            if effect == "a 1":
                loop.feed("b")

        loop: Loop[str, str] = Loop(echo, perform, "time", counters)
        loop.feed("a")
        loop.stop()

    asyncio.run(inside())
    assert done == ["a 1", "a 2", "b 1", "b 2"]


def test_a_poisonous_event_is_dropped_counted_and_kept_and_the_next_one_served(tmp_path: Path) -> None:
    def scenario(loop: Loop[str, str], echo: Echo, done: list[str]) -> None:
        for _ in range(MAX_POISON_FILES + 5):
            loop.feed("bad")
        loop.feed("good")
        assert echo.heard == ["good"]

    counters = run(scenario, tmp_path / "poison")
    assert counters.get("poison_events", "str") == MAX_POISON_FILES + 5
    kept = list((tmp_path / "poison").iterdir())
    assert 0 < len(kept) <= MAX_POISON_FILES
    assert "planted" in kept[0].read_text()


def test_an_effect_that_fails_does_not_keep_the_next_from_being_carried_out() -> None:
    counters, echo, done = Counters(), Echo(), list[str]()

    async def inside() -> None:
        def perform(effect: str) -> None:
            if effect == "a 1":
                raise OSError("planted")
            done.append(effect)

        loop: Loop[str, str] = Loop(echo, perform, "time", counters)
        loop.feed("a")
        loop.stop()

    asyncio.run(inside())
    assert done == ["a 2"]
    assert counters.get("effects_failed", "str") == 1


def test_the_core_is_woken_at_its_deadline() -> None:
    counters, echo = Counters(), Echo()

    async def inside() -> None:
        woken = asyncio.Event()

        def perform(effect: str) -> None:
            if effect == "time 1":
                echo.deadline = None
                woken.set()

        loop: Loop[str, str] = Loop(echo, perform, "time", counters)
        echo.deadline = loop.now() + 0.01
        loop.feed("a")
        await asyncio.wait_for(woken.wait(), 5)
        loop.stop()

    asyncio.run(inside())
    assert echo.heard == ["a", "time"]


def test_the_core_is_not_woken_before_a_deadline_that_was_put_off_and_is_at_one_that_came_nearer() -> None:
    counters, echo, moments = Counters(), Echo(), list[float]()

    async def inside() -> None:
        woken = asyncio.Event()

        def perform(effect: str) -> None:
            if effect == "time 1":
                moments.append(loop.now())
                put_off = loop.now() + 60 if len(moments) == 2 else loop.now() + 0.02
                echo.deadline = put_off
                woken.set()

        loop: Loop[str, str] = Loop(echo, perform, "time", counters)
        first = loop.now()
        for after_s in (0.01, 60.0, 0.03):  # put off, then nearer again, but later than at first
            echo.deadline = first + after_s
            loop.feed("a")
        await asyncio.wait_for(woken.wait(), 5)
        woken.clear()
        await asyncio.wait_for(woken.wait(), 5)
        loop.stop()
        assert moments[0] >= first + 0.03
        assert moments[1] >= moments[0] + 0.02

    asyncio.run(inside())
    assert echo.heard == ["a", "a", "a", "time", "time"]


def test_a_tick_is_not_behind_all_that_waits_in_the_turn() -> None:
    """A lease was renewed only when all sockets of a busy turn had been read: up to 0.1 s late."""
    echo, due_at = Echo(), [0.0]

    async def inside() -> None:
        def perform(effect: str) -> None:
            if effect == "tick 1":
                due_at[0] += 3600.0

        loop: Loop[str, str] = Loop(echo, perform, "time", Counters(), tick=Tick("tick", lambda: due_at[0]))
        echo.deadline = loop.now()  # who waits goes on waiting, until all that has come is read
        due_at[0] = loop.now() + 3600.0
        loop.feed("a")
        due_at[0] = loop.now()
        loop.feed("b")
        loop.feed("c")
        loop.stop()

    asyncio.run(inside())
    assert echo.heard == ["a", "b", "tick", "c"]
