"""Readiness: hard reasons withdraw, soft ones depreference, and nobody leaves the last site."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ha import readiness
from ha.readiness import ANNOUNCE, DEPREFERENCE, WITHDRAW, Facts, PeerSeen, decide

NOW = 1000.0
ANNOUNCING = PeerSeen(NOW - 0.1, "announced", True)
SILENT = PeerSeen(NOW - 60.0, "announced", True)
FIT = Facts(
    forwarding_reconciled=True,
    egress_present=True,
    data_plane_intact=True,
    synced=True,
    cold=False,
    drain_since=None,
    peers={"site2": ANNOUNCING, "site3": ANNOUNCING},
    mrai_s=0,
    orphan_hold_s=300,
)

peers = st.sampled_from([None, ANNOUNCING, SILENT, PeerSeen(NOW, "depreferenced", True)])
any_facts = st.builds(
    Facts,
    forwarding_reconciled=st.booleans(),
    egress_present=st.booleans(),
    data_plane_intact=st.booleans(),
    synced=st.booleans(),
    cold=st.booleans(),
    drain_since=st.none() | st.floats(0, NOW),
    peers=st.fixed_dictionaries({"site2": peers, "site3": peers}),
    mrai_s=st.floats(0, 30),
    orphan_hold_s=st.just(300.0),
)


def test_a_fit_site_is_announced() -> None:
    assert decide(FIT, NOW).wanted == ANNOUNCE


def test_no_egress_withdraws_at_once_even_alone() -> None:
    alone = replace(FIT, egress_present=False, peers={"site2": None, "site3": None})
    assert decide(alone, NOW).wanted == WITHDRAW


def test_nothing_is_announced_before_forwarding_and_first_synchronisation() -> None:
    assert decide(replace(FIT, forwarding_reconciled=False), NOW).wanted == WITHDRAW
    assert decide(replace(FIT, synced=False), NOW).wanted == WITHDRAW


def test_draining_depreferences_first_and_withdraws_after_the_linger() -> None:
    assert decide(replace(FIT, drain_since=NOW), NOW).wanted == DEPREFERENCE
    assert decide(replace(FIT, drain_since=NOW - 1.0), NOW).wanted == WITHDRAW
    assert decide(replace(FIT, drain_since=NOW - 1.0, mrai_s=5), NOW).wanted == DEPREFERENCE


def test_the_last_site_is_never_drained_away() -> None:
    alone = replace(FIT, drain_since=0.0, peers={"site2": SILENT, "site3": None})
    decision = decide(alone, NOW)
    assert decision.wanted == DEPREFERENCE
    assert decision.linger_s == 300


def test_a_site_that_hears_no_majority_stays_announced_depreferenced() -> None:
    isolated = replace(FIT, peers={"site2": SILENT, "site3": None})
    assert decide(isolated, NOW).wanted == DEPREFERENCE
    one_left = replace(FIT, peers={"site2": SILENT, "site3": ANNOUNCING})
    assert decide(one_left, NOW).wanted == ANNOUNCE


@given(any_facts)
def test_a_soft_reason_never_withdraws_the_last_announcement(facts: Facts) -> None:
    decision = decide(facts, NOW)
    hard = not (facts.forwarding_reconciled and facts.egress_present and facts.data_plane_intact and facts.synced)
    if hard:
        assert decision.wanted == WITHDRAW
    elif all(seen is None or seen is SILENT or seen.announcing != "announced" for seen in facts.peers.values()):
        assert decision.wanted != WITHDRAW
        assert decision.linger_s == facts.orphan_hold_s
    if decision.wanted != ANNOUNCE:
        assert decision.reasons


@given(st.floats(0, 60))
def test_the_linger_outlasts_the_neighbours_advertisement_interval(mrai_s: float) -> None:
    assert readiness.linger(mrai_s) >= max(1.0, 2 * mrai_s)
