"""What ends again and again is started later and later, and anew after a run that was long enough."""

import pytest

from bgp.backoff import Backoff

AT_ONCE_S = 0.01


@pytest.mark.parametrize(
    ("lived_s", "delays_s"),
    [
        ([AT_ONCE_S] * 9, [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0]),
        ([29.9] * 4, [0.1, 0.2, 0.5, 1.0]),  # whatever it does, it does not last
        ([30.0] * 3, [0.1, 0.1, 0.1]),
        ([AT_ONCE_S, AT_ONCE_S, 30.0, AT_ONCE_S, 3600.0], [0.1, 0.2, 0.1, 0.2, 0.1]),
        ([*[AT_ONCE_S] * 8, 30.0, AT_ONCE_S], [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 0.1, 0.2]),
    ],
)
def test_the_delay_grows_with_each_short_run_and_starts_anew_after_a_long_one(
    lived_s: list[float], delays_s: list[float]
) -> None:
    """No test noticed when ExaBGP was started again without any delay."""
    backoff = Backoff()
    assert list(map(backoff.next, lived_s)) == delays_s


def test_two_processes_do_not_share_their_failures() -> None:
    Backoff().next(AT_ONCE_S)
    assert Backoff().next(AT_ONCE_S) == 0.1
