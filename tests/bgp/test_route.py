"""Routes: what is refused, and the difference between wanted and advertised."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp.errors import BgpError
from bgp.route import (
    GRACEFUL_SHUTDOWN,
    MAX_COMMUNITIES,
    MAX_PREPEND,
    UNKNOWN,
    Advertised,
    Announce,
    Place,
    Route,
    Terms,
    Withdraw,
    difference,
    for_neighbours,
    is_community,
)

PREFIXES = [ip_network(text) for text in ("2001:db8:e000::/36", "2001:db8:f000::/36", "192.0.2.0/24")]
ROUTES = st.builds(Route, st.sampled_from(PREFIXES), prepend=st.integers(0, 2), med=st.none() | st.integers(0, 1))
NEIGHBOURS = ["2001:db8:1:a::1", "2001:db8:1:a::2"]
TERMS = [
    Terms(NEIGHBOURS[0], 64501, next_hop="192.0.2.8"),
    Terms(NEIGHBOURS[1], 64502, ("64500:9",), 2, 7, "192.0.2.8"),
]
PLACES = st.tuples(st.sampled_from(NEIGHBOURS), st.sampled_from(PREFIXES))
WANTED = st.lists(ROUTES).map(lambda routes: for_neighbours({route.prefix: route for route in routes}.values(), TERMS))
ADVERTISED: st.SearchStrategy[dict[Place, Advertised]] = st.dictionaries(PLACES, ROUTES | st.none() | st.just(UNKNOWN))


@pytest.mark.parametrize("text", ["64500:1", "65535:0", "0:0", "64500:1:4294967295"])
def test_communities_of_two_and_three_parts_are_taken(text: str) -> None:
    assert is_community(text)


@pytest.mark.parametrize("text", ["", "1", "65536:1", "1:2:3:4", "a:b", "1:-2", "1: 2", "1:²", "4294967296:1:1"])
def test_what_does_not_fit_an_update_is_no_community(text: str) -> None:
    assert not is_community(text)


@pytest.mark.parametrize(
    "attributes",
    [{"communities": ("x",)}, {"communities": ("1:1",) * 33}, {"med": -1}, {"med": 2**32}, {"prepend": 17}],
)
def test_attributes_out_of_range_are_refused(attributes: dict[str, object]) -> None:
    with pytest.raises(BgpError):
        Route(PREFIXES[0], **attributes)  # type: ignore[arg-type]


def test_depreferencing_adds_one_community_once() -> None:
    route = Route(PREFIXES[0], ("64500:1",)).depreferenced()
    assert route.communities == ("65535:0", "64500:1")
    assert route.depreferenced() == route


@given(WANTED, ADVERTISED)
def test_the_steps_lead_to_what_is_wanted_and_then_there_are_none(
    wanted: dict[Place, Route], advertised: dict[Place, Advertised]
) -> None:
    steps = difference(wanted, advertised)
    assert [isinstance(step, Announce) for step in steps] == sorted(isinstance(step, Announce) for step in steps)
    after = dict(advertised)
    for step in steps:
        after[step.neighbour, step.prefix] = step.route if isinstance(step, Announce) else None
    assert {place: route for place, route in after.items() if route is not None} == wanted
    assert difference(wanted, after) == ()


def test_what_is_unknown_and_not_wanted_is_withdrawn() -> None:
    isp = NEIGHBOURS[0]
    advertised: dict[Place, Advertised] = {(isp, PREFIXES[0]): UNKNOWN, (isp, PREFIXES[1]): None}
    assert difference({}, advertised) == (Withdraw(isp, PREFIXES[0]),)


def test_a_neighbour_gets_the_routes_attributes_and_its_own() -> None:
    route = Route(PREFIXES[0], ("64500:1", "64500:9"), med=50, prepend=1).depreferenced()
    assert TERMS[0].applied(route) == route
    joined = Route(PREFIXES[0], (GRACEFUL_SHUTDOWN, "64500:1", "64500:9"), med=7, prepend=3)
    assert TERMS[1].applied(route) == joined


def test_a_neighbour_hears_the_prefixes_of_its_sessions_family_and_with_a_next_hop_all() -> None:
    routes = [Route(prefix) for prefix in PREFIXES]
    neighbours = [
        Terms("192.0.2.9", 64501),
        Terms(NEIGHBOURS[0], 64501),
        Terms(NEIGHBOURS[1], 64502, next_hop="192.0.2.1"),
    ]
    told = {terms.neighbour: [str(place[1]) for place in for_neighbours(routes, [terms])] for terms in neighbours}
    assert told["192.0.2.9"] == ["192.0.2.0/24"]
    assert told[NEIGHBOURS[0]] == ["2001:db8:e000::/36", "2001:db8:f000::/36"]
    assert len(told[NEIGHBOURS[1]]) == 3


def test_what_an_update_could_not_carry_is_left_out_but_never_the_shutdown() -> None:
    many = tuple(f"64500:{number}" for number in range(MAX_COMMUNITIES))
    greedy = Terms(NEIGHBOURS[0], 64501, tuple(f"64501:{number}" for number in range(MAX_COMMUNITIES)), MAX_PREPEND)
    got = greedy.applied(Route(PREFIXES[0], many[:-1], prepend=MAX_PREPEND).depreferenced())
    assert got.communities == (GRACEFUL_SHUTDOWN, *many[:-1])
    assert got.prepend == MAX_PREPEND
