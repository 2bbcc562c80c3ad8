"""Lines of the lease socket: the contract, and everything that is not the contract."""

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp import lease
from bgp.errors import MalformedLine
from bgp.events import LeaseRenewed, Session, StopAsked, Wanted
from bgp.route import Route

AGGREGATES = (ip_network("2001:db8:f000::/36"), ip_network("192.0.2.0/24"))
LINE: dict[str, Any] = {
    "v": 1,
    "seq": 7,
    "wanted": "announce",
    "reason": "ready",
    "linger_ms": 1000,
    "routes": [{"prefix": "2001:db8:f000::/36", "communities": ["64500:1"], "med": None, "prepend": 0}],
}
ROUTES = st.builds(
    Route,
    st.sampled_from(AGGREGATES),
    st.lists(st.sampled_from(["64500:1", "64500:1:2"]), max_size=3).map(tuple),
    st.none() | st.integers(0, 2**32 - 1),
    st.integers(0, 16),
)


def test_the_contracts_line_is_read() -> None:
    event = LeaseRenewed(Wanted.ANNOUNCE, "ready", 1000, (Route(AGGREGATES[0], ("64500:1",)),))
    assert lease.decode_request(json.dumps(LINE).encode(), AGGREGATES) == lease.Renewal(7, event)


@given(
    st.builds(
        LeaseRenewed,
        st.sampled_from(Wanted),
        st.text(max_size=200),
        st.integers(0, lease.MAX_LINGER_MS),
        st.lists(ROUTES, unique_by=lambda route: route.prefix).map(tuple),
    ),
    st.integers(0),
)
def test_a_renewal_survives_the_wire(event: LeaseRenewed, seq: int) -> None:
    line = lease.encode_renewal(lease.Renewal(seq, event))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert lease.decode_request(line, AGGREGATES) == lease.Renewal(seq, event)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"wanted": "shout"},
        {"wanted": None},
        {"reason": 7},
        {"linger_ms": -1},
        {"linger_ms": True},
        {"linger_ms": 10**12},
        {"routes": "all"},
        {"routes": [{}]},
        {"routes": [{"prefix": "2001:db8:f000::/37"}]},
        {"routes": [{"prefix": "2001:db8:f000::1/36"}]},
        {"routes": [{"prefix": "2001:db8:f000::/36"}] * 2},
        {"routes": [{"prefix": "2001:db8:f000::/36", "communities": ["none"]}]},
        {"routes": [{"prefix": "2001:db8:f000::/36", "communities": "64500:1"}]},
        {"routes": [{"prefix": "2001:db8:f000::/36", "med": "50"}]},
        {"routes": [{"prefix": "2001:db8:f000::/36", "prepend": 99}]},
    ],
    ids=str,
)
def test_what_breaks_the_contract_is_refused_with_its_number(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedLine) as caught:
        lease.decode_request(json.dumps({**LINE, **change}).encode(), AGGREGATES)
    assert caught.value.seq == 7
    assert caught.value.remedy


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_octets_are_refused_in_one_way(octets: bytes) -> None:
    with pytest.raises(MalformedLine):
        lease.decode_request(octets, AGGREGATES)
    with pytest.raises(MalformedLine):
        lease.decode_answer(octets)


@pytest.mark.parametrize("octets", [b"[" * 60_000, b'{"seq":1e999,"state":"idle","sent":[],"sessions":[]}'])
def test_an_answer_beyond_all_bounds_is_refused_like_any_other(octets: bytes) -> None:
    with pytest.raises(MalformedLine):
        lease.decode_answer(octets)


def test_questions_are_told_from_renewals() -> None:
    assert lease.decode_request(b'{"v":1,"ask":"status"}', AGGREGATES) == lease.StatusAsked()
    assert lease.decode_request(b'{"v":1,"ask":"stop","linger_ms":5}', AGGREGATES) == StopAsked(5)
    with pytest.raises(MalformedLine):
        lease.decode_request(b'{"v":1,"ask":"dance"}', AGGREGATES)


def test_answers_and_refusals_are_read() -> None:
    line = b'{"v":1,"seq":3,"state":"announced","sent":["P"],"sessions":[{"neighbour":"A","state":"up","since_s":2}]}'
    assert lease.decode_answer(line) == lease.Answer(3, "announced", ("P",), (Session("A", "up", 2.0, 0),))
    assert lease.decode_answer(b'{"v":1,"seq":3,"error":"E","remedy":"R"}') == lease.Refusal(3, "E", "R")
