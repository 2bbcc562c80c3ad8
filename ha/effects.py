"""Every effect that comes out of the home agent: orders to its daemon, and nothing else.

Addresses are 16 octets; times are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.entry import ForwardingEntry
from ha.frames import Hello, StateDigest, StateRepairRequest, StateSyncAck, StateSyncReply
from mip6.auth import SecurityAssociation
from mip6.messages import BindingAck, BindingRevocation, Heartbeat
from mip6.numbers import BindingErrorStatus
from mip6.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class SetForwarding:
    """Make the kernel forward `entry` for this home address (None: nothing); report with the same generation."""

    home_address: bytes
    entry: ForwardingEntry | None
    generation: int


@quick
@dataclass(frozen=True, slots=True)
class SendBindingAck:
    """Send `ack` to `care_of`; with a type 2 routing header iff `home_address`; signed iff `association`."""

    ack: BindingAck
    care_of: bytes
    home_address: bytes | None
    signed_home_address: bytes
    association: SecurityAssociation | None


@dataclass(frozen=True, slots=True)
class SendToRouter:
    """Send a Heartbeat or a Binding Revocation Indication to `care_of`, signed iff `association`.

    With a type 2 routing header iff `routed` (RFC 5846 7.2).
    """

    message: Heartbeat | BindingRevocation
    care_of: bytes
    home_address: bytes
    association: SecurityAssociation | None
    routed: bool


@dataclass(frozen=True, slots=True)
class SendHomeAgents:
    """Answer a Home Agent Address Discovery Request: we are the one."""

    identifier: int
    mobile_router: bool
    destination: bytes


@dataclass(frozen=True, slots=True)
class SendPrefixes:
    """Answer a Mobile Prefix Solicitation; lifetimes in seconds, None for ever."""

    identifier: int
    care_of: bytes
    home_address: bytes
    prefix: tuple[bytes, int]
    preferred_s: int | None
    valid_s: int | None


@dataclass(frozen=True, slots=True)
class SendBindingError:
    """Send a Binding Error (RFC 6275 9.3.3) straight to `destination`."""

    status: BindingErrorStatus
    destination: bytes
    home_address: bytes


@dataclass(frozen=True, slots=True)
class SendParameterProblem:
    """Send an ICMPv6 Parameter Problem about a mobility header to its wire `source` (RFC 6275 9.2)."""

    source: bytes
    destination: bytes
    extension: bytes
    octets: bytes
    pointer: int


@quick
@dataclass(frozen=True, slots=True)
class SendRecords:
    """Send our changes to a peer."""

    site: str
    frame: StateSyncReply


@dataclass(frozen=True, slots=True)
class SendDigest:
    """Show a peer what we hold, behind our changes."""

    site: str
    frame: StateDigest


@dataclass(frozen=True, slots=True)
class AskForRepair:
    """Tell a peer in what its digest and our records differ."""

    site: str
    frame: StateRepairRequest


@dataclass(frozen=True, slots=True)
class AskForRecords:
    """Tell a peer where to resume its changes."""

    site: str
    incarnation: int
    since: int


@quick
@dataclass(frozen=True, slots=True)
class AcknowledgeRecords:
    """Tell a peer that its change is merged here, and installed if the frame says `serves`."""

    site: str
    frame: StateSyncAck


@dataclass(frozen=True, slots=True)
class SendHello:
    """Tell all peers that we live."""

    frame: Hello


@dataclass(frozen=True, slots=True)
class RenewLease:
    """What the world should be told by BGP, renewed every 100 ms."""

    wanted: str
    reason: str
    linger_ms: int
    prepend: bool


@quick
@dataclass(frozen=True, slots=True)
class Note:
    """One line for the log."""

    level: str
    message: str
    fields: Mapping[str, Any]


ToPeers = SendHello | SendRecords | SendDigest | AskForRecords | AskForRepair | AcknowledgeRecords
Effect = (
    SetForwarding
    | SendBindingAck
    | SendToRouter
    | SendHomeAgents
    | SendPrefixes
    | SendBindingError
    | SendParameterProblem
    | ToPeers
    | RenewLease
    | Note
)
