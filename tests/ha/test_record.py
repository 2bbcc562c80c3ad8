"""The MR record: joining copies gives one result whatever the order, and every accepted change wins."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ha import frames
from ha.record import (
    CELLS_MAX,
    MORE_MAX,
    OLDEST,
    PLAIN_BID,
    Binding,
    Network,
    Record,
    Register,
    Version,
    merge,
    same,
)

HOME = bytes.fromhex("20010db8f00000000000000000000051")
ROUTER = Network(True, None)

versions = st.builds(Version, st.integers(1, 6), st.sampled_from(["site1", "site2"]))


def care_of_of(version: Version, bid: int) -> bytes:
    """One writer writes one value at a version, as real sites do."""
    return bytes([0x20, 1, version.time, bid, *version.site.encode()]).ljust(16, b"\0")


def binding(version: Version, bid: int, tombstone: bool) -> Binding:
    return Binding(version, None if tombstone else care_of_of(version, bid), 100.0)


@st.composite
def records(draw: st.DrawFn) -> Record:
    cells = {}
    for bid in draw(st.sets(st.integers(0, 3))):
        version = draw(versions)
        cells[bid] = binding(version, bid, tombstone=(version.time + bid) % 3 == 0)
    floor = draw(versions | st.just(OLDEST))
    sequence, network = draw(versions), draw(versions)
    return Record(
        home_address=HOME,
        cells={bid: cell for bid, cell in cells.items() if cell.version > floor},
        floor=floor,
        sequence=Register(sequence, hash(sequence) % 65536),
        network=Register(network, Network(True, ((care_of_of(network, 0), 56),))),
        message_id=draw(st.integers(1, 6)),
        kept_until=200.0,
    )


@given(records(), records())
def test_merge_is_commutative(left: Record, right: Record) -> None:
    assert merge(left, right) == merge(right, left)


@given(records(), records(), records())
def test_merge_is_associative(a: Record, b: Record, c: Record) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(records(), records())
def test_merge_is_idempotent_and_monotone(left: Record, right: Record) -> None:
    joined = merge(left, right)
    assert merge(joined, left) == joined
    assert same(merge(joined, right), joined)
    assert joined.newest() >= max(left.floor, right.floor)


def record(cells: dict[int, Binding], floor: Version = OLDEST, time: int = 1) -> Record:
    version = Version(time, "site1")
    return Record(HOME, cells, floor, Register(version, 1), Register(version, ROUTER), time, 500.0)


def test_two_bids_heard_at_two_sites_at_once_both_survive() -> None:
    here = record({1: binding(Version(7, "site1"), 1, False)})
    there = record({2: binding(Version(7, "site2"), 2, False)})
    assert set(merge(here, there).live(0.0)) == {1, 2}


def test_overwrite_wipes_what_it_must_even_when_it_races() -> None:
    overwritten = record({2: binding(Version(9, "site2"), 2, False)}, floor=Version(9, ""), time=9)
    late = record({1: binding(Version(8, "site1"), 1, False)}, time=8)
    assert set(merge(late, overwritten).live(0.0)) == {2}
    assert set(merge(overwritten, late).live(0.0)) == {2}


def test_a_tombstone_beats_the_older_binding_and_loses_to_a_newer_one() -> None:
    old = record({1: binding(Version(4, "site1"), 1, False)}, time=4)
    deleted = record({1: binding(Version(5, "site2"), 1, True)}, time=5)
    again = record({1: binding(Version(7, "site1"), 1, False)}, time=7)
    assert merge(old, deleted).live(0.0) == {}
    assert set(merge(merge(old, deleted), again).live(0.0)) == {1}


def test_what_one_site_saw_proved_is_proved_whichever_way_the_copies_meet() -> None:
    version = Version(4, "a")
    claimed = record({1: Binding(version, care_of_of(version, 1), 10.0, verified=False)})
    proved = record({1: Binding(version, care_of_of(version, 1), 10.0, verified=True)})
    for merged in (merge(claimed, proved), merge(proved, claimed)):
        assert merged.cells[1].verified and same(merged, proved) and not same(merged, claimed)
    moved = Version(5, "b")
    newer = record({1: Binding(moved, care_of_of(moved, 1), 10.0, verified=False)})
    assert not merge(proved, newer).cells[1].verified and not merge(newer, proved).cells[1].verified


def test_the_newer_kind_of_binding_is_live() -> None:
    plain, bid = binding(Version(4, "a"), PLAIN_BID, False), binding(Version(5, "a"), 1, False)
    assert set(record({PLAIN_BID: plain, 1: bid}).live(0.0)) == {1}
    newer_plain = binding(Version(7, "a"), PLAIN_BID, False)
    assert set(record({PLAIN_BID: newer_plain, 1: bid}).live(0.0)) == {PLAIN_BID}


def test_expiry_is_local_and_leaves_no_tombstone() -> None:
    held = record({1: Binding(Version(4, "a"), care_of_of(Version(4, "a"), 1), 10.0)})
    assert held.live(9.9) and not held.live(10.0)
    left = held.without_expired(10.0)
    assert left is not None and left.cells == {}
    assert left.without_expired(500.0) is None


def test_a_record_never_grows_beyond_what_a_frame_may_carry() -> None:
    """Two frames as they may be made a record of which every later frame was refused, and the snapshot too."""
    halves = []
    for low in (0, CELLS_MAX):
        cells = {bid: Binding(Version(5, "a"), None, 100.0) for bid in range(low, low + CELLS_MAX)}
        parts = {f"{low} {number}": Register(Version(5, "a"), b"") for number in range(MORE_MAX)}
        halves.append(replace(record(cells), more=parts))
    whole = merge(*halves)
    assert whole == merge(*reversed(halves)) == merge(whole, halves[1])
    assert (len(whole.cells), len(whole.more)) == (CELLS_MAX, MORE_MAX)
    frames.decode(frames.encode(frames.StateSyncReply(1, (frames.to_wire(whole, 0.0),), False))[4:])
