"""First fit: inside, free, lowest, the same each time, and a refusal that explains."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsp.allocation import Exhausted, first_address, first_fit

PARENT = IPv6Network("2001:db8:f000::/36")

blocks = st.builds(
    lambda length, place: IPv6Network((int(PARENT.network_address) + (place << (128 - length)), length)),
    st.integers(40, 64),
    st.integers(0, 15),
)


@given(st.lists(blocks, max_size=12), st.integers(40, 64))
def test_a_block_is_inside_free_and_the_lowest_and_the_same_each_time(taken: list[IPv6Network], length: int) -> None:
    chosen = first_fit([PARENT], taken, length)
    assert chosen == first_fit([PARENT], list(reversed(taken)), length)
    assert chosen.prefixlen == length and chosen.subnet_of(PARENT)
    assert not any(chosen.overlaps(block) for block in taken)
    below = int(PARENT.network_address)
    step = 1 << (128 - length)
    for start in range(below, min(int(chosen.network_address), below + 64 * step), step):
        assert any(IPv6Network((start, length)).overlaps(block) for block in taken)


@given(st.lists(st.integers(40, 60), min_size=1, max_size=30))
def test_blocks_given_one_after_the_other_never_overlap(lengths: list[int]) -> None:
    taken: list[IPv6Network] = []
    for length in lengths:
        try:
            taken.append(first_fit([PARENT], taken, length))
        except Exhausted:
            continue
    assert not any(a.overlaps(b) for i, a in enumerate(taken) for b in taken[:i])


def test_a_refusal_says_how_full_it_is_and_what_is_left() -> None:
    parent = IPv6Network("2001:db8::/46")
    taken = [IPv6Network("2001:db8::/48"), IPv6Network("2001:db8:1::/48"), IPv6Network("2001:db8:2::/49")]
    with pytest.raises(Exhausted) as refused:
        first_fit([parent], taken, 46)
    assert "62.5% is in use" in str(refused.value)
    assert refused.value.longest == IPv6Network("2001:db8:3::/48")


def test_the_next_parent_is_used_when_one_is_full() -> None:
    full, spare = IPv6Network("2001:db8::/48"), IPv6Network("2001:db8:9::/48")
    assert first_fit([spare, full], [full], 56) == IPv6Network("2001:db8:9::/56")


def test_addresses_are_given_from_an_offset_and_gaps_are_filled() -> None:
    parent = IPv6Network("2001:db8::/64")
    taken = [IPv6Address("2001:db8::50"), IPv6Address("2001:db8::52")]
    assert first_address(parent, taken, 0x50) == IPv6Address("2001:db8::51")
