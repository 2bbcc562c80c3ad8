"""The judge of announcements that must stay: each look counts, however soon the announcement was back."""

from typing import cast

import pytest

from lab import engine
from lab.engine import Engine, Look, withdrawn
from lab.events import Hands
from lab.isp import Best
from lab.lab import Lab
from lab.ledger import Ledger
from lab.scenario import Expectation, Scenario, Step
from lab.topology import locator

OTHER = "2001:db8:ff:14::4"
HELD = Best(locator("site1"), (), {locator("site1"): ()})
DEPREFERENCED = Best(OTHER, (), {locator("site1"): ("gracefulShutdown",), OTHER: ()})
GONE = Best(OTHER, (), {OTHER: ()})
ELSEWHERE = Best(locator("site2"), (), {locator("site2"): ()})


@pytest.mark.parametrize(
    ("ribs", "said"),
    [
        ([], ""),
        ([HELD, DEPREFERENCED, HELD], ""),
        ([HELD, GONE, HELD], "site1 was withdrawn 0.10 s after the event, at 1 of 3 looks"),
        ([GONE, GONE], "site1 was withdrawn 0.00 s after the event, at 2 of 2 looks"),
        ([HELD, DEPREFERENCED, Best(None)], "site1 was withdrawn 0.20 s after the event, at 1 of 3 looks"),
    ],
)
def test_who_withdraws_and_comes_back_has_withdrawn(ribs: list[Best], said: str) -> None:
    """The RIB was read at the end of the window only: a withdraw that came back within it passed."""
    assert withdrawn([Look(number / 10, {"site1": rib}) for number, rib in enumerate(ribs)]) == said


def test_every_site_is_looked_at() -> None:
    looks = [Look(0.1, {"site1": HELD, "site2": ELSEWHERE}), Look(0.2, {"site1": HELD, "site2": HELD})]
    assert withdrawn(looks) == "site2 was withdrawn 0.20 s after the event, at 1 of 2 looks"


class Flicker:
    """A clock that only sleeping moves, and a network in which site1 is withdrawn for a while after the event."""

    def __init__(self, gone_s: tuple[float, float]) -> None:
        self.now, self._gone_s, self._at = 1000.0, gone_s, 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def do(self, step: Step) -> float:
        self._at = self.now
        return self.now

    def seen_from(self, site: str) -> Best:
        began, ended = self._gone_s
        return GONE if began <= self.now - self._at < ended else HELD


@pytest.mark.parametrize(
    ("gone_s", "stays", "said"),
    [
        ((0.0, 0.0), ("site1",), ""),
        ((0.45, 0.6), ("site1",), "site1 was withdrawn"),
        ((4.15, 4.3), ("site1",), "site1 was withdrawn"),  # while the engine waits for the end of the step
        ((0.45, 0.6), (), ""),  # nobody asked
    ],
)
def test_a_step_looks_at_who_must_stay_from_the_event_to_its_end(
    gone_s: tuple[float, float], stays: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flicker = Flicker(gone_s)
    monkeypatch.setattr(engine, "time", flicker)
    one = Engine(cast(Lab, flicker), cast(Hands, flicker), Ledger([], ["site1"], ["line1"]))
    step = Step(0.0, "separate", ("site1",), Expectation(stays=stays, nothing=True), window_s=4.0)
    [outcome] = one.run(Scenario("flicker", "failover", (), (step,)), lambda step: None, lambda outcome: None)
    assert outcome.missing.startswith(said) and bool(outcome.missing) == bool(said)
