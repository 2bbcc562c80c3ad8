"""Readiness: hard reasons withdraw, soft ones depreference, and nobody leaves the last site."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha import readiness
from ha.readiness import ANNOUNCE, DEPREFERENCE, SERVE, WITHDRAW, Facts, Mode, PeerSeen, Wish, decide

NOW = 1000.0
ANNOUNCING = PeerSeen(NOW - 0.1, "announced", True)
SILENT = PeerSeen(NOW - 60.0, "announced", True)
JUST_NOW = Wish(Mode.DRAIN, NOW, "alice", "new disk")
LONG_AGO = Wish(Mode.DRAIN, NOW - 10.0, "alice")
FIT = Facts(
    site="site1",
    forwarding_reconciled=True,
    looked=True,
    egress_present=True,
    data_plane_intact=True,
    self_test="",
    synced=True,
    started=True,
    installed=True,
    cold=False,
    behind=False,
    wish=SERVE,
    drained=False,
    peers={"site2": ANNOUNCING, "site3": ANNOUNCING},
    load=0.0,
    prepending=False,
    mrai_s=0,
    orphan_hold_s=300,
)

peers = st.sampled_from([None, ANNOUNCING, SILENT, PeerSeen(NOW, "depreferenced", True)])
any_facts = st.builds(
    Facts,
    site=st.just("site1"),
    forwarding_reconciled=st.booleans(),
    looked=st.booleans(),
    egress_present=st.booleans(),
    data_plane_intact=st.booleans(),
    self_test=st.sampled_from([None, "", "a packet is lost"]),
    synced=st.booleans(),
    started=st.booleans(),
    installed=st.booleans(),
    cold=st.booleans(),
    behind=st.booleans(),
    wish=st.builds(Wish, st.sampled_from(Mode), st.floats(0, NOW)),
    drained=st.booleans(),
    load=st.floats(0, 2),
    prepending=st.booleans(),
    peers=st.fixed_dictionaries({"site2": peers, "site3": peers}),
    mrai_s=st.floats(0, 30),
    orphan_hold_s=st.just(300.0),
)


def test_a_fit_site_is_announced() -> None:
    assert decide(FIT, NOW).wanted == ANNOUNCE


def test_no_egress_withdraws_at_once_even_alone() -> None:
    alone = replace(FIT, egress_present=False, peers={"site2": None, "site3": None})
    assert decide(alone, NOW).wanted == WITHDRAW


def test_a_failed_self_test_withdraws_at_once_and_says_what_is_lost() -> None:
    decision = decide(replace(FIT, self_test="a packet is lost"), NOW)
    assert (decision.wanted, decision.reasons) == (WITHDRAW, ("self-test: a packet is lost",))


def test_a_site_that_starts_asks_for_nothing_until_it_knows_enough() -> None:
    """Its predecessor's announcement may still stand, at all sites at once, before kernels that forward on."""
    for unknown in (
        {"forwarding_reconciled": False},
        {"looked": False, "egress_present": False},
        {"self_test": None},
        {"synced": False},
        {"installed": False, "started": False},
    ):
        decision = decide(replace(FIT, **unknown), NOW)
        assert (decision.wanted, decision.starting) == (WITHDRAW, True)
    known = decide(replace(FIT, synced=False, egress_present=False), NOW)
    assert (known.wanted, known.starting) == (WITHDRAW, False)


def test_draining_depreferences_first_and_withdraws_after_the_linger() -> None:
    assert decide(replace(FIT, wish=JUST_NOW), NOW).wanted == DEPREFERENCE
    assert decide(replace(FIT, wish=JUST_NOW), NOW + 0.99).wanted == DEPREFERENCE
    assert decide(replace(FIT, wish=LONG_AGO), NOW).wanted == WITHDRAW
    assert decide(replace(FIT, wish=LONG_AGO, mrai_s=6), NOW).wanted == DEPREFERENCE


def test_the_reason_names_who_asked_and_why() -> None:
    assert decide(replace(FIT, wish=JUST_NOW), NOW).reasons == ("drained by the operator alice: new disk",)
    depreferenced = replace(FIT, wish=Wish(Mode.DEPREFERENCE, 0.0))
    assert decide(depreferenced, NOW).reasons == ("depreferenced by the operator",)


def test_an_operators_depreference_stays_announced_for_ever() -> None:
    decision = decide(replace(FIT, wish=Wish(Mode.DEPREFERENCE, 0.0)), NOW + 1e6)
    assert decision.wanted == DEPREFERENCE


def test_the_last_site_is_never_drained_away() -> None:
    alone = replace(FIT, wish=LONG_AGO, peers={"site2": SILENT, "site3": None})
    decision = decide(alone, NOW)
    assert decision.wanted == DEPREFERENCE
    assert decision.linger_s == 300
    assert decision.reasons[1].startswith("brake")


def test_a_drain_is_not_finished_on_an_old_hello_but_stays_finished_while_a_peer_counts_as_alive() -> None:
    """Two sites drained at once must not both believe what the other said before."""
    old = PeerSeen(NOW - 0.6, "announced", True)
    facts = replace(FIT, wish=LONG_AGO, peers={"site2": old, "site3": None})
    assert decide(facts, NOW).wanted == DEPREFERENCE
    assert decide(replace(facts, drained=True), NOW).wanted == WITHDRAW
    assert decide(replace(facts, drained=True), NOW + 3).wanted == DEPREFERENCE


def test_a_clock_off_the_median_of_two_peers_depreferences_and_one_peer_proves_nothing() -> None:
    def seen(ahead_s: float) -> PeerSeen:
        return replace(ANNOUNCING, clock_ahead_s=ahead_s)

    assert decide(replace(FIT, peers={"site2": seen(2.5), "site3": seen(3.0)}), NOW).wanted == DEPREFERENCE
    assert decide(replace(FIT, peers={"site2": seen(-2.5), "site3": seen(-3.0)}), NOW).wanted == DEPREFERENCE
    assert decide(replace(FIT, peers={"site2": seen(2.5), "site3": seen(1.0)}), NOW).wanted == ANNOUNCE
    assert decide(replace(FIT, peers={"site2": seen(60.0)}), NOW).wanted == ANNOUNCE


@pytest.mark.parametrize(
    ("ahead_s", "wanted"),
    [
        ((20.0,), ANNOUNCE),  # of two sites nobody knows which is right
        ((-20.0,), ANNOUNCE),
        ((0.0, 20.0), ANNOUNCE),
        ((0.0, -20.0), ANNOUNCE),
        ((20.0, 20.0), DEPREFERENCE),
        ((-20.0, -20.0), DEPREFERENCE),
        ((-20.0, 20.0), ANNOUNCE),  # of three that all differ the one in the middle stays
        ((0.0, 0.0, 20.0), ANNOUNCE),
        ((20.0, 20.0, 20.0), DEPREFERENCE),
        ((0.0, -20.0, -20.0), ANNOUNCE),  # two against two: the later time is believed
        ((0.0, 20.0, 20.0), DEPREFERENCE),
        ((0.0, 0.0, 20.0, 20.0), ANNOUNCE),
        ((0.0, 20.0, 20.0, 20.0), DEPREFERENCE),
    ],
)
def test_a_wrong_clock_depreferences_its_own_site_and_no_right_one(ahead_s: tuple[float, ...], wanted: str) -> None:
    """Symptom: of three sites one had a wrong clock; all three found themselves off the median of the two others, and
    routers were sent to the wrong one and back, refused with 144 at each.
    """
    peers = {f"site{n}": replace(ANNOUNCING, clock_ahead_s=one) for n, one in enumerate(ahead_s, start=2)}
    assert decide(replace(FIT, peers=peers), NOW).wanted == wanted


@pytest.mark.parametrize(
    ("ahead_s", "confirmed"),
    [((), False), ((0.0,), True), ((6.0,), False), ((0.0, 6.0), True), ((6.0, 6.0), False), ((0.0, 6.0, 6.0), False)],
)
def test_two_sites_of_three_confirm_each_others_clocks(ahead_s: tuple[float, ...], confirmed: bool) -> None:
    """Symptom: while one clock of three was wrong no site trusted its own, and what a wrong clock had written before
    locked a router out at sites that were right, until the last one was.
    """
    peers: dict[str, PeerSeen | None] = {"silent": SILENT}
    peers |= {f"site{n}": replace(ANNOUNCING, clock_ahead_s=one) for n, one in enumerate(ahead_s, start=2)}
    assert readiness.clock_is_confirmed(peers, NOW) == confirmed
    assert readiness.clock_is_confirmed({}, NOW), "who has no peers asks none"


@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=6))
def test_never_do_all_sites_find_their_clocks_wrong(clocks: list[float]) -> None:
    wanted = set()
    for place, clock in enumerate(clocks):
        others = (*clocks[:place], *clocks[place + 1 :])
        peers = {f"site{n}": replace(ANNOUNCING, clock_ahead_s=one - clock) for n, one in enumerate(others, start=2)}
        wanted.add(decide(replace(FIT, peers=peers), NOW).wanted)
    assert ANNOUNCE in wanted


def test_a_loaded_site_prepends_with_hysteresis_while_a_less_loaded_one_does_not() -> None:
    def prepends(load: float, before: bool, *others: PeerSeen) -> bool:
        peers = {f"site{n}": seen for n, seen in enumerate(others, start=2)}
        return decide(replace(FIT, load=load, prepending=before, peers=peers), NOW).prepend

    idle, busier = replace(ANNOUNCING, load=0.1), replace(ANNOUNCING, load=0.95)
    assert prepends(0.81, False, idle)
    assert not prepends(0.79, False, idle)
    assert prepends(0.61, True, idle)
    assert not prepends(0.59, True, idle)
    assert not prepends(0.9, False, busier), "the other one is to prepend first"
    assert not prepends(0.9, False, replace(idle, prepending=True)), "never all"
    assert not prepends(0.9, False, replace(SILENT, load=0.1)), "nobody is there to take it"


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), min_size=2, max_size=5))
def test_with_what_all_know_never_all_sites_prepend(sites: list[tuple[float, bool]]) -> None:
    seen = {f"site{n}": replace(ANNOUNCING, load=load, prepending=was) for n, (load, was) in enumerate(sites)}
    after = {}
    for name, one in seen.items():
        others = {other: peer for other, peer in seen.items() if other != name}
        facts = replace(FIT, site=name, load=one.load, prepending=one.prepending, peers=others)
        after[name] = decide(facts, NOW).prepend
    assert not all(after.values())


def test_a_site_that_hears_no_majority_stays_announced_depreferenced() -> None:
    isolated = replace(FIT, peers={"site2": SILENT, "site3": None})
    assert decide(isolated, NOW).wanted == DEPREFERENCE
    one_left = replace(FIT, peers={"site2": SILENT, "site3": ANNOUNCING})
    assert decide(one_left, NOW).wanted == ANNOUNCE


@given(any_facts)
def test_a_soft_reason_never_withdraws_the_last_announcement(facts: Facts) -> None:
    decision = decide(facts, NOW)
    passed, known = facts.self_test is not None, facts.started or facts.installed
    hard = bool(facts.self_test) or (facts.looked and not (facts.egress_present and facts.data_plane_intact))
    if hard:
        assert (decision.wanted, decision.starting) == (WITHDRAW, False)
    elif not (facts.forwarding_reconciled and facts.looked and facts.synced and known and passed):
        assert decision.starting
    elif all(seen is None or seen is SILENT or seen.announcing != "announced" for seen in facts.peers.values()):
        assert decision.wanted != WITHDRAW
        assert decision.linger_s == facts.orphan_hold_s
    if decision.wanted != ANNOUNCE:
        assert decision.reasons


@given(st.floats(0, 60))
def test_the_linger_outlasts_the_neighbours_advertisement_interval(mrai_s: float) -> None:
    assert readiness.linger(mrai_s) >= max(1.0, 2 * mrai_s)
