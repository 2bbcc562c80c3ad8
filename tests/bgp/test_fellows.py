"""What the speakers of other sites say: signed, in order, of now, or not believed."""

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp import fellows
from bgp.fellows import VOUCH_S, Fellows, Said, decode, encode

KEY = fellows.derive(b"a secret of all sites")
SAID = Said("site2", 7, 1_800_000_000.0, True)
SESSION = {"neighbour": "2001:db8:1:a::1", "state": "established", "since_s": 1.0}
HEARD = {"state": "announced", "settled": True, "sessions": [SESSION]}


def test_what_is_said_is_heard_and_a_key_serves_one_purpose() -> None:
    assert decode(encode(SAID, KEY), KEY) == SAID
    assert decode(encode(SAID, KEY), fellows.derive(b"another")) is None
    assert decode(encode(SAID, b"a secret of all sites"), KEY) is None


@given(st.binary(max_size=600))
def test_any_octets_are_refused_without_an_exception(octets: bytes) -> None:
    assert decode(octets, KEY) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"v":2}',
        b'{"v":1,"site":"a","number":"x","at":1}',
        b'{"v":1,"site":"a","number":1e999,"at":1}',
        b'{"v":1,"site":"a","number":1,"at":1' + b"0" * 400 + b"}",
        b"[" * (fellows.MAX_OCTETS - hashlib.sha256().digest_size),
        b"\xff",
    ],
)
def test_what_is_signed_but_not_understood_is_refused(text: bytes) -> None:
    """Symptom: a number beyond all bounds was an error of ours, and the datagram was not counted as dropped."""
    assert decode(text + hmac.digest(KEY, text, hashlib.sha256), KEY) is None


def test_one_changed_bit_is_noticed() -> None:
    octets = bytearray(encode(SAID, KEY))
    for position in range(len(octets)):
        octets[position] ^= 1
        assert decode(bytes(octets), KEY) is None
        octets[position] ^= 1


def test_the_latest_word_of_those_that_announce_counts_for_a_second() -> None:
    others = Fellows(["site2", "site3"])
    assert others.said_s_ago(10.0) is None
    assert others.take(SAID, SAID.at, 10.0) is None
    assert others.take(replace(SAID, site="site3"), SAID.at, 10.25) is None
    assert others.said_s_ago(10.5) == 0.25
    assert others.said_s_ago(11.25) is None
    assert others.take(replace(SAID, site="site3", number=8, announces=False), SAID.at, 10.5) is None
    assert others.said_s_ago(10.5) == 0.5


def test_strangers_repetitions_and_other_times_are_not_believed() -> None:
    others = Fellows(["site2"])
    assert others.take(replace(SAID, site="site9"), SAID.at, 10.0) == "unknown site"
    assert others.take(SAID, SAID.at + 11, 10.0) == "clock"
    assert others.take(SAID, SAID.at, 10.0) is None
    assert others.take(replace(SAID, announces=False), SAID.at, 10.1) == "repeated"
    assert others.take(replace(SAID, number=6), SAID.at, 10.1) == "repeated"
    assert others.said_s_ago(10.0) == 0.0
    assert others.table(10.5) == [{"site": "site2", "heard_s_ago": 0.5, "announces": True}]


@pytest.mark.parametrize(
    ("answer", "age_s", "heard"),
    [
        (HEARD, 0.0, True),
        (HEARD, VOUCH_S + 0.1, False),  # the bridge is deaf, or we were stopped
        (None, 0.0, False),
        ({}, 0.0, False),  # garbage
        ({**HEARD, "state": "lingering"}, 0.0, False),
        ({**HEARD, "state": "depreferenced"}, 0.0, False),
        ({**HEARD, "settled": False}, 0.0, False),  # ExaBGP has not confirmed it
        ({**HEARD, "sessions": []}, 0.0, False),
        ({**HEARD, "sessions": [{**SESSION, "state": "down"}]}, 0.0, False),
        ({**HEARD, "sessions": [{**SESSION, "state": "down"}, SESSION]}, 0.0, True),
    ],
)
def test_a_site_vouches_only_for_what_a_neighbour_hears_now(
    answer: dict[str, Any] | None, age_s: float, heard: bool
) -> None:
    """A site that vouched for what nobody hears would let the last one that serves withdraw."""
    assert fellows.is_heard(answer, age_s) is heard
