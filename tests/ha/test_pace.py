"""How fast a peer is listened to, and how often one is complained of."""

from hypothesis import given
from hypothesis import strategies as st

from ha.pace import LOG_EVERY_S, Complaints, Pace


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 500)), max_size=50))
def test_whoever_waits_as_told_gets_no_more_than_the_rate_and_one_second_worth(
    reads: list[tuple[float, float]],
) -> None:
    pace, began, now, read, last = Pace(100.0), 5.0, 5.0, 0.0, 0.0
    for pause, amount in reads:
        now += pause
        now += pace.wait_s(now)
        assert read <= 100.0 * (1 + now - began) + 1e-3  # the last read may go beyond, and is then waited for
        pace.take(amount, now)
        read, last = read + amount, amount
    assert read <= 100.0 * (1 + now - began) + last + 1e-3


def test_a_peer_below_its_rate_never_waits() -> None:
    pace = Pace(100.0)
    for second in range(10):
        assert pace.wait_s(float(second)) == 0
        pace.take(100, float(second))


def test_a_complaint_is_said_once_a_minute_for_each_subject_and_reason() -> None:
    complaints = Complaints()
    assert complaints.is_due("site2", "expired", 0.0)
    assert not complaints.is_due("site2", "expired", LOG_EVERY_S - 1)
    assert complaints.is_due("site2", "revoked", 1.0) and complaints.is_due("site3", "expired", 1.0)
    assert complaints.is_due("site2", "expired", LOG_EVERY_S)
