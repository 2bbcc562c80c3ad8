"""The home agent's reaction to each vector that is meant for it, from the whole packet to the effects.

The vectors' own cast: one home agent, one customer without authentication but with bounded care-of addresses (most
vectors carry none), and one whose key they sign with. The clock stands where their Mesg-ID says.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dataplane.entry import Prefix
from ha import reception
from ha.customer_table import Customer, UplinkRight
from ha.effects import (
    Effect,
    SendBindingAck,
    SendBindingError,
    SendHomeAgents,
    SendParameterProblem,
    SendToRouter,
)
from ha.events import BindingUpdateReceived, ClockRead
from ha.site import Policy
from mip6 import auth, ntp
from mip6.messages import BindingUpdate, Heartbeat
from mip6.numbers import BindingAckFlag, BindingErrorStatus, BindingUpdateFlag
from mip6.options import BindingIdentifier, MobileNetworkPrefix
from tests.ha.cast import Site, address
from tests.ha.wire import datagram

VECTORS = Path(__file__).parents[1] / "mip6" / "vectors"
OCTETS = {
    one["id"]: bytes.fromhex(one["hex"])
    for name in ("valid", "malformed", "others")
    for one in json.loads((VECTORS / f"{name}.json").read_text())
}
NOW = 1000.0
STAMP = 0xE91B2C3D80000000
HOME_AGENT, HOME = address("2001:db8:100::1"), address("2001:db8:100::51")
CARE_OF_1, CARE_OF_2 = address("2001:db8:a::10"), address("2001:db8:b::20")
MNP, OTHER_MNP = (Prefix(address(f"2001:db8:200:{net}::"), 56) for net in ("5100", "5200"))
KEY = auth.SecurityAssociation(256, "hmac-sha1-96", bytes(range(16)))
UPDATE = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION | BindingUpdateFlag.MOBILE_ROUTER
POLICY = Policy(
    site="site1",
    home_agent_address=HOME_AGENT,
    aggregates=((address("2001:db8:100::"), 40), (address("2001:db8:200::"), 40)),
    locators=frozenset(),
    lifetime_max_s=3600,
    acknowledge="local",
)
EVERYWHERE = (*(Prefix(address(f"2001:db8:{net}::"), 48) for net in "abc"), Prefix(HOME, 128))
TRUSTED = Customer(
    name="office1",
    home_address=HOME,
    prefixes=(MNP,),
    associations={256: KEY},
    uplinks={bid: UplinkRight(bid, f"line{bid}", 1, 0, EVERYWHERE) for bid in (1, 2, 3, 4, 9)},
    active=True,
    require_authentication=False,
    allow_nested=False,
)


@dataclass
class Answer:
    """What an acknowledgement says: status, granted lifetime, BID -> status, sequence if not the update's own."""

    status: int
    lifetime_s: int = 600
    bids: tuple[tuple[int, int], ...] = ()
    sequence: int | None = None


def site(customer: Customer = TRUSTED) -> Site:
    made = Site(policy=POLICY)
    made.feed(ClockRead(ntp.to_unix(STAMP) - NOW), NOW)
    made.load(customer, now=NOW)
    return made


def play(at: Site, name: str) -> list[Effect]:
    """Let a vector come in from the wire."""
    found = datagram(OCTETS[name])
    assert found is not None
    return at.feed(reception.event(found), NOW)


def registered(at: Site, sequence: int = 0x0FF0) -> None:
    """Lines 1 and 2 are bound, by an update with this sequence number."""
    bids = (BindingIdentifier(1, care_of=CARE_OF_1), BindingIdentifier(2, care_of=CARE_OF_2))
    update = BindingUpdate(sequence, UPDATE, 600, bids)
    assert at.acks(BindingUpdateReceived(update, b"", CARE_OF_1, HOME), NOW)[0].ack.status == 0


def bound(at: Site) -> dict[int, bytes | None]:
    record = at.agent.cache.records.get(HOME)
    return {bid: cell.care_of for bid, cell in record.live(NOW).items()} if record else {}


def answers(effects: list[Effect]) -> list[Answer]:
    return [
        Answer(
            one.ack.status,
            one.ack.lifetime_s,
            tuple((option.bid, option.status) for option in one.ack.all(BindingIdentifier)),
            one.ack.sequence,
        )
        for one in effects
        if isinstance(one, SendBindingAck)
    ]


Prepare = Callable[[Site], None]


def fresh(at: Site) -> None:
    """Nothing is bound."""


# Vector, state before, the one answer, what is bound afterwards.
REGISTRATIONS: list[tuple[str, Prepare, Answer, dict[int, bytes]]] = [
    ("V01", fresh, Answer(0), {0: CARE_OF_1}),
    ("V02", fresh, Answer(0, bids=((1, 0), (2, 0))), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("V02", registered, Answer(0, bids=((1, 0), (2, 0))), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("V03", fresh, Answer(0, bids=((1, 0), (2, 0))), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("V06", registered, Answer(0, 0), {}),
    ("V06", fresh, Answer(133, 0), {}),
    ("V07", registered, Answer(0, 0, ((2, 0),)), {1: CARE_OF_1}),
    ("V07", fresh, Answer(133, 0, ((2, 0),)), {}),
    # Flow bindings are not served, and no option says otherwise (RFC 6089 4.1): only the BIDs are refreshed.
    ("V11", registered, Answer(0, bids=((1, 0), (2, 0))), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("V12", registered, Answer(0, bids=((1, 0), (2, 0))), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("V15", fresh, Answer(4, bids=((1, 0), (3, 168))), {1: CARE_OF_1}),
    ("V24", registered, Answer(0, 0), {}),
    ("V25", fresh, Answer(4, bids=((4, 169), (1, 0))), {1: CARE_OF_1}),
    ("M10", registered, Answer(164, 0), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("M11", fresh, Answer(164, 0, ((1, 0),)), {}),
    ("M12", fresh, Answer(141, 0), {}),
    ("M13", fresh, Answer(140, 0), {}),
    ("M14", fresh, Answer(0), {0: CARE_OF_1}),
    ("M17", registered, Answer(167, 0, ((9, 0),)), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("M18", fresh, Answer(142, 0), {}),
    ("M19", lambda at: registered(at, 0x1009), Answer(135, 0, sequence=0x1009), {1: CARE_OF_1, 2: CARE_OF_2}),
    ("M19", fresh, Answer(0), {0: CARE_OF_1}),
    ("M22", fresh, Answer(164, 0, ((1, 0), (1, 0))), {}),
    ("M24", fresh, Answer(164, 0, ((0, 0),)), {}),
    ("M25", fresh, Answer(167, 0, ((1, 0),)), {}),
]


@pytest.mark.parametrize(
    ("name", "prepare", "expected", "after"),
    REGISTRATIONS,
    ids=[f"{row[0]}-{getattr(row[1], '__name__', 'x').strip('<>')}" for row in REGISTRATIONS],
)
def test_an_update_is_answered_and_leaves_these_bindings(
    name: str, prepare: Prepare, expected: Answer, after: dict[int, bytes]
) -> None:
    at = site()
    prepare(at)
    effects = play(at, name)
    found = datagram(OCTETS[name])
    assert found is not None
    own = int.from_bytes(found.octets[6:8], "big")
    assert answers(effects) == [replace(expected, sequence=own if expected.sequence is None else expected.sequence)]
    assert bound(at) == after
    [ack] = [one for one in effects if isinstance(one, SendBindingAck)]
    assert (ack.care_of, ack.home_address) == (found.source, found.home_address)


def test_v01_serves_the_prefix_that_it_names_and_sets_r() -> None:
    at = site()
    [ack] = [one for one in play(at, "V01") if isinstance(one, SendBindingAck)]
    assert ack.ack.flags == BindingAckFlag.MOBILE_ROUTER
    assert at.plane.read()[HOME].prefixes == (MNP,)


def test_v13_is_authentic_and_its_answer_is_signed_and_m15_is_refused() -> None:
    for name, status in (("V13", 0), ("M15", 146)):
        at = site(replace(TRUSTED, require_authentication=True))
        [ack] = [one for one in play(at, name) if isinstance(one, SendBindingAck)]
        assert (ack.ack.status, ack.association) == (status, KEY)
        assert bool(bound(at)) == (status == 0)


def test_m15_without_a_security_association_is_silence() -> None:
    at = site(replace(TRUSTED, require_authentication=True, associations={}))
    assert play(at, "M15") == []


@pytest.mark.parametrize(
    ("name", "counter"),
    [
        ("M01", "mobility_headers_malformed{checksum}"),
        ("M03", "mobility_headers_malformed{header_overrun}"),
        ("M04", "mobility_headers_malformed{option_truncated}"),
        ("M06", "mobility_headers_malformed{option_overrun}"),
        ("M16", "binding_updates_discarded{alternate_care_of_not_unicast}"),
        ("M20", "mobility_headers_malformed{header_truncated}"),
        ("M23", "mobility_headers_malformed{home_address_not_unicast}"),
    ],
)
def test_silence_is_counted_and_changes_nothing(name: str, counter: str) -> None:
    at = site()
    registered(at)
    before = (bound(at), at.counters.as_dict())
    assert play(at, name) == []
    assert bound(at) == before[0]
    assert at.counters.as_dict() == {**before[1], counter: 1}


@pytest.mark.parametrize(("name", "pointer"), [("M02", 1), ("M05", None), ("M09", 0)])
def test_a_wrong_octet_is_pointed_at(name: str, pointer: int | None) -> None:
    """M02: Header Len; M05: the length octet of the MNP option; M09: Payload Proto. Offsets in the mobility header."""
    at = site()
    [problem] = [one for one in play(at, name) if isinstance(one, SendParameterProblem)]
    found = datagram(OCTETS[name])
    assert found is not None and problem.source == found.source
    if pointer is not None:
        assert problem.pointer == pointer
    else:
        assert found.octets[problem.pointer - 1 : problem.pointer + 1] == bytes((MobileNetworkPrefix.type, 0))
    assert bound(at) == {}


@pytest.mark.parametrize(
    ("name", "status", "home_address"),
    [
        ("M07", BindingErrorStatus.UNRECOGNIZED_TYPE, HOME),
        ("M08", BindingErrorStatus.UNRECOGNIZED_TYPE, bytes(16)),
        ("M21", BindingErrorStatus.UNKNOWN_BINDING, address("2001:db8:100::77")),
    ],
)
def test_a_binding_error_goes_to_the_wire_source(name: str, status: BindingErrorStatus, home_address: bytes) -> None:
    assert play(site(), name) == [SendBindingError(status, CARE_OF_1, home_address)]


def test_v17_is_answered_with_its_sequence_and_v22_with_the_one_address() -> None:
    at = site()
    [beat] = play(at, "V17")
    assert isinstance(beat, SendToRouter) and isinstance(beat.message, Heartbeat)
    assert (beat.message.response, beat.message.sequence, beat.care_of) == (True, 1, OCTETS["V17"][8:24])
    [told] = play(at, "V22")
    assert isinstance(told, SendHomeAgents)
    assert (told.mobile_router, told.destination) == (True, CARE_OF_1)


@pytest.mark.parametrize("name", ["V04", "V05", "V08", "V09", "V10", "V14", "V18", "V19", "V20", "V21"])
def test_what_is_meant_for_a_mobile_router_is_nothing_to_a_home_agent(name: str) -> None:
    """They come with a type 2 routing header or bare; as bare mobility headers they are known and ignored."""
    at = site()
    registered(at)
    before = bound(at)
    octets = bytearray(OCTETS[name])
    if octets[6] == 43:  # the header behind the routing header, addressed to us
        octets = octets[:40] + octets[64:]
        octets[6] = 135
        octets[4:6] = (len(octets) - 40).to_bytes(2, "big")
    found = datagram(bytes(octets))
    assert found is not None
    assert at.feed(reception.event(found), NOW) == []
    assert bound(at) == before
