"""Draws the diagrams of REPLICATION.md from the code: the record from its fields, exchanges from what home agents do.

`python -m tests.ha.diagrams` writes them into the document; a test compares.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_type_hints

from ha import frames, record
from ha.events import (
    DigestReceived,
    Event,
    PeerAsked,
    PeerIdentified,
    RecordsAcknowledged,
    RecordsReceived,
    RepairAsked,
)
from ha.repair import DIGEST_EVERY_S
from mip6.options import BindingIdentifier
from tests.ha.cast import Router, both_lines
from tests.ha.mesh import Mesh, star

DOCUMENT = Path(__file__).parents[2] / "REPLICATION.md"
NOW = 100.0


def record_diagram() -> Iterator[str]:
    """The classes of `ha/record.py` and their fields."""
    yield "classDiagram"
    for name in ("Record", "Binding", "Register", "Network", "Version"):
        one = getattr(record, name)
        names = one.__struct_fields__
        hints = get_type_hints(one)
        yield f"    class {name} {{"
        yield from (f"        {field} {_plain(hints[field])}" for field in names)
        yield "    }"
    yield "    Record *-- Binding : cells, by BID"
    yield "    Record *-- Register : sequence, network, more"
    yield "    Register *-- Network : of network"
    yield "    Binding *-- Version"
    yield "    Register *-- Version"


def _plain(hint: object) -> str:
    text = getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
    for before, after in (
        ("ha.record.", ""),
        ("collections.abc.", ""),
        ("typing.", ""),
        ("~", ""),
        ("[", "~"),
        ("]", "~"),
    ):
        text = text.replace(before, after)
    return text.replace(" ", "")


class Told(Mesh):
    """A mesh that writes down who says what to whom, in the order in which it is heard."""

    def __init__(self, **more: object) -> None:
        super().__init__(**more)  # type: ignore[arg-type]
        self.lines: list[str] = []

    def step(self, stream: tuple[str, str], now: float) -> None:
        if self.streams.get(stream):
            sender, listener = stream[0].rstrip("*"), stream[1]
            self.lines.append(f"    {sender}->>{listener}: {_words(self.streams[stream][0])}")
            answers = len(self.acks)
            super().step(stream, now)
            self.lines += [f"    {name}->>MR: Binding Acknowledgement, status 0" for name, _ in self.acks[answers:]]


def _words(event: Event) -> str:
    match event:
        case PeerIdentified():
            return frames.Identify.__name__
        case PeerAsked(_, incarnation, since):
            return f"{frames.StateSyncRequest.__name__}(incarnation {incarnation}, since {since})"
        case RecordsReceived(_, _, frame):
            done = ", complete" if frame.complete else ""
            return f"{type(frame).__name__}(index {frame.index}, {len(frame.records)} record(s){done})"
        case RecordsAcknowledged(_, ack):
            by = f", of {ack.site}" if ack.site else ""
            serves = "" if ack.serves else ", only merged"
            return f"{type(ack).__name__}(index {ack.index}{by}{serves})"
        case DigestReceived(_, frame):
            return type(frame).__name__
        case RepairAsked(_, frame):
            return f"{type(frame).__name__}({len(frame.buckets)} bucket)"
    raise AssertionError(event)


def _run(told: Told, then: Callable[[Told], None]) -> Iterator[str]:
    told.join_all(NOW)
    told.say_hello(NOW)
    told.tick(NOW)
    told.settle(NOW)
    told.lines.clear()
    then(told)
    yield "sequenceDiagram"
    yield from told.lines


def mesh_diagram() -> Iterator[str]:
    """A Binding Update in a full mesh."""

    def update(told: Told) -> None:
        told.lines.append("    MR->>site1: Binding Update")
        told.feed("site1", Router().update(NOW, both_lines()), NOW)
        told.settle(NOW)

    return _run(Told(), update)


def star_diagram() -> Iterator[str]:
    """The same where a reflector is between the sites."""

    def update(told: Told) -> None:
        told.lines.append("    MR->>site1: Binding Update")
        told.feed("site1", Router().update(NOW, both_lines()), NOW)
        told.settle(NOW)

    return _run(Told(topologies=star(["hub"], ["site1", "site2"]), idle=["hub"]), update)


def repair_diagram() -> Iterator[str]:
    """A site dies after it told one of two others."""

    def die(told: Told) -> None:
        router = Router()
        told.feed("site1", router.update(NOW, both_lines()), NOW)
        told.settle(NOW)
        told.lines[:] = ["    MR->>site1: Binding Update"]
        told.feed("site1", router.update(NOW + 1, (BindingIdentifier(2),), lifetime_s=0), NOW + 1)
        told.step(("site1", "site2"), NOW + 1)
        told.gone("site1", NOW + 1)
        told.lines.append("    Note over site1: dies before site3 was told")
        told.tick(NOW + DIGEST_EVERY_S)
        told.settle(NOW + DIGEST_EVERY_S)

    return _run(Told(), die)


DIAGRAMS: dict[str, Callable[[], Iterator[str]]] = {
    "record": record_diagram,
    "mesh": mesh_diagram,
    "star": star_diagram,
    "repair": repair_diagram,
}


def drawn(document: str) -> str:
    """The document with every diagram as the code has it now."""
    for name, draw in DIAGRAMS.items():
        start, end = f"<!-- drawn: {name} -->\n", "<!-- end -->"
        before, found, after = document.partition(start)
        assert found, name
        _, found, rest = after.partition(end)
        assert found, name
        document = before + start + "```mermaid\n" + "\n".join(draw()) + "\n```\n" + end + rest
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text()))
