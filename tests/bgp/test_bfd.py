"""The peers of a rendered bfdd.conf, as far as that shows without a bfdd."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from bgp.bfd import BfdDaemons, Seen
from bgp.errors import BgpError
from runtime.counters import Counters

PEER = " peer {} local-address 2001:db8:1:a::10 interface isp\n  detect-multiplier {}\n  no shutdown\n exit\n"


class Recorded(BfdDaemons):
    """With vtysh written down."""

    said: Sequence[str] = ()

    async def _vtysh(self, *words: str) -> bytes:
        self.said = words
        return b""


def test_only_the_peers_that_differ_are_told_to_bfdd(tmp_path: Path) -> None:
    file = tmp_path / "bfdd.conf"
    file.write_text("! BFD\nbfd\n" + PEER.format("::1", 3) + PEER.format("::2", 3) + PEER.format("::4", 3) + "exit\n")
    daemons = Recorded(file, tmp_path, Counters())
    asyncio.run(daemons.change(file))
    assert not daemons.said
    file.write_text("bfd\n" + PEER.format("::1", 3) + PEER.format("::3", 3) + PEER.format("::4", 5) + "exit\n")
    asyncio.run(daemons.change(file))
    where = "local-address 2001:db8:1:a::10 interface isp"
    told = [word for word in daemons.said if word != "-c"]
    assert told[:3] == ["configure terminal", "bfd", f"no peer ::2 {where}"]
    assert told[3:7] == [f"peer ::3 {where}", "detect-multiplier 3", "no shutdown", "exit"]
    assert told[7:9] == [f"peer ::4 {where}", "detect-multiplier 5"]
    assert not any("::1 " in word for word in told)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BgpError):
        BfdDaemons(tmp_path / "none", tmp_path, Counters())


def test_each_change_of_a_bfd_session_is_told_once_with_its_reason_and_how_long_it_was() -> None:
    """The history of a site had no word of BFD, which may be what ends its sessions."""
    seen, up = Seen(), {"peer": "::1", "status": "up", "diagnostic": "ok"}
    down = {"peer": "::1", "status": "down", "diagnostic": "control detection time expired"}
    assert seen.look([up], 1.0) == [("::1", "none", "up", "", 0.0)]
    assert seen.look([up], 2.0) == []
    assert seen.look([down], 3.5) == [("::1", "up", "down", "control detection time expired", 2.5)]
    assert seen.look([down], 4.0) == []
    assert seen.look([], 5.5) == [("::1", "down", "none", "bfdd does not list it", 2.0)]
    assert seen.look([], 6.0) == []
