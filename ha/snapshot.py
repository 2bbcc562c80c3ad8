"""The records on disk, so that a site that starts knows what it knew. Atomic, checksummed, wall time.

Owns the file `snapshot` in the state directory: a digest line, then pieces of MessagePack, each behind its length (4
octets, big endian): the head, and some records each. Refuses a file that is cut or changed: the site then starts cold
and says so.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ha.frames import WireRecord
from runtime import durable

FILE = "snapshot"
FORMAT = 2
LOSSES_FILE = "restarts"


class SnapshotRefused(Exception):
    """A snapshot that cannot be used. Field: `why`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _Head(msgspec.Struct, frozen=True):
    format: int
    saved_at: float


_ENCODER = msgspec.msgpack.Encoder()
_HEAD, _RECORDS = msgspec.msgpack.Decoder(_Head), msgspec.msgpack.Decoder(list[WireRecord])


def piece(records: Sequence[WireRecord]) -> bytes:
    """Some records, ready for `save`: a loop makes them piece by piece."""
    return _behind_length(_ENCODER.encode(records))


def save(directory: Path, saved_at: float, pieces: Sequence[bytes]) -> None:
    """Replace the snapshot in `directory`; either the old or the new one is there, whole. Raises: OSError.

    May run in a thread beside a loop: it only waits for the disk, and for a digest, without the interpreter's lock.

    Args:
        saved_at: since when, in Unix seconds, what remains of the records' times runs.
    """
    body = [_behind_length(_ENCODER.encode(_Head(FORMAT, saved_at))), *pieces]
    digest = hashlib.sha256()
    for one in body:
        digest.update(one)
    durable.replace(directory / FILE, (digest.hexdigest().encode() + b"\n", *body))


def load(directory: Path, wall: float) -> list[WireRecord]:
    """The records of the last snapshot with the time since then taken off; none if there is no file.

    Raises: SnapshotRefused.
    """
    try:
        octets = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SnapshotRefused(f"it cannot be read ({error.strerror})") from error
    digest, _, body = octets.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise SnapshotRefused("its digest does not match: the file is cut or changed")
    pieces = _read(body)
    try:
        head = _HEAD.decode(next(pieces, b""))
        if head.format != FORMAT:
            raise SnapshotRefused(f"its format is {head.format}, this program reads {FORMAT}")
        elapsed_s = max(0.0, wall - head.saved_at)
        return [_aged(record, elapsed_s) for one in pieces for record in _RECORDS.decode(one)]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SnapshotRefused(str(error)) from error


def count_losses(directory: Path, lost: bool) -> int:
    """How often this site started without bindings (RFC 5847 3.4), this time included if `lost`.

    A directory that cannot be read or written counts as never: the number only helps routers to notice early.
    """
    path = directory / LOSSES_FILE
    try:
        count = int(path.read_text()) if path.exists() else 0
        if lost:
            count += 1
            path.write_text(f"{count}\n")
    except (OSError, ValueError):
        return 0
    return count & 0xFFFFFFFF


def _behind_length(octets: bytes) -> bytes:
    return len(octets).to_bytes(4, "big") + octets


def _read(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        yield body[at + 4 : at + 4 + size]
        at += 4 + size


def _aged(record: WireRecord, elapsed_s: float) -> WireRecord:
    cells = {
        bid: msgspec.structs.replace(cell, remaining_s=cell.remaining_s - elapsed_s)
        for bid, cell in record.cells.items()
    }
    return msgspec.structs.replace(record, cells=cells, kept_s=record.kept_s - elapsed_s)
