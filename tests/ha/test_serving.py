"""What a site says about itself to its peers."""

from collections.abc import Set as AnySet

from ha.frames import Hello
from ha.knowledge import REFUSED_MAX_S, SYNC_GRACE_S, SYNC_MAX_S
from ha.readiness import Mode, Wish
from ha.replication import Peer
from ha.serving import OURSELVES, Serving, Transition
from ha.site import Topology
from ha.undo import Undo


def test_what_the_bridge_said_before_a_long_sleep_is_not_told_to_the_peers() -> None:
    """A process thawed after 4 s said "announced" in its first HELLO; a draining site believed it and withdrew last."""
    serving, undo = Serving("site1", Topology(("site2",)), 0.0, 0.0, 300.0, 300.0), Undo()
    assert serving.announcing(0.0) == "unheard"
    serving.lease_answered("announced", 1, 10.0, undo)
    assert serving.announcing(10.2) == "announced"
    assert serving.announcing(14.0) == "unheard"
    serving.lease_answered("depreferenced", 1, 14.1, undo)
    assert serving.announcing(14.2) == "depreferenced"


def test_an_announcement_that_no_session_carries_is_none() -> None:
    serving, undo = Serving("site1", Topology(("site2",)), 0.0, 0.0, 300.0, 300.0), Undo()
    serving.lease_answered("announced", 0, 10.0, undo)
    assert serving.announcing(10.0) == "unheard"


def able(now: float) -> Serving:
    """A site that could serve, and has heard of nobody."""
    serving = Serving("site1", Topology(("site2", "site3")), now, 0.0, 300.0, 300.0)
    serving.recovered = serving.reconciled = True
    serving.data_plane(True, True, Undo())
    serving.self_tested(None, Undo())
    return serving


def wanted(
    serving: Serving,
    now: float,
    complete: tuple[str, ...],
    hello: tuple[str, ...],
    pending: AnySet[bytes] = frozenset(),
    refused: frozenset[bytes] = frozenset(),
) -> str:
    """What is asked of BGP while these peers have told all they know, these are heard, and the kernel lacks these."""
    for site in hello:
        serving.hello(site, Hello(0, "announced", "announced", True, 0), 0, now, Undo())
    serving.decide(
        [Peer(site, complete=site in complete) for site in ("site2", "site3")], pending, refused, now, Undo()
    )
    return "nothing" if serving.decision.starting else serving.decision.wanted


BOTH = ("site2", "site3")


def test_a_start_that_hears_records_before_the_first_hello_is_not_isolated() -> None:
    """A restarted site was depreferenced for its first 100 ms in one of ten restarts: two route changes for nothing."""
    serving = able(0.0)
    assert wanted(serving, 0.0, BOTH, ()) == "nothing"
    assert wanted(serving, 0.1, BOTH, BOTH) == "announce"


def test_a_start_that_hears_nobody_ends_by_itself() -> None:
    serving = able(0.0)
    assert wanted(serving, 0.0, (), ()) == "nothing"
    assert wanted(serving, SYNC_GRACE_S + 0.1, (), ()) == "depreference"


def test_who_waited_in_vain_for_a_living_peer_is_preferred_only_when_it_has_told_all() -> None:
    """A rebooted site with 100,000 customers was announced after 60 s, when its peers had sent half of what it lacked:
    whoever registered last lost every packet."""
    serving = able(0.0)
    assert wanted(serving, 0.0, (), ()) == "nothing"
    assert wanted(serving, SYNC_MAX_S, ("site2",), BOTH) == "nothing"
    assert wanted(serving, SYNC_MAX_S + 0.1, ("site2",), BOTH) == "depreference"
    assert "not told all" in serving.decision.reasons[0]
    assert wanted(serving, SYNC_MAX_S + 1.0, BOTH, BOTH) == "announce"


def test_a_peer_that_comes_later_makes_nobody_else_less_preferred() -> None:
    """A site let its lease lapse when a peer came back within a minute of its own start, until that had told all."""
    serving = able(0.0)
    wanted(serving, 0.0, (), ())
    assert wanted(serving, SYNC_GRACE_S + 0.1, ("site2",), ("site2",)) == "announce"
    assert wanted(serving, SYNC_GRACE_S + 1.0, ("site2",), BOTH) == "announce"


def test_a_start_is_not_over_before_the_kernel_has_everybody() -> None:
    """A new site was announced when it had heard of 100,000 customers; for 5 s its kernel lacked up to 70,000."""
    serving = able(0.0)
    assert wanted(serving, 0.0, (), (), frozenset({b"a"})) == "nothing"
    assert wanted(serving, 0.1, BOTH, BOTH, dict.fromkeys((b"a", b"b")).keys()) == "nothing"  # as ordered, in order
    assert "in the kernel" in serving.decision.reasons[0]
    assert wanted(serving, 0.2, BOTH, BOTH, frozenset({b"b"})) == "nothing"
    assert wanted(serving, 0.3, BOTH, BOTH, frozenset({b"a", b"c"})) == "announce"  # these came later


def test_what_the_kernel_refuses_at_the_start_is_waited_for_but_not_for_ever() -> None:
    serving, refused = able(0.0), frozenset({b"a"})
    assert wanted(serving, 0.1, BOTH, BOTH, refused=refused) == "nothing"
    for second in range(1, int(REFUSED_MAX_S) + 1):
        assert wanted(serving, float(second), BOTH, BOTH, refused=refused) == "nothing"
    assert wanted(serving, 0.2 + REFUSED_MAX_S, BOTH, BOTH, refused=refused) == "announce"


def test_who_serves_does_not_stop_for_what_is_pending() -> None:
    serving = able(0.0)
    assert wanted(serving, 0.1, BOTH, BOTH) == "announce"
    assert wanted(serving, 0.2, BOTH, BOTH, frozenset({b"a"})) == "announce"


def test_who_started_alone_is_preferred_only_when_it_knows_what_the_others_know() -> None:
    """Peers that were heard after the grace ended its isolation with a greeting, before they had told of anybody."""
    serving = able(0.0)
    assert wanted(serving, 0.0, (), ()) == "nothing"
    assert wanted(serving, SYNC_GRACE_S + 0.1, (), ()) == "depreference"
    assert wanted(serving, SYNC_GRACE_S + 0.2, (), BOTH) == "depreference"
    assert "not told all" in serving.decision.reasons[0]
    assert wanted(serving, SYNC_GRACE_S + 0.3, BOTH, BOTH, frozenset({b"a"})) == "depreference"
    assert "in the kernel" in serving.decision.reasons[0]
    assert wanted(serving, SYNC_GRACE_S + 0.4, BOTH, BOTH) == "announce"


def told(one: Transition) -> tuple[str, str, tuple[str, ...], str]:
    return one.was, one.wanted, one.reasons, one.by


def test_who_asked_for_what_changed_nothing_is_not_named_for_what_comes_later() -> None:
    """Symptom: a drain was asked of a site that was withdrawn anyway; the next fault stood there as the operator's."""
    serving = able(0.0)
    wanted(serving, 0.1, BOTH, BOTH)
    serving.self_tested("no packet came back", Undo())
    wanted(serving, 1.0, BOTH, BOTH)
    serving.operator_asked(Wish(Mode.DRAIN, 2.0, "alice", "new disk"), Undo())
    wanted(serving, 2.0, BOTH, BOTH)
    serving.data_plane(False, True, Undo())
    wanted(serving, 3.0, BOTH, BOTH)
    assert "no default route is left" in serving.history[-1].reasons
    assert [one.by for one in serving.history[-2:]] == [OURSELVES, OURSELVES]
    serving.data_plane(True, True, Undo())
    serving.self_tested(None, Undo())
    wanted(serving, 4.0, BOTH, BOTH)
    assert serving.history[-1].by == "alice"


def test_what_comes_to_a_site_that_is_drained_is_not_the_operators() -> None:
    serving = able(0.0)
    wanted(serving, 0.1, BOTH, BOTH)
    serving.operator_asked(Wish(Mode.DRAIN, 1.0, "alice", "new disk"), Undo())
    wanted(serving, 1.0, BOTH, BOTH)
    serving.seen.update(dict.fromkeys(BOTH))
    wanted(serving, 1.1, BOTH, ())
    assert len(serving.history[-1].reasons) > 1
    assert [one.by for one in serving.history[-2:]] == ["alice", OURSELVES]


def test_who_took_back_a_drain_that_was_no_reason_is_not_named_for_what_comes_later() -> None:
    serving = able(0.0)
    wanted(serving, 0.1, BOTH, BOTH)
    serving.self_tested("no packet came back", Undo())
    wanted(serving, 1.0, BOTH, BOTH)
    serving.operator_asked(Wish(Mode.DRAIN, 2.0, "alice", "new disk"), Undo())
    serving.data_plane(False, True, Undo())
    wanted(serving, 3.0, BOTH, BOTH)
    serving.operator_asked(Wish(Mode.SERVE, 4.0, "bob", "disk is in"), Undo())
    serving.data_plane(True, True, Undo())
    wanted(serving, 5.0, BOTH, BOTH)
    assert serving.history[-1].by == OURSELVES


def test_who_drained_and_who_put_back_is_in_the_history_with_both_reasons() -> None:
    """An undrain stood there as "ready", by nobody, whatever reason had been given."""
    serving = able(0.0)
    wanted(serving, 0.1, BOTH, BOTH)
    serving.operator_asked(Wish(Mode.DRAIN, 1.0, "alice", "new disk"), Undo())
    wanted(serving, 1.0, BOTH, BOTH)
    wanted(serving, 2.5, BOTH, BOTH)
    serving.operator_asked(Wish(Mode.SERVE, 3.0, "bob", "disk is in"), Undo())
    wanted(serving, 3.0, BOTH, BOTH)
    assert serving.renewals()[0].reason == "put back in service by the operator bob: disk is in"
    drained, back = "drained by the operator alice: new disk", "put back in service by the operator bob: disk is in"
    assert [told(one) for one in serving.history[-3:]] == [
        ("announce", "depreference", (drained,), "alice"),
        ("depreference", "withdraw", (drained,), "alice"),
        ("withdraw", "announce", (back,), "bob"),
    ]
    serving.self_tested("no packet came back", Undo())
    wanted(serving, 3.5, BOTH, BOTH)
    serving.self_tested(None, Undo())
    wanted(serving, 4.0, BOTH, BOTH)
    assert told(serving.history[-1]) == ("withdraw", "announce", ("ready",), "xsp-ha"), "it is bob's no more"


def test_a_path_made_longer_because_of_the_load_is_told_with_the_load() -> None:
    """The history had "announce" after "announce", both "ready"."""
    serving = able(0.0)
    wanted(serving, 0.1, BOTH, BOTH)
    for now, load in ((1.0, 0.95), (2.0, 0.1)):
        serving.load_measured(load, Undo())
        wanted(serving, now, BOTH, BOTH)
    assert [told(one) for one in serving.history[-2:]] == [
        ("announce", "announce, path longer", ("ready", "load is 95% of the capacity: path made longer"), "xsp-ha"),
        (
            "announce, path longer",
            "announce",
            ("ready", "load is 10% of the capacity: path no longer made longer"),
            "xsp-ha",
        ),
    ]


def test_the_linger_follows_what_the_bridge_tells_of_its_neighbours() -> None:
    """A neighbour with an interval of 30 s that came by `xsp-bgp reload` was left a second after a drain began."""
    serving, undo = able(0.0), Undo()
    wanted(serving, 0.1, BOTH, BOTH)
    assert serving.renewals()[0].linger_ms == 1000
    serving.lease_answered("announced", 1, 0.2, undo, mrai_s=30.0)
    wanted(serving, 0.3, BOTH, BOTH)
    assert serving.renewals()[0].linger_ms == 60_000
    assert serving.drain_s >= 60.0
    serving.lease_answered("unreachable", 0, 0.4, undo)
    wanted(serving, 0.5, BOTH, BOTH)
    assert serving.renewals()[0].linger_ms == 60_000, "who does not answer has not taken it back"
    serving.lease_answered("announced", 1, 0.6, undo)
    wanted(serving, 0.7, BOTH, BOTH)
    assert serving.renewals()[0].linger_ms == 1000
