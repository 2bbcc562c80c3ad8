"""The ExaBGP dialect: commands as they were measured to work, lines as ExaBGP 5.0.15 wrote them."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp import exabgp
from bgp.events import AskNeighbours, AskRoutes, AskVersion, Command, CommandAnswered, NeighbourChanged, Session
from bgp.route import Announce, Route, Terms, Withdraw

AGGREGATE = ip_network("2001:db8:f000::/36")
ISP, OWN, OVER_V4 = "2001:db8:1:a::1", "2001:db8:1:a::2", "192.0.2.1"
NEIGHBOURS = {
    ISP: Terms(ISP, 64501),
    OWN: Terms(OWN, 64500),
    OVER_V4: Terms(OVER_V4, 64501, next_hop="2001:db8:1:a::10"),
}
UP = (
    '{ "exabgp": "5.0.0", "time": 1795438928.1, "host" : "site", "pid" : 7, "ppid" : 6, "counter": 1, "type": "state", '
    '"neighbor": { "address": { "local": "2001:db8:1:a::10", "peer": "2001:db8:1:a::1" }, '
    '"asn": { "local": 64500, "peer": 64501 } , "state": "up" } }'
)
SHUTDOWN = '{ "exabgp": "5.0.0", "time": 1795438928.1, "type": "notification", "notification": "shutdown" }'


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (Announce(ISP, Route(AGGREGATE)), f"neighbor {ISP} announce route 2001:db8:f000::/36 next-hop self"),
        (
            Announce(ISP, Route(AGGREGATE, ("64500:1", "64500:1:2"), med=50, prepend=1).depreferenced()),
            f"neighbor {ISP} announce route 2001:db8:f000::/36 next-hop self med 50 as-path [ 64500 64500 ] "
            "community [ 65535:0 64500:1 ] large-community [ 64500:1:2 ]",
        ),
        (Withdraw(ISP, AGGREGATE), f"neighbor {ISP} withdraw route 2001:db8:f000::/36"),
        (
            Announce(OWN, Route(AGGREGATE, med=7, prepend=2)),
            f"neighbor {OWN} announce route 2001:db8:f000::/36 next-hop self med 7 local-preference 98",
        ),
        (
            Announce(OVER_V4, Route(AGGREGATE)),
            f"neighbor {OVER_V4} announce route 2001:db8:f000::/36 next-hop 2001:db8:1:a::10",
        ),
        (AskVersion(), "version"),
        (AskNeighbours(), "show neighbor json"),
        (AskRoutes(), "show adj-rib out json"),
    ],
)
def test_a_command_is_one_line_of_ascii(command: Command, text: str) -> None:
    assert exabgp.command_line(command, 64500, NEIGHBOURS) == text
    assert text.isascii()


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("done", exabgp.Verdict(True)),
        ("error\r", exabgp.Verdict(False)),
        ("", exabgp.Noise()),
        ("exabgp 5.0.15", exabgp.AnswerText("exabgp 5.0.15")),
        (UP, NeighbourChanged("2001:db8:1:a::1", "established")),
        (SHUTDOWN, exabgp.ShutdownBegun()),
        ('{"2001:db8:1:a::1": {"routes": []}}', exabgp.AnswerText('{"2001:db8:1:a::1": {"routes": []}}')),
        ('{ "exabgp": "5.0.0", "type": "update", "neighbor": {} }', exabgp.Noise()),
        ('{ "exabgp": "5.0.0", "type": "state", "neighbor": {"address": 7, "state": "up"} }', exabgp.Noise()),
        ("{ broken", exabgp.Noise()),
    ],
)
def test_a_line_has_one_meaning(line: str, meaning: exabgp.Line) -> None:
    assert exabgp.read_line(line) == meaning


def test_sessions_are_read_from_show_neighbor() -> None:
    text = (
        '[{"state": "up", "duration": 12, "fsm": "ESTABLISHED", "local": {"address": "2001:db8:1:a::10", "as": 64500}, '
        '"peer": {"address": "2001:DB8:1:a:0::1", "as": 64501}}, '
        '{"state": "down", "duration": 3, "local": {"as": 64500}, "peer": {"address": "2001:db8:1:b::1"}}]'
    )
    assert exabgp.read_answer(AskNeighbours(), [text], True) == CommandAnswered(
        True,
        sessions=(
            Session("2001:db8:1:a::1", "established", 12.0, 64500),
            Session("2001:db8:1:b::1", "down", 3.0, 64500),
        ),
    )


def test_all_lines_about_a_neighbour_together_are_its_rib() -> None:
    one = '{"2001:db8:1:a::1": {"routes": [{"prefix": "2001:db8:f000::/36", "family": "ipv6 unicast"}]}}'
    two = one.replace("}]", '}, {"prefix": "2001:db8:e000::/36", "family": "ipv6 unicast"}]')
    alone = one.replace("f000", "e000")
    for second in (two, alone):
        assert exabgp.read_answer(AskRoutes(), [one, second], True).rib == {
            "2001:db8:1:a::1": ("2001:db8:f000::/36", "2001:db8:e000::/36")
        }


ROUTE = (
    '{"peer": {"address": "2001:db8:1:a::1"}, "route": {"nlri": {"prefix": "2001:db8:f000::/36", "nexthop": "self", '
    '"family": {"afi": "ipv6", "safi": "unicast"}}, "attributes": {"as-path": {"0": {"element": "as-sequence", '
    '"value": [64500, 64500]}}, "med": 50, "community": ["64500:7", "65535:0"], "large-community": ["1:2:3"]}}}'
)


def test_a_route_is_told_with_the_attributes_that_the_neighbour_gets() -> None:
    bare = ROUTE.partition('"attributes"')[0].replace("f000", "e000") + '"attributes": {"local-preference": 98}}}'
    answer = exabgp.read_answer(AskRoutes(), [ROUTE, bare], True)
    words = "as-path 64500 64500 med 50 community 64500:7 65535:0 large-community 1:2:3"
    assert answer.routes == {ISP: (f"2001:db8:f000::/36 {words}", "2001:db8:e000::/36 local-preference 98")}
    assert answer.rib == {ISP: ("2001:db8:f000::/36", "2001:db8:e000::/36")}
    assert exabgp.read_answer(AskRoutes(), [], True).rib == {}
    assert exabgp.read_answer(AskRoutes(), ["rubbish"], True).rib is None


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("notification received (2,2)", "ended by the neighbour: Bad Peer AS (NOTIFICATION 2/2)"),
        ("notification sent (4,0)", "ended from here: Hold Timer Expired (NOTIFICATION 4/0)"),
        ("notification received (6,9999)", "notification received (6,9999)"),
        ("notification received (9,9)", "ended by the neighbour: an unknown error (NOTIFICATION 9/9)"),
        ("closing connection", "closing connection"),
    ],
)
def test_the_end_of_a_session_is_told_in_the_words_of_the_rfc(said: str, meaning: str) -> None:
    """A wrong AS, a shut-down neighbour and a cut cable were one and the same."""
    line = UP.replace('"state": "up"', f'"state": "down", "reason": "{said}"')
    assert exabgp.read_line(line) == NeighbourChanged(ISP, "down", meaning)


@pytest.mark.parametrize("lines", [[], ["[1]"], ['[{"state": "up"}]'], ["7"], ["null"]])
def test_an_unreadable_description_is_none_of_ours(lines: list[str]) -> None:
    assert exabgp.read_answer(AskNeighbours(), lines, True).sessions is None
    assert exabgp.read_answer(AskNeighbours(), lines, False) == CommandAnswered(False)


@given(st.text())
def test_no_line_raises(text: str) -> None:
    exabgp.read_line(text)
    exabgp.read_line("{" + text)
    exabgp.read_answer(AskRoutes(), [text], True)
    exabgp.read_answer(AskNeighbours(), [text], True)
