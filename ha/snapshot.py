"""The records on disk, so that a site that starts knows what it knew. Atomic, checksummed, wall time.

Owns the file `snapshot` in the state directory: a digest line, then pieces of MessagePack, each behind its length (4
octets, big endian): the head, and some records each. Refuses a file that is cut or changed: the site then starts cold
and says so.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ha.frames import WireRecord

FILE = "snapshot"
FORMAT = 2
RECORDS_A_PIECE = 1000
LOSSES_FILE = "restarts"


class SnapshotRefused(Exception):
    """A snapshot that cannot be used. Field: `why`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Records with remaining times as of `saved_at` (Unix seconds)."""

    saved_at: float
    records: Sequence[WireRecord]


class _Head(msgspec.Struct, frozen=True):
    format: int
    saved_at: float


_ENCODER = msgspec.msgpack.Encoder()
_HEAD, _RECORDS = msgspec.msgpack.Decoder(_Head), msgspec.msgpack.Decoder(list[WireRecord])


def save(directory: Path, snapshot: Snapshot) -> None:
    """Replace the snapshot in `directory`; either the old or the new one is there, whole. Raises: OSError.

    May run in a thread beside a loop: no single step of it holds the interpreter for long.
    """
    body = b"".join(map(_behind_length, _pieces(snapshot)))
    temporary = directory / (FILE + ".new")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(directory / FILE)


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
        return [_aged(record, elapsed_s) for piece in pieces for record in _RECORDS.decode(piece)]
    except msgspec.MsgspecError as error:
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


def _pieces(snapshot: Snapshot) -> Iterator[bytes]:
    yield _ENCODER.encode(_Head(FORMAT, snapshot.saved_at))
    for start in range(0, len(snapshot.records), RECORDS_A_PIECE):
        yield _ENCODER.encode(snapshot.records[start : start + RECORDS_A_PIECE])


def _behind_length(piece: bytes) -> bytes:
    return len(piece).to_bytes(4, "big") + piece


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
