"""A peer that says more than it should, within what its frames may carry: others must not be harmed by it."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from ha import frames
from ha.cache import BindingCache
from ha.digest import bucket_of
from ha.effects import AcknowledgeRecords, Effect, Note, SendRecords
from ha.events import ClockRead, PeerAsked, PeerIdentified, RecordsReceived, TimeReached
from ha.frames import (
    BATCH_MAX_BYTES,
    MAX_FRAME_BYTES,
    MORE_MAX_BYTES,
    PREFIXES_MAX,
    SHOWN_MAX,
    BadFrame,
    StateDigest,
    StateRepairRequest,
    StateSyncReply,
    WireCell,
    WireRecord,
)
from ha.record import CELLS_MAX, MORE_MAX, OLDEST, Binding, Network, Record, Register, Version, same
from ha.repair import Repair
from ha.undo import Undo
from mip6 import ntp
from runtime.counters import Counters
from tests.ha.cast import EPOCH, HOME, HOME_AGENT, OVERWRITE, POLICY, Router, Site, both_lines
from tests.ha.mesh import Mesh, star

NOW = 100.0
BEFORE = Version(ntp.to_timestamp(EPOCH + NOW - 5), "site2")
LONG = Version(BEFORE.time, "s" * 64)


def home(number: int) -> bytes:
    return HOME_AGENT[:8] + (1000 + number).to_bytes(8, "big")


def large(number: int, cells: int = CELLS_MAX, prefixes: int = PREFIXES_MAX) -> WireRecord:
    cell = WireCell(LONG, HOME, 100.0, 0)
    network = (LONG, True, ((HOME, 64),) * prefixes)
    more = {f"part{place}": Register(LONG, bytes(MORE_MAX_BYTES)) for place in range(MORE_MAX)}
    return WireRecord(
        home(number), dict.fromkeys(range(cells), cell), OLDEST, Register(LONG, 1), network, 1, 300.0, more
    )


def small(number: int) -> WireRecord:
    return WireRecord(home(number), {}, BEFORE, Register(BEFORE, 1), (BEFORE, True, None), 1, 300.0)


def told(effects: Sequence[Effect], to: str) -> list[StateSyncReply]:
    replies = [one.frame for one in effects if isinstance(one, SendRecords) and one.site == to]
    assert all(len(frames.encode(reply)) - 4 <= MAX_FRAME_BYTES for reply in replies)
    return replies


def notes(effects: Sequence[Effect], message: str) -> list[Note]:
    return [one for one in effects if isinstance(one, Note) and message in one.message]


def test_no_record_that_a_decoder_takes_is_larger_than_we_count_it() -> None:
    """All at their bounds, with names of the longest characters, numbers of the longest kinds."""
    name = "\U0001f600" * 64
    version = Version(2**64 - 1, name)
    record = Record(
        home_address=HOME,
        cells={65535 - bid: Binding(version, HOME, NOW + 0.1, -(2**62), False) for bid in range(CELLS_MAX)},
        floor=version,
        sequence=Register(version, 65535),
        network=Register(version, Network(True, ((HOME, 128),) * PREFIXES_MAX)),
        message_id=2**64 - 1,
        kept_until=NOW + 0.1,
        more={f"{place:02}{name[2:]}": Register(version, bytes(MORE_MAX_BYTES)) for place in range(MORE_MAX)},
    )
    octets = frames.encode(StateSyncReply(2**64 - 1, (frames.to_wire(record, NOW),), False))
    assert isinstance(frames.decode(octets[4:]), StateSyncReply)
    assert all(
        len(frames.encode(StateSyncReply(1, tuple(frames.to_wire(one, NOW) for one in batch), False)))
        <= BATCH_MAX_BYTES + 100
        for batch in frames.batches([record] * 40)
    )


def test_a_record_with_more_prefixes_than_any_update_can_name_is_no_frame() -> None:
    fits = frames.encode(StateSyncReply(1, (large(1, cells=1),), False))
    assert isinstance(frames.decode(fits[4:]), StateSyncReply)
    too_many = frames.encode(StateSyncReply(1, (large(1, cells=1, prefixes=PREFIXES_MAX + 1),), False))
    with pytest.raises(BadFrame):
        frames.decode(too_many[4:])


def test_what_a_peer_made_large_is_told_in_frames_that_the_others_take() -> None:
    """Symptom: one peer's legal records made the next slice to an honest site too large, which cut the stream for it,
    again and again for as long as they lived.
    """
    site = Site(replace(POLICY, site="site1"), ["site2", "site3"])
    site.feed(PeerIdentified("site2", 1), NOW)
    for number in range(120):
        site.feed(RecordsReceived("site2", 1, StateSyncReply(number + 1, (large(number),), False)), NOW)
    site.feed(Router().update(NOW, both_lines(), flags=OVERWRITE), NOW)
    replies = told(site.feed(PeerAsked("site3", 0, 0), NOW), "site3")
    while not replies[-1].complete:
        assert replies[-1].records
        replies += told(site.feed(TimeReached(), NOW + len(replies)), "site3")
    homes = [wire.home_address for reply in replies for wire in reply.records]
    assert homes == list(site.agent.cache.records)
    assert len(homes) == len(set(homes)) == 121


def test_a_reflector_passes_on_what_has_become_large_in_frames_that_the_others_take() -> None:
    """Two sites' halves of the same records make wholes that no frame holds."""
    mesh = Mesh(topologies=star(["hub"], ["site1", "site2", "site3"]), idle=["hub"])
    mesh.join_all(NOW)
    halves = [tuple(large(number, cells=CELLS_MAX // 2) for number in range(100)) for _ in range(2)]
    halves[1] = tuple(
        msgspec.structs.replace(wire, cells={bid + CELLS_MAX // 2: cell for bid, cell in wire.cells.items()})
        for wire in halves[1]
    )
    hub = mesh.sites["hub"]
    for name, half in zip(("site1", "site2"), halves, strict=True):
        assert len(frames.encode(StateSyncReply(1, half, False))) < MAX_FRAME_BYTES
        effects = hub.feed(RecordsReceived(name, 1, StateSyncReply(1, half, False)), NOW)
        replies = told(effects, "site3")
        assert sum(len(reply.records) for reply in replies) == 100
        for reply in replies:
            mesh.feed("site3", RecordsReceived("hub", 1, reply), NOW)
    held = mesh.sites["site3"].agent.cache.records
    assert all(len(held[home(number)].cells) == CELLS_MAX for number in range(100))
    assert all(same(held[home(number)], hub.agent.cache.records[home(number)]) for number in range(100))


def test_as_many_buckets_are_asked_for_as_a_frame_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symptom: a million records made the question for 256 buckets larger than a frame may be."""
    monkeypatch.setattr("ha.repair.SHOWN_MAX", 60)
    cache, undo = BindingCache(), Undo()
    repair = Repair(cache, Counters())
    record = frames.from_wire(small(0), NOW, 300.0)
    homes: list[bytes] = []
    number = 0
    while len(homes) < 90:
        number += 1
        if bucket_of(home(number)) < 3:
            homes.append(home(number))
            cache.put(msgspec.structs.replace(record, home_address=home(number)), undo)
    while not repair.settle(NOW, undo):
        pass
    mine = repair.sums(NOW, undo)
    assert mine is not None
    asked = repair.compared("site2", StateDigest(mine.kind, bytes(len(mine.sums))), NOW, undo)
    seen: list[int] = []
    while asked is not None:
        assert sum(map(len, asked.buckets.values())) <= 60
        seen += asked.buckets
        asked = repair.go_on("site2", NOW, undo)
    assert seen == [0, 1, 2]
    monkeypatch.setattr("ha.repair.SHOWN_MAX", 10)  # less than is in any of them: the other is to send all that it has
    asked, now = repair.compared("site3", StateDigest(mine.kind, bytes(len(mine.sums))), NOW, undo), []
    while asked is not None:
        now.append(asked.buckets)
        asked = repair.go_on("site3", NOW, undo)
    assert now == [{0: {}}, {1: {}}, {2: {}}]
    fullest = StateRepairRequest({number: {home(number): 2**64 - 1} for number in range(SHOWN_MAX)})
    assert len(frames.encode(fullest)) < MAX_FRAME_BYTES / 2


def invented(first: int, count: int, index: int) -> RecordsReceived:
    frame = StateSyncReply(index, tuple(small(number) for number in range(first, first + count)), False)
    return RecordsReceived("site2", 1, frame)


def test_homes_that_a_peer_invents_fill_no_memory_and_harm_no_customer() -> None:
    """Symptom: each record of a customer whom nobody knows was kept and passed on, a million of them in a minute."""
    site = Site(replace(POLICY, site="site1", unknown_max=250), ["site2", "site3"])
    site.feed(PeerIdentified("site2", 1), NOW)
    effects = [one for turn in range(10) for one in site.feed(invented(turn * 100, 100, turn + 1), NOW + turn)]
    assert len(site.agent.cache.records) == 250 + len(site.agent.table.customers)
    assert site.counters.get("records_quarantined", "unknown") == 749
    promised = [one.frame.index for one in effects if isinstance(one, AcknowledgeRecords)]
    assert promised == [1, 2]
    assert len(notes(effects, "too many are of customers")) == 1
    assert notes(site.feed(invented(5000, 1, 11), NOW + 70), "too many are")[0].fields == {
        "site": "site2",
        "records": 1,
    }
    # A customer is served all the same, whoever heard him first; and who has a record is not cut off from news.
    other = Site(replace(POLICY, site="site3"))
    other.feed(Router().update(NOW, both_lines(), flags=OVERWRITE), NOW)
    heard = StateSyncReply(12, tuple(other.agent.snapshot(NOW)), False)
    site.feed(RecordsReceived("site2", 1, heard), NOW + 71)
    assert HOME in site.plane.read()
    newer = msgspec.structs.replace(small(1), message_id=2)
    site.feed(RecordsReceived("site2", 1, StateSyncReply(13, (newer,), False)), NOW + 72)
    assert site.agent.cache.records[home(1)].message_id == 2


def test_the_operator_reads_once_a_minute_whose_bindings_come_from_the_future() -> None:
    """Symptom: answers were degraded, and nothing said that a peer's clock was a day ahead."""
    site, other = Site(replace(POLICY, site="site1"), ["site2"]), Site(replace(POLICY, site="site2"))
    other.feed(ClockRead(EPOCH + 86400), NOW)
    other.feed(Router().update(NOW + 86400, both_lines(), flags=OVERWRITE), NOW)
    heard = StateSyncReply(1, tuple(other.agent.snapshot(NOW)), False)
    said = [notes(site.feed(RecordsReceived("site2", 1, heard), NOW + second), "future") for second in range(61)]
    assert [second for second, one in enumerate(said) if one] == [0, 60]
    assert said[0][0].fields == {"site": "site2", "records": 1}
    assert site.counters.get("records_quarantined", "future") == 61
