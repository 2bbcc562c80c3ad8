"""What a supervisor vouches for to the other sites' speakers, which let go of their brake on its word."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bgp import config
from bgp.fellows import VOUCH_S
from bgp.supervisor import Supervisor
from tests.bgp.test_config import TEXT

SESSION = {"neighbour": "2001:db8:1:a::1", "state": "established", "since_s": 1.0}
HEARD = {"state": "announced", "settled": True, "sessions": [SESSION]}


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: those of Unix sockets have 107 octets at most."""
    with tempfile.TemporaryDirectory(prefix="xsp-bgp-") as directory:
        yield Path(directory)


def supervisor(place: Path) -> Supervisor:
    """One that was not started: all its files are in `place`, and there is no BFD."""
    (place / "cookie.key").write_text("a secret of all sites")
    text = TEXT.replace("/var/lib", f"{place}/state").replace("/run/", f"{place}/run/")
    return Supervisor(place / "bgp.toml", config.parse(text.replace('bfd_configuration = "bfdd.conf"\n', ""), place))


@pytest.mark.parametrize(
    ("answer", "age_s", "heard"),
    [
        (HEARD, 0.0, True),
        (HEARD, VOUCH_S + 0.1, False),  # the bridge is deaf, or we were stopped
        (None, 0.0, False),
        ({}, 0.0, False),  # garbage
        ({**HEARD, "state": "lingering"}, 0.0, False),
        ({**HEARD, "state": "depreferenced"}, 0.0, False),
        ({**HEARD, "settled": False}, 0.0, False),  # ExaBGP has not confirmed it
        ({**HEARD, "sessions": []}, 0.0, False),
        ({**HEARD, "sessions": [{**SESSION, "state": "down"}]}, 0.0, False),
        ({**HEARD, "sessions": [{**SESSION, "state": "down"}, SESSION]}, 0.0, True),
    ],
)
def test_a_site_vouches_only_for_what_a_neighbour_hears_now(
    place: Path, answer: dict[str, Any] | None, age_s: float, heard: bool
) -> None:
    """A site that vouched for what nobody hears would let the last one that serves withdraw."""
    one = supervisor(place)
    one._bridge, one._answered_at = answer, time.monotonic() - age_s
    assert one._is_heard() is heard
