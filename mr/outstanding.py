"""What the Binding Update list is made of: an update on its way, bindings, refusals, and how long to wait. Values.

RFC 6275 11.7.1, 11.8, 12; RFC 5648 5.7.
"""

from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from mr.binding_update import Intent, Line

NEVER = inf
FIRST_REGISTRATION_TIMEOUT_S = 1.5  # InitialBindackTimeoutFirstReg, RFC 6275 12
INITIAL_BINDACK_TIMEOUT_S = 1.0  # RFC 6275 12
MAX_BINDACK_TIMEOUT_S = 32.0  # RFC 6275 12
QUICK_TIMEOUT_S = 0.4  # a lost line: traffic is being lost, and MAX_UPDATE_RATE permits 0.34
QUICK_ATTEMPTS = 2


class Way(Enum):
    """How the home agent lets us register (RFC 5648 5.7)."""

    BULK = auto()  # all lines in one update
    SINGLY = auto()  # a line an update, after 168
    PLAIN = auto()  # one line without a BID, after 166 or an answer that names none


@dataclass(frozen=True, slots=True)
class Transmission:
    """One sending of the outstanding BU."""

    sequence: int
    timestamp: int
    sent_at: float
    care_of: bytes


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The one BU that waits for its acknowledgement.

    `sent`: how often it went out; `attempts`: how often of these after a silence, the first time included;
    `corrections`: how often since then at once, because an answer corrected us. `is_corrected`: the next time is such.
    """

    intent: Intent
    send_at: float
    sent: int = 0
    attempts: int = 0
    corrections: int = 0
    is_corrected: bool = False
    transmissions: tuple[Transmission, ...] = ()


@dataclass(frozen=True, slots=True)
class Binding:
    """A care-of address, until when the home agent keeps it, and when to refresh it."""

    care_of: bytes
    expires_at: float
    refresh_at: float = NEVER


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was refused, why, and when to ask again."""

    lines: tuple[Line, ...]
    status: int
    retry_at: float


def timeout_s(attempts: int, quick: bool, first: bool) -> float:
    """How long to wait for the answer to the `attempts`-th sending, or to a corrected one behind it."""
    if quick and attempts <= QUICK_ATTEMPTS:
        return QUICK_TIMEOUT_S
    doublings = attempts - 1 - (QUICK_ATTEMPTS if quick else 0)
    initial_s = FIRST_REGISTRATION_TIMEOUT_S if first and not quick else INITIAL_BINDACK_TIMEOUT_S
    return min(initial_s * 2.0 ** min(doublings, 8), MAX_BINDACK_TIMEOUT_S)
