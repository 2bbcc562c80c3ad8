"""What a site wanted to announce before, over restarts."""

import json
import time
from pathlib import Path

from ha.past import NAME, Past
from ha.serving import REMEMBERED, Transition


def transition(ago_s: float, wanted: str) -> Transition:
    return Transition(time.monotonic() - ago_s, "withdraw", wanted, ("because",), 1.5, "alice")


def test_each_transition_is_kept_once_and_told_after_a_restart(tmp_path: Path) -> None:
    past = Past(tmp_path)
    past.load()
    history = [transition(30.0, "announce"), transition(20.0, "depreference")]
    past.note(history)
    past.note(history)
    history.append(transition(10.0, "withdraw"))
    past.note(history)
    past.close()
    after = Past(tmp_path)
    after.load()
    after.note([transition(0.0, "announce")])
    rows = after.rows()
    assert [row["wanted"] for row in rows] == ["announce", "depreference", "withdraw", "announce"]
    assert [round(row["s_ago"]) for row in rows] == [30, 20, 10, 0]
    assert {(row["was"], row["reason"], row["lasted_s"], row["by"]) for row in rows} == {
        ("withdraw", "because", 1.5, "alice")
    }
    after.close()


def test_no_more_is_remembered_than_in_one_life_and_nothing_strange(tmp_path: Path) -> None:
    past = Past(tmp_path)
    for number in range(3 * REMEMBERED):
        past.note([transition(0.0, str(number))])
    past.close()
    with (tmp_path / NAME).open("a") as file:
        file.write(json.dumps({"at": "yesterday", "was": 1, "wanted": None}) + "\n")
    after = Past(tmp_path)
    after.load()
    assert [row["wanted"] for row in after.rows()] == [str(n) for n in range(2 * REMEMBERED, 3 * REMEMBERED)]
