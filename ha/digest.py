"""What a site holds, in a few octets that another site can compare: digests of records, summed up by bucket. Pure.

Theory of operation. A record's bucket is chosen by its home address, a record's digest covers all that the sites share
of it (`record.same`): versions, not times, since what is left of a lifetime differs everywhere. A bucket's sum is the
XOR of the digests in it, so that one record costs the same however many there are. The cache only notes which records
were touched; their digests are made up for later, so many at a time (`settle`). Two sites compare sums; for
a bucket that differs one shows what it holds, and the other sends what is not just that. A record that is under way
between them at that moment differs too and is sent twice, which harms nobody.
"""

import sys
from array import array
from collections.abc import Iterable, Mapping
from functools import partial
from hashlib import blake2b
from zlib import crc32

import msgspec

from ha.record import Record
from ha.undo import Undo

KIND = 2  # of this way to make them; 1 were sums of 4 octets
BUCKETS = 4096  # 100,000 records make 25 a bucket; all sums are 32 kB
_OCTETS = 8  # of a record's digest, and of a sum
_encode = msgspec.msgpack.Encoder().encode


def bucket_of(home_address: bytes) -> int:
    """The bucket of a home address, the same at every site."""
    return crc32(home_address) % BUCKETS


def of(record: Record) -> int:
    """The digest of a record: equal for two of which `record.same` is true, and else different but for bad luck."""
    shared = (
        record.home_address,
        record.floor,
        record.message_id,
        record.sequence.version,
        record.network.version,
        sorted((bid, cell.version, cell.verified) for bid, cell in record.cells.items()),
        sorted((name, register.version, register.value) for name, register in record.more.items()),
    )
    return int.from_bytes(blake2b(_encode(shared), digest_size=_OCTETS).digest(), "big")


class Digests:
    """Digests of all records of one site, up to date but for those that are still noted as touched."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[bytes, int]] = {}  # only those with something in them
        self._sums = array("Q", bytes(8 * BUCKETS))

    def settle(self, touched: dict[bytes, None], records: Mapping[bytes, Record], at_most: int, undo: Undo) -> bool:
        """Make up for some of what was touched, and take it off that list; true if nothing is left."""
        chosen = dict(touched.popitem() for _ in range(min(at_most, len(touched))))
        undo.on_roll_back(partial(touched.update, chosen))
        for home_address in chosen:
            number, record = bucket_of(home_address), records.get(home_address)
            bucket = self._buckets.setdefault(number, {})
            self._sums[number] ^= bucket.pop(home_address, 0)
            if record is not None:
                bucket[home_address] = digest = of(record)
                self._sums[number] ^= digest
            elif not bucket:
                del self._buckets[number]
        return not touched

    def sums(self) -> bytes:
        """All buckets' sums, to be compared by another site."""
        return _big_endian(self._sums).tobytes()

    def differing(self, theirs: bytes) -> list[int]:
        """The buckets whose sums are not those of another site; none if there are not as many of them."""
        if len(theirs) != _OCTETS * BUCKETS or theirs == self.sums():
            return []
        pairs = zip(self._sums, _big_endian(array("Q", theirs)), strict=True)
        return [number for number, (one, other) in enumerate(pairs) if one != other]

    def shown(self, buckets: Iterable[int], at_most: int) -> dict[int, dict[bytes, int]]:
        """What is in the first of these buckets: bucket -> home address -> digest, at most so many of them together.

        One that alone holds more is shown as if it were empty: then the other site sends all that it has of it.
        """
        shown: dict[int, dict[bytes, int]] = {}
        for number in buckets:
            bucket = self._buckets.get(number, {})
            at_most -= len(bucket)
            if at_most < 0:
                return shown or {number: {}}
            shown[number] = dict(bucket)
        return shown

    def others(self, theirs: Mapping[int, Mapping[bytes, int]]) -> list[bytes]:
        """The home addresses in these buckets of which we hold something else than another site, or it nothing."""
        return [
            home_address
            for number, bucket in theirs.items()
            for home_address, digest in self._buckets.get(number, {}).items()
            if bucket.get(home_address) != digest
        ]


def _big_endian(numbers: "array[int]") -> "array[int]":
    """Numbers in the order of octets of the wire, or back: a copy."""
    swapped = array("Q", numbers)
    if sys.byteorder == "little":
        swapped.byteswap()
    return swapped
