"""The operator's wish outlives the process, and what cannot be read drains."""

import os
from pathlib import Path

import pytest

from ha import wish_file
from ha.events import OperatorAsked
from ha.readiness import Mode


def test_a_wish_comes_back_as_one_from_before_and_serving_needs_no_file(tmp_path: Path) -> None:
    assert wish_file.load(tmp_path) is None
    wish_file.save(tmp_path, OperatorAsked(Mode.DRAIN, "alice", "new disk"))
    assert wish_file.load(tmp_path) == OperatorAsked(Mode.DRAIN, "alice", "new disk", restored=True)
    wish_file.save(tmp_path, OperatorAsked(Mode.DEPREFERENCE))
    assert wish_file.load(tmp_path) == OperatorAsked(Mode.DEPREFERENCE, restored=True)
    wish_file.save(tmp_path, OperatorAsked(Mode.SERVE, "alice"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_wish_means_drained(tmp_path: Path) -> None:
    for content in ("", "{", "[]", '{"mode": "dance", "by": "", "why": ""}', "\udcff"):
        (tmp_path / wish_file.NAME).write_bytes(content.encode("utf-8", "surrogateescape"))
        asked = wish_file.load(tmp_path)
        assert asked is not None
        assert asked.mode is Mode.DRAIN


def test_a_wish_outlives_a_power_cut_as_soon_as_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the file was forced to the disk, not its name: after a power cut a drained site could serve again."""
    forced: list[str] = []
    really = os.fsync

    def watched(descriptor: int) -> None:
        forced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    for mode in (Mode.DRAIN, Mode.SERVE):
        forced.clear()
        wish_file.save(tmp_path, OperatorAsked(mode))
        assert forced[-1] == str(tmp_path)
