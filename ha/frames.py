"""The frames between home agents (HAHA): names after the HAHA and HA reliability drafts, MessagePack by msgspec.

Owns the wire form of an MR record: times travel as remaining seconds, never as somebody's clock. Refuses frames it
cannot decode with `BadFrame`. A frame on a stream is its length (4 octets, big endian) and its octets.

A later release may add fields to any frame, which we do not read, kinds of frames, which we skip (`Unknown`), and parts
of a record (`WireRecord.more`), which we keep and pass on.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, get_args

import msgspec
from msgspec import Meta

from ha.record import CELLS_MAX, MORE_MAX, Binding, Network, Record, Register, Version

LOWEST, HIGHEST = 1, 1  # the protocols we speak: this release's, and the one's before it
MAX_FRAME_BYTES = 4 * 1024 * 1024
BATCH_MAX_BYTES = MAX_FRAME_BYTES // 4  # of records that we put into one frame, counted generously
PREFIXES_MAX = 255  # of a record: no Binding Update has room for more than some hundred
MORE_MAX_BYTES = 1024  # of a part of a record that a later release may add
RECORDS_MAX = 1000  # in a frame: a fifth of them is usual, and many more would hold our loop
BUCKETS_MAX = 256  # asked for at a time: with 100,000 records 6,400 of them, shown in 150 kB
SHOWN_MAX = 50_000  # records in all of these, in 1.4 MB: what a frame may carry is three times that
SUMS_MAX_BYTES = 65536  # twice what they are now
SITES_MAX = 1000
ACKS_MAX = 1000  # in a frame

# What a decoder believes; anything else is a `BadFrame`. The bounds also keep out what is no number.
Octets16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Text = Annotated[str, Meta(max_length=64)]
Seconds = Annotated[float, Meta(ge=-1e9, le=1e9)]
Share = Annotated[float, Meta(ge=0, le=1e6)]
Bid = Annotated[int, Meta(ge=0, le=0xFFFF)]
WirePrefix = tuple[Octets16, Annotated[int, Meta(ge=0, le=128)]]


class BadFrame(Exception):
    """Octets that are no frame of this protocol. Field: `why`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class WireCell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A cell; `remaining_s` until it dies; `care_of` None is a tombstone."""

    version: Version
    care_of: Octets16 | None
    remaining_s: Seconds
    priority: int
    verified: bool = True


class WireRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An MR record on its way to another site, or to disk."""

    home_address: Octets16
    cells: Annotated[dict[Bid, WireCell], Meta(max_length=CELLS_MAX)]
    floor: Version
    sequence: Register[Annotated[int, Meta(ge=0, le=0xFFFF)]]
    network: tuple[Version, bool, Annotated[tuple[WirePrefix, ...], Meta(max_length=PREFIXES_MAX)] | None]
    message_id: Annotated[int, Meta(ge=0)]
    kept_s: Seconds
    more: Annotated[
        dict[Text, Register[Annotated[bytes, Meta(max_length=MORE_MAX_BYTES)]]], Meta(max_length=MORE_MAX)
    ] = {}


class Identify(msgspec.Struct, frozen=True, tag=True):
    """First on every connection, from both ends: which protocols it speaks, who it is, since which start.

    `carries`: what the one who dialed will send, "hello" or "changes". A later release may add fields.
    """

    lowest: int
    highest: int
    site: str
    incarnation: int
    carries: str


class StateSyncRequest(msgspec.Struct, frozen=True, tag=True):
    """Send me your changes after `since`; `incarnation` 0: I know nothing of yours."""

    incarnation: int
    since: int


class StateSyncReply(msgspec.Struct, frozen=True, tag=True):
    """Changes up to `index`; `complete` on the frame that ends what was asked for at the start of the stream.

    `repaired`: on the one that ends what a `StateRepairRequest` asked for.
    """

    index: int
    records: Annotated[tuple[WireRecord, ...], Meta(max_length=RECORDS_MAX)]
    complete: bool
    repaired: bool = False


class StateSyncAck(msgspec.Struct, frozen=True, tag=True):
    """Your change `index` is merged and installed, at `site` if a reflector passes this on, else here.

    `serves`: that site forwards; one that is no home agent, or whose customer table does not allow all of it, has only
    merged it.
    `also`: more changes of which the same is true.
    """

    index: int
    site: Text = ""
    serves: bool = True
    also: Annotated[tuple[int, ...], Meta(max_length=ACKS_MAX - 1)] = ()


class StateDigest(msgspec.Struct, frozen=True, tag=True):
    """What I hold, bucket by bucket (`ha/digest.py`): 8 octets each. `kind`: how it is made."""

    kind: int
    sums: Annotated[bytes, Meta(max_length=SUMS_MAX_BYTES)]


class StateRepairRequest(msgspec.Struct, frozen=True, tag=True):
    """These buckets differ, and this is what I hold in them: bucket -> home address -> its digest.

    Send me your records in them that are not just these. All together are no more than `SHOWN_MAX`, and one may hold
    them all: home addresses are not spread evenly if somebody chose them.
    """

    buckets: Annotated[
        dict[int, Annotated[dict[Octets16, int], Meta(max_length=SHOWN_MAX)]], Meta(max_length=BUCKETS_MAX)
    ]


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """What a reflector heard of a site, `age_s` ago; `clock_ahead_s` of the reflector's clock."""

    site: Text
    age_s: Seconds
    clock_ahead_s: Seconds
    announcing: Text
    serving: bool
    load: Share
    prepending: bool


class Hello(msgspec.Struct, frozen=True, tag=True):
    """I live. `clock` NTP timestamp; `announcing` the state of our announcement; `serving` we forward.

    `load`: the share of our capacity in use; `prepending`: our path is longer for that; `others`: from a reflector.
    """

    clock: Annotated[int, Meta(ge=0)]
    state: Text
    announcing: Text
    serving: bool
    records: int
    load: Share = 0.0
    prepending: bool = False
    others: Annotated[tuple[Heard, ...], Meta(max_length=SITES_MAX)] = ()


Frame = Identify | StateSyncRequest | StateSyncReply | StateSyncAck | StateDigest | StateRepairRequest | Hello


class Unknown(msgspec.Struct, frozen=True):
    """A frame of a kind that only a later release knows."""

    type: str


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
_kind_decoder = msgspec.msgpack.Decoder(Unknown)
# What msgspec raises: also at text that is no UTF-8, and in what nests deeper than Python goes.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_KINDS = frozenset(kind.__name__ for kind in get_args(Frame))


def encode(frame: Frame) -> bytes:
    """One frame with its length in front, ready for the stream."""
    octets = _encoder.encode(frame)
    return len(octets).to_bytes(4, "big") + octets


def decode(octets: bytes) -> Frame | Unknown:
    """One frame without its length. Raises: BadFrame."""
    try:
        return _decoder.decode(octets)
    except _UNREADABLE as error:
        with contextlib.suppress(*_UNREADABLE):
            if (unknown := _kind_decoder.decode(octets)).type not in _KINDS:
                return unknown
        raise BadFrame(str(error)) from error


def agreed(peer: Identify) -> int | None:
    """The highest protocol that both ends speak; None if there is none."""
    highest = min(HIGHEST, peer.highest)
    return highest if highest >= max(LOWEST, peer.lowest) else None


def to_wire(record: Record, now: float) -> WireRecord:
    """A record with its local times turned into remaining ones."""
    return WireRecord(
        home_address=record.home_address,
        cells={
            bid: WireCell(cell.version, cell.care_of, cell.expires_at - now, cell.priority, cell.verified)
            for bid, cell in record.cells.items()
        },
        floor=record.floor,
        sequence=record.sequence,
        network=(record.network.version, record.network.value.mobile_router, record.network.value.prefixes),
        message_id=record.message_id,
        kept_s=record.kept_until - now,
        more=dict(record.more),
    )


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The same records, so many at a time as fit into a frame that every peer takes, however large they have become.

    The decoder bounds one record to less than a batch.
    """
    batch: list[Record] = []
    left = BATCH_MAX_BYTES
    for record in records:
        size = _octets_at_most(record)
        if batch and size > left:
            yield batch
            batch, left = [], BATCH_MAX_BYTES
        batch.append(record)
        left -= size
    if batch:
        yield batch


def _octets_at_most(record: Record) -> int:
    """On the wire. A version may have 280 octets, as a site's name is 64 characters of up to four."""
    more = sum(640 + len(part.value) for part in record.more.values())
    return 1400 + 340 * len(record.cells) + 24 * len(record.network.value.prefixes or ()) + more


def from_wire(wire: WireRecord, now: float, longest_s: float) -> Record:
    """A peer's record with times on our clock; no time is believed beyond `longest_s`."""
    network_version, mobile_router, prefixes = wire.network
    return Record(
        home_address=wire.home_address,
        cells=_cells(wire.cells, now, longest_s),
        floor=wire.floor,
        sequence=wire.sequence,
        network=Register(network_version, Network(mobile_router, prefixes)),
        message_id=wire.message_id,
        kept_until=now + min(wire.kept_s, longest_s),
        more=wire.more,
    )


def _cells(cells: Mapping[int, WireCell], now: float, longest_s: float) -> dict[int, Binding]:
    return {
        bid: Binding(
            cell.version,
            cell.care_of,
            now + min(cell.remaining_s, longest_s),
            cell.priority,
            cell.verified,
        )
        for bid, cell in cells.items()
    }
