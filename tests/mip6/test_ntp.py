"""NTP timestamps against known moments, and across the rollover of 2036."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mip6 import ntp

ROLLOVER_UNIX_S = 2**32 - ntp.UNIX_EPOCH


def test_the_timestamp_of_vector_v13() -> None:
    """2023-12-06 17:22:05.5 UTC."""
    assert ntp.to_timestamp(1701883325.5) == 0xE91B2C3D80000000
    assert ntp.to_unix(0xE91B2C3D80000000) == 1701883325.5


def test_a_moment_after_the_rollover_comes_back() -> None:
    assert ntp.to_timestamp(ROLLOVER_UNIX_S) == 0
    assert ntp.to_unix(ntp.to_timestamp(ROLLOVER_UNIX_S + 86400.25)) == ROLLOVER_UNIX_S + 86400.25


@settings(deadline=None, derandomize=True)
@given(st.floats(0, 2**32 - 2**31))
def test_a_moment_comes_back_to_the_microsecond(unix_s: float) -> None:
    assert abs(ntp.to_unix(ntp.to_timestamp(unix_s)) - unix_s) < 1e-6


def test_the_difference_does_not_mind_the_rollover() -> None:
    before, after = (ntp.to_timestamp(ROLLOVER_UNIX_S + off_s) for off_s in (-2.5, 4.0))
    assert (ntp.difference_s(after, before), ntp.difference_s(before, after)) == (6.5, -6.5)
