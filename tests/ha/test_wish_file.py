"""The operator's wish outlives the process, and what cannot be read drains."""

from pathlib import Path

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
