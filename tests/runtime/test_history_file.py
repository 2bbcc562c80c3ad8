"""The file of what changed: bounded, in order, and never in anybody's way."""

import json
import threading
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime import log
from runtime.history_file import HistoryFile


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine's disk takes more than the second that a stop gives it: what is tested is what was written."""
    monkeypatch.setattr("runtime.history_file.CLOSE_S", 60.0)


class Owner:
    """Who remembers so many entries, and keeps them in a file."""

    def __init__(self, path: Path, remembered: int = 10) -> None:
        self.entries: deque[Any] = deque(maxlen=remembered)
        self.file = HistoryFile(path, lambda: tuple(self.entries))
        self.entries.extend(self.file.load())

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.entries.append({"number": number})
            self.file.add(self.entries[-1])

    def numbers(self) -> list[int]:
        return [entry["number"] for entry in self.entries]


def test_what_was_added_is_there_after_a_restart_and_after_another(tmp_path: Path) -> None:
    """Histories were in memory only: whoever looked after a crash saw nothing of what led to it."""
    for life in range(3):
        owner = Owner(tmp_path / "history")
        assert owner.numbers() == [*range(2 * life)]
        owner.add(2 * life, 2 * life + 1)
        owner.file.close()


def test_the_file_stays_bounded_and_holds_what_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "history"
    owner = Owner(path)
    owner.add(*range(1000))
    owner.file.close()
    lines = path.read_text().splitlines()
    assert 10 <= len(lines) <= 21
    assert [json.loads(line)["number"] for line in lines[-10:]] == [*range(990, 1000)]
    assert Owner(path).numbers() == [*range(990, 1000)]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("octets", "read"),
    [
        (b'{"number":1}\n{"number":2}\n{"num', [1, 2]),  # the power went while it was written
        (b'{"number":1}\n\xff\xfe\x00\n[]\n7\n\n{"number":2}\n', [1, 2]),
        (b"\0" * 5000, []),
        (b"[" * 100_000 + b"\n", []),  # deeper than any parser goes
        (b"", []),
    ],
)
def test_what_cannot_be_read_is_left_out_and_gone_after_the_next_entry(
    tmp_path: Path, octets: bytes, read: list[int]
) -> None:
    path = tmp_path / "history"
    path.write_bytes(octets)
    owner = Owner(path)
    assert owner.numbers() == read
    owner.add(3)
    owner.file.close()
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [*read, 3]


def test_a_file_of_any_size_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b"x" * 5_000_000 + b'\n{"number":1}\n')
    assert Owner(path).numbers() == [1]


def test_what_a_full_disk_kept_out_is_written_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that was cut in half swallowed the next one, and what came while the disk was full was gone for good."""
    failed = threading.Event()
    monkeypatch.setattr(log, "get", lambda: SimpleNamespace(warning=lambda *_, **__: failed.set()))
    path = tmp_path / "there" / "history"
    owner = Owner(path)
    owner.add(1, 2)
    assert failed.wait(60)
    path.parent.mkdir()
    owner.add(3)
    owner.file.close()
    assert [json.loads(line)["number"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_what_comes_after_the_end_is_let_go(tmp_path: Path) -> None:
    owner = Owner(tmp_path / "history")
    owner.add(1)
    owner.file.close()
    owner.add(2)
    assert Owner(tmp_path / "history").numbers() == [1]


def test_a_place_that_cannot_be_written_costs_nothing_but_the_history(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "not" / "there"):
        owner = Owner(path)
        owner.add(1, 2)
        owner.file.close()
        assert owner.numbers() == [1, 2]
