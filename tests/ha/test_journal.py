"""What was recorded plays again to the same effects, whatever happened; and no journal holds a key."""

import base64
import json
from dataclasses import replace
from typing import get_args

import pytest

from dataplane.entry import ForwardingEntry, Path
from ha import digest, journal
from ha.customer_table import EMPTY
from ha.effects import Effect
from ha.events import (
    ClockRead,
    DataPlaneChecked,
    DigestReceived,
    Event,
    ForwardingRepaired,
    HeaderMalformed,
    HelloReceived,
    HomeAddressUsed,
    HomeAgentsAsked,
    LeaseAnswered,
    LoadMeasured,
    MessageIgnored,
    MessageUnknown,
    OperatorAsked,
    PeerAsked,
    PeerIdentified,
    PeerUnreachable,
    PrefixesAsked,
    RecordsAcknowledged,
    RecordsReceived,
    RepairAsked,
    RevokeAsked,
    SelfTested,
    TableLoaded,
    TickReached,
    TimeReached,
)
from ha.frames import Hello, StateDigest, StateRepairRequest, StateSyncAck, StateSyncReply
from ha.home_agent import HomeAgent
from ha.journal import JournalRefused, Made, Recovered
from ha.readiness import Mode
from ha.replay import Player, replay, to_text
from ha.site import Topology
from mip6.options import BindingIdentifier
from runtime.counters import Counters
from runtime.journal import Recorded
from tests.ha.cast import (
    CARE_OF_1,
    CARE_OF_2,
    CARE_OF_3,
    EPOCH,
    HOME,
    KEY,
    MNP,
    OVERWRITE,
    POLICY,
    Router,
    Site,
    both_lines,
    customer,
    table,
)
from tests.ha.test_heartbeats import heartbeat

RULES = replace(POLICY, cookie_key=b"s" * 32, acknowledge="any")
TABLE = table(customer())


def everything() -> list[tuple[Event, float]]:
    """A life with one of each event, some of them refused."""
    router, stranger = Router(), Router(key=replace(KEY, key=b"x" * 32))
    peer = Site(policy=replace(POLICY, site="site2"))
    peer.feed(Router(sequence=40).update(105.0, both_lines()), 105.0)
    records = tuple(peer.agent.snapshot(105.0))
    entry = ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF_1),))
    return [
        (TableLoaded(TABLE), 100.0),
        (ClockRead(EPOCH), 100.1),
        (PeerAsked("site2", 0, 0), 100.2),
        (PeerIdentified("site2", 7), 100.2),
        (router.update(100.3, both_lines(), flags=OVERWRITE), 100.3),
        (stranger.update(100.4, both_lines()), 100.4),
        (heartbeat(CARE_OF_2, now=100.5), 100.5),
        (RecordsAcknowledged("site2", StateSyncAck(1)), 100.6),
        (DigestReceived("site2", StateDigest(digest.KIND, bytes(8 * digest.BUCKETS))), 100.65),
        (RepairAsked("site2", StateRepairRequest({digest.bucket_of(HOME): {HOME: 1}})), 100.66),
        (HelloReceived("site2", Hello(1, "ANNOUNCED", "announced", True, 3)), 100.7),
        (LeaseAnswered("announced", 1), 100.8),
        (DataPlaneChecked(True), 100.9),
        (TimeReached(), 101.0),
        (HeaderMalformed("payload_proto", 0, CARE_OF_3, HOME, b"", bytes(8)), 101.1),
        (MessageUnknown(CARE_OF_3, None), 101.2),
        (MessageIgnored("HomeTest"), 101.3),
        (HomeAddressUsed(CARE_OF_3, HOME, 58), 101.4),
        (HomeAgentsAsked(3, True, CARE_OF_3), 101.5),
        (PrefixesAsked(4, CARE_OF_1, HOME), 101.6),
        (RecordsReceived("site2", 7, StateSyncReply(3, records, True)), 105.1),
        (ForwardingRepaired({HOME: entry}, {HOME: "no"}), 105.2),
        (router.update(105.3, (BindingIdentifier(2),), lifetime_s=0), 105.3),
        (RevokeAsked(HOME, (1,)), 105.4),
        (LoadMeasured(0.9), 105.4),
        (SelfTested("a packet is lost"), 105.45),
        (OperatorAsked(Mode.DRAIN, "alice", "upgrade"), 105.5),
        (PeerUnreachable("site2"), 105.6),
        (TickReached(), 106.0),
        (TimeReached(), 107.0),
    ]


def recorded() -> tuple[list[str], list[str]]:
    """The journal of that life, and its effects as text."""
    lines: list[str] = []
    made = Made("site1", 5, 99.0, EPOCH)
    lines.append(journal.to_line(made, 99.0))
    agent = HomeAgent(
        policy=RULES,
        topology=Topology(("site2",)),
        table=EMPTY,
        incarnation=5,
        now=99.0,
        clock_offset_s=EPOCH,
        mrai_s=0,
        orphan_hold_s=300,
        counters=Counters(),
    )
    core: Recorded[Event, Effect] = Recorded(agent, lambda event, now: lines.append(journal.to_line(event, now)))
    told: list[str] = []
    events = everything()
    for place, (event, now) in enumerate(events):
        if place == 1:
            present = {HOME: ForwardingEntry(HOME, (MNP,), (Path(1, CARE_OF_3),))}
            agent.state.restarts = 3
            agent.reconciled(agent.recover([], present, now), {HOME: None})
            lines.append(journal.to_line(Recovered([], present, {HOME: None}, 3), now))
        effects = core.handle(event, now)
        told += [to_text(len(lines), effect) for effect in effects]
    return lines, told


def player() -> Player:
    return Player(RULES, Topology(("site2",)), TABLE, 0, 300)


def test_a_journal_plays_again_to_the_same_effects() -> None:
    lines, told = recorded()
    played: list[str] = []
    replay(lines, player(), played.append)
    assert played == told
    kinds = {json.loads(line)["effect"] for line in played}
    assert {"SendBindingAck", "SetForwarding", "SendToRouter", "SendRecords", "SendHello", "Note"} <= kinds


def test_every_kind_of_event_was_in_that_life() -> None:
    kinds = {json.loads(line)["event"] for line in recorded()[0]}
    never = {"ForwardingReported", "RevocationReceived"}
    assert kinds >= {kind.__name__ for kind in get_args(Event)} - never | {"Made", "Recovered"}


def test_no_key_is_in_a_journal_or_in_what_it_plays() -> None:
    lines, told = recorded()
    for secret in (KEY.key, RULES.cookie_key):
        for form in (secret.hex(), base64.b64encode(secret).decode(), secret.decode()):
            assert not any(form in line for line in (*lines, *told))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        '{"format": 1, "now": 1, "event": "Unheard", "fields": {}}',
        '{"format": 2, "now": 1, "event": "TimeReached", "fields": {}}',
        '{"format": 1, "now": 1, "event": "BindingUpdateReceived", "fields": {"octets": "AAAA", "source": "AA=="}}',
        '{"format": 1, "now": 1, "event": "OperatorAsked", "fields": {"drain": 7}}',
    ],
)
def test_what_is_no_line_of_a_journal_is_refused_and_named(line: str) -> None:
    good = journal.to_line(Made("site1", 5, 99.0, EPOCH), 99.0)
    with pytest.raises(JournalRefused, match="line 2"):
        replay([good, line], player(), print)


def test_a_journal_without_its_beginning_is_refused() -> None:
    with pytest.raises(JournalRefused, match="begin"):
        replay([journal.to_line(TimeReached(), 1.0)], player(), print)
