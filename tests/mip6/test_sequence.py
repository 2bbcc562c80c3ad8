"""Sequence numbers modulo 2**16."""

import pytest

from mip6.sequence import following, is_newer


def test_the_example_of_the_rfc() -> None:
    """RFC 6275 9.5.1: after 15, the numbers 0 to 15 and 32783 to 65535 are old."""
    old = {received for received in range(65536) if not is_newer(received, 15)}
    assert old == {*range(16), *range(32783, 65536)}


@pytest.mark.parametrize("last", [0, 1, 32767, 32768, 65535])
def test_exactly_32767_numbers_are_newer(last: int) -> None:
    assert sum(is_newer(received, last) for received in range(65536)) == 32767
    assert is_newer(following(last), last)
    assert not is_newer(last, last)
