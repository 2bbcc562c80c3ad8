"""Reader, Writer, checksum and the kinds of addresses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mip6.errors import MalformedMessage
from mip6.wire import Reader, Writer, checksum, is_unicast_routable, padding
from tests.mip6.describe import address
from tests.mip6.strategies import addresses


def word_by_word(source: bytes, destination: bytes, next_header: int, octets: bytes) -> int:
    """The Internet checksum as RFC 1071 writes it."""
    data = source + destination + len(octets).to_bytes(4, "big") + bytes((0, 0, 0, next_header)) + octets
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@settings(max_examples=300, deadline=None, derandomize=True)
@given(addresses, addresses, st.integers(1, 255), st.binary(max_size=80))
def test_the_checksum_is_the_rfcs(source: bytes, destination: bytes, next_header: int, octets: bytes) -> None:
    assert checksum(source, destination, next_header, octets) == word_by_word(source, destination, next_header, octets)


def test_a_checksum_of_zero_is_written_as_zero() -> None:
    """RFC 6275 6.1.1: unlike UDP, zero does not mean "none"."""
    octets = (0xFFFF - 135 - 2).to_bytes(2, "big")
    assert checksum(bytes(16), bytes(16), 135, octets) == 0


def test_a_reader_does_not_run_past_the_end() -> None:
    reader = Reader(b"\1\2\3", "short")
    assert (reader.number(2), reader.left) == (0x0102, 1)
    with pytest.raises(MalformedMessage, match="short"):
        reader.number(2)
    assert reader.take(1) == b"\3"


def test_a_writer_does_not_run_past_the_end() -> None:
    writer = Writer(4)
    writer.number(1, 1)
    writer.align(4)
    assert writer.octets() == b"\1\0\0\0"
    with pytest.raises(ValueError):
        writer.put(b"\0")
    with pytest.raises(ValueError):
        Writer(4).number(256, 1)


def test_padding_fills_exactly() -> None:
    assert [padding(size) for size in range(4)] == [b"", b"\0", b"\1\0", b"\1\1\0"]


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("2001:db8::1", True),
        ("fd00::1", True),
        ("fe00::1", True),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("febf::1", False),
        ("ff02::1", False),
        ("ff0e::51", False),
    ],
)
def test_addresses_that_may_be_a_home_or_care_of_address(text: str, usable: bool) -> None:
    assert is_unicast_routable(address(text)) is usable
