"""An element of the source check is one string of octets: it says everything, and lists of them are read as written."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.element import Kind, combine, kind_coded, kind_of
from dataplane.entry import Prefix
from dataplane.message import attribute, nested
from dataplane.nfnetlink import items, keys_of
from tests.dataplane.elements import parts

CARE_OF = [bytes.fromhex("20010db8000100000000000000000020"), bytes.fromhex("20010db8000200000000000000000020")]
KINDS = [*(Kind(6, length) for length in range(1, 129)), *(Kind(4, length) for length in range(1, 33))]
LISTED, NESTED = 1, 0x8000


def a_prefix(kind: Kind) -> Prefix:
    network = IPv6Network(("2001:db8:f5a3:96c5:a55a:3c96:69c3:5aa5", kind.length), strict=False).network_address
    if kind.version == 4:
        return Prefix(IPv4Network(("198.51.100.165", kind.length), strict=False).network_address.packed, kind.length)
    return Prefix(network.packed, kind.length)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_element_tells_its_care_of_address_and_its_prefix(kind: Kind) -> None:
    prefix = a_prefix(kind)
    made = combine(CARE_OF, [prefix])
    assert [parts(one) for one in made] == [(care_of, prefix) for care_of in CARE_OF]
    assert kind_of(prefix) == kind_coded(made[0][0]) == kind
    assert len(made[0][1:]) % 4 == 0


def test_no_two_kinds_share_a_code() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)


keys = st.integers(1, 8).flatmap(lambda words: st.lists(st.binary(min_size=4 * words, max_size=4 * words), min_size=1))


@given(keys)
def test_keys_are_read_as_they_were_written(some: list[bytes]) -> None:
    assert keys_of(items(some)) == some


@given(keys)
def test_keys_are_read_as_the_kernel_writes_them(some: list[bytes]) -> None:
    """It marks no attribute as nested."""
    plain = [attribute(LISTED, attribute(1, attribute(1, key))) for key in some]
    assert keys_of(b"".join(plain)) == some


@given(keys, st.data())
def test_keys_with_something_beside_them_are_read_too(some: list[bytes], data: st.DataObject) -> None:
    """Elements as long as each other need not be laid out alike: one may have a counter, or be in another order."""
    written = []
    for key in some:
        beside = attribute(7, bytes(data.draw(st.integers(0, 12))))
        pieces = data.draw(st.permutations([nested(1, attribute(1, key)), beside]))
        written.append(nested(LISTED, *pieces))
    assert keys_of(b"".join(written)) == some


def test_no_keys_are_none() -> None:
    assert keys_of(b"") == []
