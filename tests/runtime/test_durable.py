"""Files replaced whole, and there after a power cut: what is on the disk at each moment, as fsync(2) sees it."""

import os
import stat
from pathlib import Path

import pytest

from runtime import durable


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, bytes]]]:
    """What was forced to the disk, by name, in order, and what each file beside it held then."""
    seen: list[tuple[str, dict[str, bytes]]] = []
    really = os.fsync

    def watched(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        directory = path if path.is_dir() else path.parent
        seen.append((path.name, {one.name: one.read_bytes() for one in directory.iterdir()}))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    return seen


def test_the_new_content_is_on_the_disk_before_it_has_the_name_and_the_name_before_we_say_so(
    tmp_path: Path, forced: list[tuple[str, dict[str, bytes]]]
) -> None:
    """Symptom: a power cut just after `xsp-ha drain` had been answered, and the site came back and served."""
    (tmp_path / "wish").write_bytes(b"old")
    durable.replace(tmp_path / "wish", (b"ne", b"w"))
    assert forced == [
        ("wish.new", {"wish": b"old", "wish.new": b"new"}),
        (tmp_path.name, {"wish": b"new"}),
    ]
    assert stat.S_IMODE((tmp_path / "wish").stat().st_mode) == 0o600


def test_what_was_removed_is_gone_on_the_disk_too(tmp_path: Path, forced: list[tuple[str, dict[str, bytes]]]) -> None:
    (tmp_path / "wish").write_bytes(b"old")
    for _ in range(2):
        durable.remove(tmp_path / "wish")
    assert forced == [(tmp_path.name, {})] * 2


def test_what_cannot_have_the_name_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        durable.replace(tmp_path / "taken", (b"new",))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
