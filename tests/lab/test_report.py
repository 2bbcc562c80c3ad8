"""The report of a run: its JSON as agreed, a table for 80 columns, a picture that can be drawn."""

import io
import json
from pathlib import Path

from rich.console import Console

from lab import picture, report
from lab.engine import Outcome, Row
from lab.ledger import Flow, Ledger
from lab.scenario import Expectation, Step

KEYS = {"do", "on", "shift_ms", "sent", "lost", "direction", "served_by", "lines", "ok", "why"}


def outcome(ok: bool) -> Outcome:
    step = Step(0.0, "cut", ("line1",), Expectation())
    why = "" if ok else "3 probes were lost, allowed are 0"
    row = Row("cut", "line1", "cn1->lan1", 42.0, 100, 0 if ok else 3, ("site1",), ("line2",), ok, why)
    return Outcome(step, 1.0, 3.0, (row,))


def ledger() -> Ledger:
    found = Ledger(
        [Flow("cn1->lan1", 20001), Flow("cn1->lan1", 20002)], ("site1", "site2", "site3"), ("line1", "line2")
    )
    for beat in range(200):
        number = found.sent(beat % 2, 1.0 + beat * 0.01)
        if beat % 50:
            found.received(number, 1.0 + beat * 0.01)
            found.seen_at_site(number, beat % 3)
            found.seen_on_line(number, beat % 2)
    return found


def test_the_document_has_the_agreed_keys(tmp_path: Path) -> None:
    file = report.write(tmp_path / "new", "line-cut", [outcome(True), outcome(False)])
    document = json.loads(file.read_text())
    assert document.keys() == {"scenario", "commit", "machine", "steps"}
    assert [step.keys() for step in document["steps"]] == [KEYS, KEYS]
    assert [step["ok"] for step in document["steps"]] == [True, False]


def test_the_table_fits_into_80_columns_and_names_what_failed() -> None:
    console = Console(file=io.StringIO(), width=80)
    report.print_table(console, [outcome(True), outcome(False)])
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "3 probes were lost, allowed are 0" in text
    assert "FAILED" in text


def test_a_picture_is_drawn_in_both_forms(tmp_path: Path) -> None:
    files = picture.draw(tmp_path, "test", ledger(), [outcome(True)])
    assert [file.name for file in files] == ["timeline.svg", "timeline.png"]
    assert files[0].read_text().lstrip().startswith("<?xml")
    assert files[1].read_bytes().startswith(b"\x89PNG")


def test_a_site_has_one_hue_and_a_line_one_shade() -> None:
    shades = {picture.shade(site, line) for site in ("site1", "site2", "site3") for line in ("line1", "line2")}
    assert len(shades) == 6
    assert picture.shade(None, None) not in shades
