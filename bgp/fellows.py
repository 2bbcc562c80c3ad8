"""Do other sites announce? What the speakers tell each other, and what may be believed of it. Pure.

Theory of operation. When no `xsp-ha` renews the lease any more, nobody at this site knows whether the others still
announce: what killed it here may have killed it everywhere. So each `xsp-bgp` tells those of the other sites, four
times a second, in one datagram, what its neighbours really hear. The bridge withdraws after a lease ran out only while
another site is known to announce (`speaker`).

A datagram is JSON with an HMAC-SHA256 behind it, by a key that all sites share. Refuses what is not signed, older than
what was heard before from that site, or off our clock by more than `CLOCK_S`: replaying could only say that somebody
announces who does not.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bgp.sessions import ESTABLISHED
from bgp.states import State

PORT = 6275  # UDP; the home agents' own conversation has the same number in TCP
SAY_S = 0.2
VOUCH_S = 0.3  # nobody says of its announcement what its bridge said longer ago
LOST_S = 1.0  # a speaker that was silent so long is not known to announce
CLOCK_S = 10.0  # sites more than 2 s apart are not in service; this is for the delay besides
MAX_OCTETS = 512
_PURPOSE = b"anycast-xsp: speakers"
_TAG_OCTETS = 32


@dataclass(frozen=True, slots=True)
class Said:
    """One datagram: who, its how-many-th (grows over restarts), when (Unix seconds), whether it is announced."""

    site: str
    number: int
    at: float
    announces: bool


def derive(secret: bytes) -> bytes:
    """The key for this purpose, from a secret that all sites share."""
    return hmac.digest(secret, _PURPOSE, hashlib.sha256)


def encode(said: Said, key: bytes) -> bytes:
    """The datagram."""
    document = {"v": 1, "site": said.site, "number": said.number, "at": said.at, "announces": said.announces}
    text = json.dumps(document, separators=(",", ":")).encode()
    return text + hmac.digest(key, text, hashlib.sha256)


def decode(octets: bytes, key: bytes) -> Said | None:
    """What a datagram says, None if it is not signed with our key or not understood."""
    text, tag = octets[:-_TAG_OCTETS], octets[-_TAG_OCTETS:]
    if len(octets) > MAX_OCTETS or not hmac.compare_digest(tag, hmac.digest(key, text, hashlib.sha256)):
        return None
    try:
        document = json.loads(text)
        if document["v"] != 1:
            return None
        return Said(
            str(document["site"]), int(document["number"]), float(document["at"]), document["announces"] is True
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def is_heard(answer: Mapping[str, Any] | None, age_s: float) -> bool:
    """Whether a neighbour hears our announcement, so that we may say we announce.

    Args: answer: the bridge's last one, None if it missed one since; so many seconds old.
    """
    if answer is None or age_s >= VOUCH_S:
        return False
    up = any(row["state"] == ESTABLISHED for row in answer.get("sessions", []))
    return bool(up and answer.get("state") == State.ANNOUNCED and answer.get("settled"))


class Fellows:
    """What the other sites' speakers said last."""

    def __init__(self, sites: Iterable[str]) -> None:
        self._heard: dict[str, tuple[Said, float] | None] = dict.fromkeys(sites)

    def change(self, sites: Iterable[str]) -> None:
        """These are the other sites from now on; of those that were before, what was heard still counts."""
        self._heard = {site: self._heard.get(site) for site in sites}

    def take(self, said: Said, unix_s: float, now: float) -> str | None:
        """Believe it; or why not. `unix_s` is our clock, `now` monotonic seconds."""
        if said.site not in self._heard:
            return "unknown site"
        if abs(said.at - unix_s) > CLOCK_S:
            return "clock"
        last = self._heard[said.site]
        if last is not None and said.number <= last[0].number:
            return "repeated"
        self._heard[said.site] = (said, now)
        return None

    def said_s_ago(self, now: float) -> float | None:
        """How long ago the latest of those said so that say they announce."""
        ages = [now - at for said, at in filter(None, self._heard.values()) if said.announces and now - at < LOST_S]
        return min(ages, default=None)

    def table(self, now: float) -> list[dict[str, object]]:
        """For the status."""
        return [
            {
                "site": site,
                "heard_s_ago": None if heard is None else round(now - heard[1], 3),
                "announces": heard[0].announces if heard else None,
            }
            for site, heard in self._heard.items()
        ]
