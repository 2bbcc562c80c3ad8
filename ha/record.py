"""The MR record: all that the sites share about one mobile router, and how two copies of it become one.

Theory of operation. Several home agents hear Binding Updates of the same mobile router (RFC 3963) and tell each
other, in any order, late, twice or not at all. The record is a state-based CRDT, so that none of this changes the
result:

    cells: BID -> (version, care-of address | tombstone)      the higher version wins; verified once is verified
    floor: version                                            cells at or below it are dead
    sequence, prefixes: (version, value)                      the higher version wins, never the larger value
    message_id: timestamp                                     the largest; it only grows
    more: name -> (version, octets)                           what a later release says: kept and passed on, not read

`version` is the MR's own order: the Mesg-ID timestamp (RFC 4285 6) of the Binding Update that wrote the value,
whichever site heard it; ties are broken by the site's name. A plain binding (no BID option) is the cell of BID 0. A
BU that replaces everything (O flag, plain BU, delete all; RFC 5648 6.2) raises the floor to just below, or at, its
own version. Expiry is local: `expires_at` is on this process's monotonic clock, travels as remaining time and makes
no tombstone. What is live is derived by `live`, never stored. Values only; no clock, no I/O.

There are a million of these values, and they live long: so they are kept out of the garbage collector's sight
(`gc=False`), which may be done as none of them can be part of a cycle. What it sees it visits again and again, and
for as long as that takes no lease is renewed.
"""

from collections.abc import Mapping
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

CELLS_MAX = 256  # more than any limit of BIDs and tombstones allows; those with the lowest BIDs stay
MORE_MAX = 16  # parts of a later release; those with the lowest names stay
PLAIN_BID = 0  # RFC 5648 4.3 reserves BID 0; we keep the binding of a BU without BID option there

Value = TypeVar("Value")
Prefix = tuple[bytes, int]


class Version(Struct, frozen=True, order=True, array_like=True, gc=False):
    """When, in the mobile router's own order, a value was written.

    NTP timestamp (RFC 5905, 64 bits), then site name.
    """

    time: Annotated[int, Meta(ge=0)]
    site: Annotated[str, Meta(max_length=64)]


OLDEST = Version(0, "")


class Binding(Struct, frozen=True, gc=False):
    """One cell: a care-of address until `expires_at` (monotonic seconds), or a tombstone (`care_of` None).

    `verified`: the mobile router has shown that it hears there.
    """

    version: Version
    care_of: bytes | None
    expires_at: float
    priority: int = 0
    verified: bool = True


class Register(Struct, Generic[Value], frozen=True, array_like=True, gc=False):
    """One value and the version that wrote it."""

    version: Version
    value: Value


class Network(Struct, frozen=True, gc=False):
    """What a BU said about its network: the R flag (RFC 3963 4.1) and its MNP options.

    `prefixes` None is implicit mode.
    """

    mobile_router: bool
    prefixes: tuple[Prefix, ...] | None


class Record(Struct, frozen=True, gc=False):
    """The shared state of one mobile router. Fields: see the theory above; `kept_until` is local, monotonic seconds."""

    home_address: bytes
    cells: Mapping[int, Binding]
    floor: Version
    sequence: Register[int]
    network: Register[Network]
    message_id: int
    kept_until: float
    more: Mapping[str, Register[bytes]] = {}

    def live(self, now: float) -> dict[int, Binding]:
        """The bindings in force at `now`: the plain one or those with a BID, whichever kind was written later."""
        bindings = {bid: cell for bid, cell in self.cells.items() if cell.care_of is not None and cell.expires_at > now}
        plain = bindings.pop(PLAIN_BID, None)
        if plain is None:
            return bindings
        if bindings and max(cell.version for cell in bindings.values()) > plain.version:
            return bindings
        return {PLAIN_BID: plain}

    def next_expiry(self) -> float:
        """When this record next changes by time alone: a cell dies, or the whole record may be forgotten."""
        return min((cell.expires_at for cell in self.cells.values()), default=self.kept_until)

    def without_expired(self, now: float) -> "Record | None":
        """This record after time has passed; None when nothing in it can matter to any site any more."""
        cells = {bid: cell for bid, cell in self.cells.items() if cell.expires_at > now}
        if not cells and self.kept_until <= now:
            return None
        return self if len(cells) == len(self.cells) else replace(self, cells=cells)

    def newest(self) -> Version:
        """The highest version anywhere in the record; what must be exceeded to change all of it."""
        newest = max(self.floor, self.sequence.version, self.network.version)
        for register in self.more.values():
            newest = max(newest, register.version)
        for cell in self.cells.values():
            if cell.version > newest:
                newest = cell.version
        return newest


def merge(ours: Record, theirs: Record) -> Record:
    """Join two copies of a record: commutative, associative, idempotent in all that is shared (expiry is local)."""
    floor = max(ours.floor, theirs.floor)
    cells: dict[int, Binding] = {}
    for bid in ours.cells.keys() | theirs.cells.keys():
        cell = _winner(ours.cells.get(bid), theirs.cells.get(bid))
        if cell.version > floor:
            cells[bid] = cell
    if len(cells) > CELLS_MAX:
        cells = dict(sorted(cells.items())[:CELLS_MAX])
    return Record(
        home_address=ours.home_address,
        cells=cells,
        floor=floor,
        sequence=max(ours.sequence, theirs.sequence, key=_register_version),
        network=max(ours.network, theirs.network, key=_register_version),
        message_id=max(ours.message_id, theirs.message_id),
        kept_until=max(ours.kept_until, theirs.kept_until),
        more=_more(ours.more, theirs.more),
    )


def holds(ours: Record, theirs: Record, now: float) -> bool:
    """Is what `theirs` said last in force in `ours`, into which it was merged?

    Something newer may stand above it: in its place, or of the other kind, plain or with a BID.
    """
    newest, live = theirs.newest(), ours.live(now)
    if theirs.floor == newest:  # it takes all away
        return not live  # what stood at its floor or below is dead
    last = [bid for bid, cell in theirs.cells.items() if cell.version == newest]
    here = [(live if theirs.cells[bid].care_of else ours.cells).get(bid) for bid in last]
    return all(cell is not None and cell.version == newest for cell in here)


def same(ours: Record, theirs: Record) -> bool:
    """True if both hold the same shared state; local times are not compared."""
    return (
        ours.floor == theirs.floor
        and ours.message_id == theirs.message_id
        and ours.sequence.version == theirs.sequence.version
        and ours.network.version == theirs.network.version
        and ours.cells.keys() == theirs.cells.keys()
        and all(
            (other := theirs.cells[bid]).version == cell.version and other.verified == cell.verified
            for bid, cell in ours.cells.items()
        )
        and ours.more == theirs.more
    )


def _winner(ours: Binding | None, theirs: Binding | None) -> Binding:
    if ours is None or theirs is None:
        winner = ours or theirs
        assert winner is not None  # the BID came from one of the two
        return winner
    if theirs.version == ours.version:
        return theirs if theirs.verified else ours  # one site saw the proof
    return theirs if theirs.version > ours.version else ours


def _more(ours: Mapping[str, Register[bytes]], theirs: Mapping[str, Register[bytes]]) -> Mapping[str, Register[bytes]]:
    if not theirs or ours == theirs:
        return ours
    newer = {name: one for name, one in theirs.items() if name not in ours or _is_newer(one, ours[name])}
    return dict(sorted({**ours, **newer}.items())[:MORE_MAX])


def _is_newer(register: Register[bytes], than: Register[bytes]) -> bool:
    return (register.version, register.value) > (than.version, than.value)


def _register_version(register: Register[Value]) -> Version:
    return register.version
