"""Plays a seed, or some of its deeds, and finds the fewest deeds that still break the same rule."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from runtime import collector
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.violation import Violation
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    `broken`: how a rule was broken, empty if none was, and `rule`: which; `events`: what the world did in all;
    `faults`: those that found something to do it to.
    """

    seed: int
    broken: str
    rule: str
    events: int
    seconds: float
    faults: int
    updates: int


def play(seed: int, only: Collection[int] | None = None, tell: Callable[[str], None] | None = None) -> Outcome:
    """Play a seed; `only`: these deeds, by their place in the list."""
    chosen = with_only(scenario(seed), only)
    world = World(chosen, tell)
    try:
        with collector.nothing_kept():  # it would look through all that is new for a fifth of the run's time
            world.run()
        broken = rule = ""
    except Violation as violation:
        broken, rule = str(violation), violation.rule
    done, now, faults = world.schedule.done, world.schedule.now, world.faults_done
    return Outcome(seed, broken, rule, done, now, faults, world.updates())


def with_only(whole: Scenario, only: Collection[int] | None) -> Scenario:
    """The scenario with some of its deeds; None: all."""
    if only is None:
        return whole
    return replace(whole, deeds=tuple(deed for place, deed in enumerate(whole.deeds) if place in only))


def shrink(seed: int, within_s: float, broken: Callable[[int, list[int]], str]) -> list[int]:
    """The places of few deeds with which the seed breaks the same rule; sought for `within_s` of process time.

    `broken`: plays some deeds of a seed and names the rule that they break.

    Delta debugging (Zeller): leave out ever smaller parts of the list as long as it still fails.
    """
    until = time.process_time() + within_s
    kept = list(range(len(scenario(seed).deeds)))
    rule = broken(seed, kept)
    parts = 2
    while kept and time.process_time() < until:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            left = kept[:start] + kept[start + size :]
            if broken(seed, left) == rule:
                kept, parts = left, max(2, parts - 1)
                break
            if time.process_time() >= until:
                return kept
        else:
            if size == 1:
                break
            parts = min(len(kept), 2 * parts)
    return kept
