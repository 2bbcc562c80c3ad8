"""The MR record: joining copies gives one result whatever the order, and every accepted change wins."""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import astuple, replace

from ha import digest, frames
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
    holds,
    merge,
    same,
)

HOME = bytes.fromhex("20010db8f00000000000000000000051")
ROUTER = Network(True, None)

versions = st.builds(Version, st.integers(1, 6), st.sampled_from(["site1", "site2"]))
values = st.sampled_from([b"x", b"y"])
FIELDS = ("cells", "floor", "sequence", "network", "message_id", "kept_until", "more")


def care_of_of(version: Version, bid: int) -> bytes:
    """One writer writes one value at a version, as real sites do."""
    return bytes([0x20, 1, version.time, bid, *version.site.encode()]).ljust(16, b"\0")


def number_of(version: Version) -> int:
    """A sequence number that is the smaller the newer it is, as where they begin again at 0."""
    return 60000 - 2 * version.time - (version.site == "site2")


def is_deletion(version: Version, bid: int) -> bool:
    """Whether the writer at this version deleted the cell."""
    return (version.time + bid) % 3 == 0


def binding(version: Version, bid: int, tombstone: bool, verified: bool = True) -> Binding:
    care_of = None if tombstone else care_of_of(version, bid)
    return Binding(version, care_of, 100.0 + version.time + bid, verified=verified)


@st.composite
def records(draw: st.DrawFn) -> Record:
    cells = {}
    for bid in draw(st.sets(st.integers(0, 3))):
        version = draw(versions)
        cells[bid] = binding(version, bid, is_deletion(version, bid), draw(st.booleans()))
    floor = draw(versions | st.just(OLDEST))
    sequence, network = draw(versions), draw(versions)
    return Record(
        home_address=HOME,
        cells={bid: cell for bid, cell in cells.items() if cell.version > floor},
        floor=floor,
        sequence=Register(sequence, number_of(sequence)),
        network=Register(network, Network(True, ((care_of_of(network, 0), 56),))),
        message_id=draw(st.integers(1, 6)),
        kept_until=draw(st.sampled_from([103.0, 200.0, 300.0])),
        more=draw(st.dictionaries(st.sampled_from("ab"), st.builds(Register, versions, values))),
    )


def parts(record: Record) -> dict[str, tuple[object, object]]:
    """All that a record says: of each part what ranks it, and its value."""
    return {
        "floor": (record.floor, None),
        "sequence": (record.sequence.version, record.sequence.value),
        "network": (record.network.version, record.network.value),
        "message_id": (record.message_id, None),
        "kept_until": (record.kept_until, None),
        **{f"more {name}": ((one.version, one.value), None) for name, one in record.more.items()},
        **{f"cell {bid}": ((cell.version, cell.verified), cell) for bid, cell in record.cells.items()},
    }


def versions_in(value: object) -> Iterator[Version]:
    """Every version that stands anywhere in a value."""
    if isinstance(value, Version):
        yield value
    elif isinstance(value, Struct):
        for member in astuple(value):
            yield from versions_in(member)
    elif isinstance(value, dict):
        for member in value.values():
            yield from versions_in(member)


@given(records(), records())
def test_merge_is_commutative(left: Record, right: Record) -> None:
    assert merge(left, right) == merge(right, left)


@given(records(), records(), records())
def test_merge_is_associative(a: Record, b: Record, c: Record) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(records(), records())
def test_merge_is_idempotent(left: Record, right: Record) -> None:
    joined = merge(left, right)
    assert merge(joined, left) == merge(joined, right) == merge(joined, joined) == joined
    assert same(merge(joined, right), joined)


@given(records(), records())
def test_merge_is_monotone_no_part_of_a_record_ever_goes_back(left: Record, right: Record) -> None:
    joined = merge(left, right)
    after = parts(joined)
    for name, (rank, cell) in [*parts(left).items(), *parts(right).items()]:
        if isinstance(cell, Binding) and cell.version <= joined.floor:
            assert name not in after or after[name][0][0] > joined.floor  # type: ignore[index]
        else:
            assert after[name][0] >= rank  # type: ignore[operator]


@given(records(), records())
def test_merge_makes_nothing_up_each_part_is_as_one_of_the_two_said_it(left: Record, right: Record) -> None:
    joined = merge(left, right)
    for name, part in parts(joined).items():
        assert part in (parts(left).get(name), parts(right).get(name))
    assert all(cell.version > joined.floor for cell in joined.cells.values())


@given(records())
def test_newest_is_the_highest_version_anywhere_in_the_record(one: Record) -> None:
    assert one.newest() == max(versions_in(one))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Record, Record]:
    """A record, and a copy of which at most one part is another one, or not there."""
    left, right = draw(records()), draw(records())
    match draw(st.sampled_from((*FIELDS, "cell", "no cell", "proof"))):
        case "cell":
            bid, version = draw(st.integers(0, 3)), draw(versions)
            cell = binding(version, bid, is_deletion(version, bid))
            return left, replace(left, cells={**left.cells, bid: cell})
        case "no cell":
            gone = draw(st.integers(0, 3))
            return left, replace(left, cells={bid: cell for bid, cell in left.cells.items() if bid != gone})
        case "proof":
            return left, replace(left, cells={bid: replace(cell, verified=True) for bid, cell in left.cells.items()})
        case field:
            return left, replace(left, **{field: getattr(right, field)})


@settings(max_examples=300)
@given(pairs())
def test_two_records_are_the_same_if_all_that_is_shared_is_and_so_their_digests(pair: tuple[Record, Record]) -> None:
    """`same` ends exchanges, digests begin them: what either overlooked, two sites would differ in for ever."""
    for left, right in (pair, pair[::-1]):
        is_shared = {**parts(left), "kept_until": None} == {**parts(right), "kept_until": None}
        assert same(left, right) is is_shared
        assert (digest.of(left) == digest.of(right)) is is_shared


@given(records(), st.floats(99.0, 111.0))
def test_live_is_every_binding_of_the_kind_that_was_written_last_and_nothing_else(one: Record, now: float) -> None:
    left = {bid: cell for bid, cell in one.cells.items() if cell.care_of is not None and cell.expires_at > now}
    live = one.live(now)
    assert bool(live) is bool(left)
    if left:
        newest = max(left, key=lambda bid: (left[bid].version, bid == PLAIN_BID))
        assert live == {bid: cell for bid, cell in left.items() if (bid == PLAIN_BID) is (newest == PLAIN_BID)}


@given(records(), st.floats(99.0, 111.0))
def test_time_takes_away_what_is_over_and_nothing_else(one: Record, now: float) -> None:
    """A tombstone stays as long as it was to stay: without it a site that was away would bring the binding back."""
    kept = {bid: cell for bid, cell in one.cells.items() if cell.expires_at > now}
    left = one.without_expired(now)
    if not kept and one.kept_until <= now:
        assert left is None
    else:
        assert left == replace(one, cells=kept)
    if now < one.next_expiry():
        assert left is one


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


@given(st.integers(0, CELLS_MAX), st.integers(0, MORE_MAX))
def test_a_record_never_grows_beyond_what_a_frame_may_carry(low: int, first: int) -> None:
    """Two frames as they may be made a record of which every later frame was refused, and the snapshot too."""
    halves = []
    for bids, names in (
        (range(CELLS_MAX), range(MORE_MAX)),
        (range(low, low + CELLS_MAX), range(first, first + MORE_MAX)),
    ):
        cells = {bid: Binding(Version(5, "a"), None, 100.0) for bid in bids}
        parts = {f"{name:03}": Register(Version(5, "a"), b"") for name in names}
        halves.append(replace(record(cells), more=parts))
    whole = merge(*halves)
    assert whole == merge(*reversed(halves)) == merge(whole, halves[1])
    assert list(whole.cells) == list(range(CELLS_MAX))  # those with the lowest BIDs, and names, stay
    assert list(whole.more) == [f"{name:03}" for name in range(MORE_MAX)]
    frames.decode(frames.encode(frames.StateSyncReply(1, (frames.to_wire(whole, 0.0),), False))[4:])


def written(cells: dict[int, int], floor: Version = OLDEST) -> Record:
    """A record with bindings of site1, by BID and time; what is not said is older."""
    made = {bid: binding(Version(time, "site1"), bid, tombstone=False) for bid, time in cells.items()}
    number, network = Register(OLDEST, 1), Register(OLDEST, ROUTER)
    return Record(HOME, made, floor, number, network, message_id=1, kept_until=300.0)


def test_a_deletion_of_all_holds_where_nothing_stands_above_it() -> None:
    """Its floor is there in any case; what the router said later is not gone."""
    gone = written({}, floor=Version(3, "site1"))
    assert holds(merge(written({1: 2, 2: 2}), gone), gone, now=50.0)
    assert not holds(merge(written({1: 2, 2: 4}), gone), gone, now=50.0)


def test_a_binding_holds_where_it_is_in_force() -> None:
    """A plain one may be there and forwarded by nobody, below newer ones with a BID, or the other way round."""
    plain, lines = written({PLAIN_BID: 3}, floor=Version(3, "")), written({1: 4, 2: 4})
    both = merge(plain, lines)
    assert (holds(both, plain, now=50.0), holds(both, lines, now=50.0)) == (False, True)
    later = written({PLAIN_BID: 5})
    both = merge(later, lines)
    assert (holds(both, later, now=50.0), holds(both, lines, now=50.0)) == (True, False)
