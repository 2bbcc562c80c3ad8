"""Frames between sites: what is not one is refused whole, what a later release adds is skipped or passed on."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha import frames
from ha.events import RecordsReceived
from ha.frames import BadFrame, Hello, StateDigest, StateRepairRequest, StateSyncReply, Unknown, WireRecord
from ha.record import CELLS_MAX, MORE_MAX, Register, Version, merge, same
from mip6.numbers import Status
from tests.ha.cast import HOME, Router, Site, both_lines
from tests.ha.mesh import Mesh

NOW = 100.0

DEEP = b"\x91" * 100_000 + b"\x90"
UNREADABLE = {
    "text that is no UTF-8": b"\x82\xa4type\xa2\xff\xff\xa1a\x01",
    "nested deeper than Python goes": b"\x82\xa4type\xa5Later\xa1a" + DEEP,
    "nested so in a frame of ours": b"\x84" + frames.encode(frames.StateSyncRequest(1, 2))[5:] + b"\xa5later" + DEEP,
}


def wire() -> WireRecord:
    """The record of a router with two lines."""
    site = Site()
    site.feed(Router().update(NOW, both_lines()), NOW)
    [one] = site.agent.snapshot(NOW)
    return one


def as_lists(record: WireRecord) -> list[Any]:
    """What is on the wire: lists, so that anything may be put in them."""
    found: list[Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    return found


def reply(record: list[Any]) -> bytes:
    return msgspec.msgpack.encode({"type": "StateSyncReply", "index": 1, "records": [record], "complete": False})


def test_a_record_travels_as_it_is() -> None:
    frame = frames.decode(frames.encode(StateSyncReply(1, (wire(),), False))[4:])
    assert isinstance(frame, StateSyncReply)
    assert frame.records == (wire(),)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(10.0, 90000.0))
def test_no_time_of_another_site_is_believed_beyond_what_can_matter(
    cell_s: float, kept_s: float, most_s: float
) -> None:
    """A site with a wrong word would have others forward for thirty years, or keep what nobody needs."""
    told = wire()
    cells = {bid: msgspec.structs.replace(cell, remaining_s=cell_s) for bid, cell in told.cells.items()}
    told = msgspec.structs.replace(told, cells=cells, kept_s=kept_s)
    record = frames.from_wire(told, NOW, most_s)
    assert [cell.expires_at for cell in record.cells.values()] == [NOW + min(cell_s, most_s)] * 2
    assert record.kept_until == NOW + min(kept_s, most_s)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ((0,), b"short"),
        ((1, 1, 1), b"short"),
        ((1, 1, 2), math.nan),
        ((1, 1, 2), math.inf),
        ((1, 1, 0, 0), -1),
        ((2, 1), "x" * 65),
        ((3, 1), 70000),
        ((3, 1), -1),
        ((4, 2), [[HOME, 129]]),
        ((5,), -1),
        ((6,), math.nan),
        ((7,), {"x": [[1, "site1"], b"y" * (frames.MORE_MAX_BYTES + 1)]}),
        ((7,), {str(number): [[1, "site1"], b""] for number in range(MORE_MAX + 1)}),
        ((1,), {number: [[1, "site1"], None, 1.0, 0, True] for number in range(CELLS_MAX + 1)}),
        ((1,), {70000: [[1, "site1"], None, 1.0, 0, True]}),
    ],
)
def test_a_record_that_cannot_be_is_a_bad_frame(where: tuple[int, ...], what: object) -> None:
    """Octets of a wrong length came into the core, whose error counted as our own; not-a-number broke its order."""
    record = as_lists(wire())
    frames.decode(reply(record))
    place: Any = record
    for one in where[:-1]:
        place = place[one]
    place[where[-1]] = what
    with pytest.raises(BadFrame):
        frames.decode(reply(record))


def test_acknowledgements_in_a_frame_are_bounded() -> None:
    ack = {"type": "StateSyncAck", "index": 1, "also": [2] * (frames.ACKS_MAX - 1)}
    assert isinstance(frames.decode(msgspec.msgpack.encode(ack)), frames.StateSyncAck)
    with pytest.raises(BadFrame):
        frames.decode(msgspec.msgpack.encode({**ack, "also": [2] * frames.ACKS_MAX}))


def test_records_in_a_frame_are_bounded_before_they_are_made() -> None:
    """Symptom: 89,148 of the smallest fit into a frame, and to make them held the loop for 70 to 109 ms."""
    frame = {"type": "StateSyncReply", "index": 1, "records": [as_lists(wire())] * frames.RECORDS_MAX, "complete": True}
    assert isinstance(frames.decode(msgspec.msgpack.encode(frame)), StateSyncReply)
    nothing = [None] * (frames.RECORDS_MAX + 1)  # if one of them were looked at, it would be complained of
    with pytest.raises(BadFrame, match=str(frames.RECORDS_MAX)):
        frames.decode(msgspec.msgpack.encode({**frame, "records": nothing}))


def shown(*buckets: dict[bytes, Any]) -> bytes:
    return msgspec.msgpack.encode({"type": "StateRepairRequest", "buckets": dict(enumerate(buckets))})


def test_what_is_shown_of_a_bucket_is_bounded_and_each_is_a_home_address() -> None:
    """Symptom: 600,000 octet strings of any length fit into a frame, and to make them held the loop for 250 ms."""
    homes = [number.to_bytes(16, "big") for number in range(frames.SHOWN_MAX + 1)]
    full = dict.fromkeys(homes[1:], 2**64 - 1)
    assert frames.decode(shown(full, {})) == StateRepairRequest({0: full, 1: {}})
    with pytest.raises(BadFrame, match=str(frames.SHOWN_MAX)):
        frames.decode(shown(dict.fromkeys(homes)))  # no digests: none is looked at
    with pytest.raises(BadFrame, match="16"):
        frames.decode(shown({b"short": 1}))


def test_a_kind_of_a_later_release_is_told_from_garbage() -> None:
    assert frames.decode(msgspec.msgpack.encode({"type": "Later", "what": [1, 2]})) == Unknown("Later")
    for garbage in (b"", b"\x01", b"\xff" * 40, msgspec.msgpack.encode({"type": "Hello"}), msgspec.msgpack.encode({})):
        with pytest.raises(BadFrame):
            frames.decode(garbage)


@pytest.mark.parametrize("garbage", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_even_be_read_is_a_bad_frame(garbage: bytes) -> None:
    """It was an error of ours: the task that dials the peer ended, and nothing dialed it again until a restart."""
    with pytest.raises(BadFrame):
        frames.decode(garbage)


def test_fields_of_a_later_release_are_not_read() -> None:
    fields = msgspec.to_builtins(Hello(1, "READY", "announced", True, 0))
    assert frames.decode(msgspec.msgpack.encode({**fields, "more": 1})) == Hello(1, "READY", "announced", True, 0)
    record = [*as_lists(wire()), "an eighth field"]
    assert isinstance(frames.decode(reply(record)), StateSyncReply)


def test_frames_of_the_release_before_have_no_newer_fields() -> None:
    old = {"type": "StateSyncAck", "index": 4}
    assert frames.decode(msgspec.msgpack.encode(old)) == frames.StateSyncAck(4, "", True)
    record = as_lists(wire())[:7]
    frame = frames.decode(reply(record))
    assert isinstance(frame, StateSyncReply)
    assert frame.records[0].more == {}


def test_a_part_of_a_later_release_outlives_this_one_and_the_router_s_next_word() -> None:
    later = Register(Version(7, "site9"), b"flows of a later release")
    mesh, router = Mesh(), Router()
    mesh.join_all(NOW)
    mesh.feed("site1", router.update(NOW, both_lines()), NOW)
    mesh.settle(NOW)
    home_agent = mesh.sites["site1"].agent
    told = msgspec.structs.replace(home_agent.snapshot(NOW)[0], more={"flows": later})
    received = frames.decode(frames.encode(StateSyncReply(9, (told,), False))[4:])
    assert isinstance(received, StateSyncReply)
    mesh.feed("site2", RecordsReceived("site1", 1, received), NOW)
    mesh.feed("site2", router.update(NOW + 1, both_lines()[:1]), NOW + 1)
    mesh.settle(NOW + 1)
    for name in ("site1", "site2", "site3"):
        assert mesh.sites[name].agent.cache.records[HOME].more == {"flows": later}
    assert {ack.ack.status for _, ack in mesh.acks} == {Status.ACCEPTED}


def test_the_higher_version_of_a_part_wins_whichever_way_copies_meet() -> None:
    one = frames.from_wire(wire(), NOW, 600.0)
    older = msgspec.structs.replace(
        wire(), more={"a": Register(Version(3, "x"), b"old"), "b": Register(Version(1, "x"), b"only here")}
    )
    newer = msgspec.structs.replace(wire(), more={"a": Register(Version(4, "x"), b"new")})
    left, right = (frames.from_wire(each, NOW, 600.0) for each in (older, newer))
    assert same(merge(left, right), merge(right, left))
    assert {name: part.value for name, part in merge(left, right).more.items()} == {"a": b"new", "b": b"only here"}
    assert merge(one, left).more == left.more


def test_sums_are_bounded() -> None:
    with pytest.raises(BadFrame):
        frames.decode(frames.encode(StateDigest(1, bytes(frames.SUMS_MAX_BYTES + 1)))[4:])
