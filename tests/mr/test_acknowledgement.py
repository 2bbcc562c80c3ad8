"""Nothing but an authentic answer to what is outstanding changes the mobile router."""

from dataclasses import replace

import pytest

from mip6.numbers import Status
from mr.events import BindingAckReceived, Count
from tests.mr.cast import CARE_OF, GOOD, HOME_ADDRESS, HOME_AGENT, STRANGER, Answer, Bench, down, sent


def _forged(bench: Bench) -> list[tuple[str, BindingAckReceived]]:
    (update,) = sent(bench.start())
    good = GOOD.to(update)
    flipped = good.octets[:-1] + bytes([good.octets[-1] ^ 1])
    timestamp = bench.ntp()
    return [
        ("not_authentic", Answer(association=STRANGER).to(update)),
        ("not_authentic", Answer(Status.ADMINISTRATIVELY_PROHIBITED, association=STRANGER).to(update)),
        ("not_authentic", replace(good, octets=flipped)),
        ("timestamp_unknown", Answer(timestamp=timestamp + 1).to(update)),
        ("timestamp_unknown", Answer(Status.ID_MISMATCH, timestamp=timestamp ^ 1).to(update)),
        ("sequence_unknown", Answer(sequence=9).to(update)),
        ("not_from_home_agent", replace(good, source=CARE_OF[2])),
        ("destination_not_ours", replace(good, destination=CARE_OF[2])),
        ("home_address_not_ours", replace(good, home_address=HOME_AGENT)),
        ("home_address_not_ours", replace(good, home_address=None)),
    ]


@pytest.mark.parametrize("number", range(10))
def test_a_forged_acknowledgement_changes_nothing(number: int) -> None:
    bench = Bench()
    reason, forged = _forged(bench)[number]
    before = (bench.router.view(bench.now), bench.router.next_deadline())
    assert bench.feed(forged) == [Count("binding_acks_dropped", reason)]
    assert (bench.router.view(bench.now), bench.router.next_deadline()) == before


def test_a_good_acknowledgement_counts_once() -> None:
    bench = Bench()
    (update,) = sent(bench.start())
    bench.feed(GOOD.to(update))
    assert bench.feed(GOOD.to(update)) == [Count("binding_acks_dropped", "nothing_outstanding")]


def test_the_answer_to_a_superseded_update_is_dropped() -> None:
    """Two updates are never outstanding: the deregistration of the lost line replaced the refresh."""
    bench = Bench().registered()
    refresh = sent(bench.advance(160))[-1]
    assert refresh.home_address == HOME_ADDRESS
    bench.feed(down(1))
    bench.advance(2.0)
    assert bench.feed(GOOD.to(refresh)) == [Count("binding_acks_dropped", "timestamp_unknown")]
