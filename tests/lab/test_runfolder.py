"""The run folder: found by other processes, never confused about whose process is whose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.runfolder import ProcessMark, RunFolder, all_folders, choose, mark, this_process
from runtime.exits import Exit


def test_what_one_process_writes_another_reads(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    folder.own(this_process())
    folder.note_process("isp1-bgpd", "isp1", ProcessMark(4711, 99))
    again = RunFolder.open(folder.path)
    assert again.owner == this_process()
    assert again.processes == {"isp1-bgpd": ("isp1", ProcessMark(4711, 99))}
    assert not again.is_stale


def test_a_lab_whose_owner_is_gone_is_stale_and_a_kept_one_is_not(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    folder.own(mark(process.pid))
    assert not folder.is_stale
    process.communicate(b"\n")
    assert folder.is_stale
    folder.own(None)
    assert not folder.is_stale


def test_a_reused_process_number_is_not_mistaken() -> None:
    assert this_process().lives()
    assert not ProcessMark(os.getpid(), this_process().started + 1).lives()


def test_the_only_lab_is_chosen_and_several_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(LabError) as refused:
        choose(None, tmp_path)
    assert refused.value.code == Exit.UNREACHABLE
    first = RunFolder.create(tmp_path)
    first.own(None)
    assert choose(None, tmp_path).id == first.id
    second = RunFolder.create(tmp_path)
    second.own(None)
    with pytest.raises(LabError) as refused:
        choose(None, tmp_path)
    assert refused.value.code == Exit.USAGE
    assert choose(second.id, tmp_path).id == second.id
    assert len(all_folders(tmp_path)) == 2


def test_a_removed_folder_is_gone(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    (folder.logs / "x.log").write_text("x")
    folder.remove()
    assert not folder.path.exists()
