"""ExaBGP's configuration as text: which sessions a new one touches, and which bridge it starts."""

import pytest

from bgp import blocks
from bgp.errors import BgpError
from tests.bgp.two_isps import BLOCK, SECOND, block

HEAD = "# made by hand\nprocess bridge { run /bin/xsp-bgp bridge --config /etc/bgp.toml; encoder json; }\n"
FIRST = "2001:db8:1:a::1"


def changed(before: str, after: str) -> str:
    return str(blocks.change(blocks.split(before), blocks.split(after)))


def test_neighbours_are_taken_out_and_the_rest_stays() -> None:
    split = blocks.split(HEAD + BLOCK + block())
    assert list(split.blocks) == [FIRST, SECOND]
    assert split.blocks[SECOND].startswith(f"neighbor {SECOND} {{")
    assert split.blocks[SECOND].endswith("}")
    assert split.rest.startswith(HEAD)
    assert "neighbor" not in split.rest
    alone = blocks.split(split.only(frozenset({SECOND})))
    assert alone.blocks == {SECOND: split.blocks[SECOND]}


def test_a_brace_in_a_text_or_a_comment_ends_no_block() -> None:
    tricky = block('description "a } b";', "# } no end either")
    assert list(blocks.split(HEAD + tricky + BLOCK).blocks) == [SECOND, FIRST]


def test_who_comes_goes_changes_and_stays() -> None:
    one, both = HEAD + BLOCK, HEAD + BLOCK + block()
    assert changed(one, both) == f"added {SECOND}"
    assert changed(both, one) == f"removed {SECOND}"
    assert changed(both, HEAD + BLOCK + block("incoming-ttl 255;")) == f"changed {SECOND}"
    assert changed(HEAD + BLOCK, HEAD + block()) == f"added {SECOND}; removed {FIRST}"


@pytest.mark.parametrize(
    "same", ['description "x";', "# a comment", "\n\n  "], ids=["description", "comment", "blanks"]
)
def test_what_exabgp_does_not_compare_is_no_change(same: str) -> None:
    both = HEAD + BLOCK + block()
    assert changed(both, HEAD.replace("# made by hand", "# or not") + block(same) + BLOCK) == "no session touched"


def test_more_than_neighbours_needs_a_restart() -> None:
    with pytest.raises(BgpError, match="restart"):
        changed(HEAD + BLOCK, HEAD.replace("json", "text") + BLOCK)


@pytest.mark.parametrize("wrong", [BLOCK + BLOCK, BLOCK.rpartition("}")[0]], ids=["twice", "no end"])
def test_what_cannot_be_told_apart_is_refused(wrong: str) -> None:
    with pytest.raises(BgpError):
        blocks.split(HEAD + wrong)


def test_the_bridge_is_aimed_at_another_file_and_nothing_else_changes() -> None:
    text = HEAD + BLOCK
    assert blocks.aimed(text, "/run/bgp.toml") == text.replace("/etc/bgp.toml", "/run/bgp.toml")
    for wrong in (BLOCK, text.replace(" --config /etc/bgp.toml", ""), "#" + HEAD.partition("\n")[2]):
        with pytest.raises(BgpError):
            blocks.aimed(wrong, "/run/bgp.toml")
