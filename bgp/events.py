"""Every event into the speaker and every effect out of it, nothing else.

Events are past participles, effects imperatives. `Announce` and `Withdraw` are values of `bgp.route`.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from bgp.route import Announce, Route, Terms, Withdraw


class Wanted(StrEnum):
    """What the home agent's readiness decided for this site."""

    ANNOUNCE = "announce"
    DEPREFERENCE = "depreference"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """The holder renewed its lease and said what it wants until the next renewal."""

    wanted: Wanted
    reason: str
    linger_ms: int
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class HolderLost:
    """The holder's connection ended."""


@dataclass(frozen=True, slots=True)
class OthersHeard:
    """How long ago another site said that it announces, the latest of them; None: none does."""

    said_s_ago: float | None


@dataclass(frozen=True, slots=True)
class StopAsked:
    """The supervisor is about to stop ExaBGP; at most `linger_ms` may pass until all is withdrawn."""

    linger_ms: int


@dataclass(frozen=True, slots=True)
class NeighboursGiven:
    """The configuration was read anew: these are our neighbours now, and what each is told."""

    neighbours: tuple[Terms, ...]


@dataclass(frozen=True, slots=True)
class TimeReached:
    """The deadline the speaker asked for has come (or nothing else happened)."""


@dataclass(frozen=True, slots=True)
class NeighbourChanged:
    """ExaBGP reported a session change as it happened; `reason`: why a session ended, as far as it says."""

    neighbour: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """One BGP session as ExaBGP describes it. `families`: those both ends agreed on; None: it does not say."""

    neighbour: str
    state: str
    since_s: float
    local_as: int
    families: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CommandAnswered:
    """ExaBGP answered the one command in flight; whatever the answer carried is parsed already.

    `rib`: neighbour -> prefixes; `routes`: the same with each route's attributes in words behind its prefix.
    """

    accepted: bool
    sessions: tuple[Session, ...] | None = None
    rib: dict[str, tuple[str, ...]] | None = None
    routes: dict[str, tuple[str, ...]] | None = None


Event = (
    LeaseRenewed
    | HolderLost
    | OthersHeard
    | StopAsked
    | NeighboursGiven
    | TimeReached
    | NeighbourChanged
    | CommandAnswered
)


@dataclass(frozen=True, slots=True)
class AskVersion:
    """A heartbeat: any answer shows that ExaBGP's loop turns (5.x has no `ping`)."""


@dataclass(frozen=True, slots=True)
class AskNeighbours:
    """Have ExaBGP describe its sessions."""


@dataclass(frozen=True, slots=True)
class AskRoutes:
    """Have ExaBGP list what is in its outgoing RIBs."""


Command = Announce | Withdraw | AskVersion | AskNeighbours | AskRoutes


@dataclass(frozen=True, slots=True)
class Note:
    """Log one event; the edge prints it."""

    level: str
    message: str
    fields: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transition:
    """One change, for the history: its number, when, of what, from and to what, why, how long the former had lasted.

    `what`: "announcement", "routes" (as they are announced), or the address of a neighbour, whose session it is about.
    """

    number: int
    at: float
    what: str
    before: str
    after: str
    reason: str
    lasted_s: float
    by: str


Effect = Announce | Withdraw | AskVersion | AskNeighbours | AskRoutes | Note
