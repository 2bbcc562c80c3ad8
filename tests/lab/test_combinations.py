"""The judge of stuck announcements can say no."""

from itertools import combinations
from signal import SIGKILL, SIGSTOP

import pytest

from tests.topology.combinations import (
    COVERING,
    PAIRS,
    PROCESSES,
    SINGLES,
    Harm,
    Look,
    bound_s,
    can_hear,
    complaint,
)

DEAD: Harm = (("xsp-ha", SIGKILL), ("bridge", SIGSTOP))
SERVING: Harm = (("bridge", SIGSTOP),)


def test_every_single_one_and_every_pair_is_there_and_the_short_list_covers_each() -> None:
    assert (len(SINGLES), len(PAIRS)) == (12, 60)
    assert set(COVERING) <= set(PAIRS)
    pairs = [frozenset(process for process, _ in harm) for harm in COVERING]
    assert set(map(frozenset, combinations(PROCESSES[:4], 2))) < set(pairs)
    assert len(set(COVERING)) == len(COVERING)
    assert {pair for pair in pairs if pairs.count(pair) > 1} == {frozenset({"xsp-ha", "bridge"})}
    assert {one for harm in COVERING for one in harm} == {
        (process, number) for process in PROCESSES for number in (SIGKILL, SIGSTOP)
    }


@pytest.mark.parametrize(
    ("harm", "looks", "served", "words"),
    [
        (DEAD, [Look(0.1, True, True), Look(0.5, False, True), Look(4.0, False, False)], False, ""),
        (DEAD, [Look(0.1, True, True), Look(4.0, True, True)], True, "still chosen"),
        (DEAD, [Look(0.1, True, True), Look(3.5, False, False)], True, "still chosen"),
        (DEAD, [Look(0.5, False, True), Look(6.0, False, True)], True, "still announced"),
        (DEAD, [Look(0.5, False, True), Look(4.0, True, True), Look(5.0, False, False)], True, "chosen again"),
        (SERVING, [Look(0.5, True, True), Look(3.0, True, True)], True, ""),
        (SERVING, [Look(0.5, True, True), Look(3.0, True, True)], False, "although nothing passes"),
        (SERVING, [Look(0.5, False, False), Look(3.0, True, True)], False, ""),
    ],
)
def test_a_route_that_stays_too_long_is_seen(harm: Harm, looks: list[Look], served: bool, words: str) -> None:
    found = complaint(harm, looks, served, relaxed=3.0)
    assert words in found and bool(words) == bool(found)


def test_who_hears_of_no_other_may_stay_depreferenced() -> None:
    looks = [Look(0.5, False, True), Look(6.0, False, True)]
    assert complaint(DEAD, looks, False, 3.0, withdraws=False) == ""
    deaf: Harm = (("xsp-ha", SIGSTOP), ("supervisor", SIGSTOP))
    assert (can_hear(DEAD), can_hear(deaf)) == (True, False)
    still_chosen = complaint(deaf, [Look(0.5, True, True), Look(6.0, True, True)], False, 3.0, can_hear(deaf))
    assert "still chosen" in still_chosen, "it may stay, but not be preferred"


def test_of_two_bounds_the_larger_counts() -> None:
    assert bound_s(DEAD) == 1.0
