"""What a site says about itself to its peers."""

from ha.frames import Hello
from ha.knowledge import REFUSED_MAX_S, SYNC_GRACE_S, SYNC_MAX_S
from ha.replication import Peer
from ha.serving import Serving
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
    pending: frozenset[bytes] = frozenset(),
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
    assert wanted(serving, 0.1, BOTH, BOTH, frozenset({b"a", b"b"})) == "nothing"
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
