"""What a site says about itself to its peers."""

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
