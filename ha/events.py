"""Every event that goes into the home agent and every effect that comes out; nothing else.

Events are what happened, effects are orders. Addresses are 16 octets; times are seconds; `clock` values are 64-bit
NTP timestamps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.entry import ForwardingEntry
from ha.customer_table import CustomerTable
from ha.frames import Hello, StateSyncAck, StateSyncReply
from mip6.auth import SecurityAssociation
from mip6.messages import BindingAck, BindingRevocation, BindingUpdate, Heartbeat
from mip6.numbers import BindingErrorStatus
from mip6.quick import quick


@dataclass(frozen=True, slots=True)
class TimeReached:
    """The deadline that `next_deadline` named has come."""


@dataclass(frozen=True, slots=True)
class ClockRead:
    """The wall clock, as Unix seconds minus monotonic seconds."""

    offset_s: float


@quick
@dataclass(frozen=True, slots=True)
class BindingUpdateReceived:
    """A well-formed BU; `octets` is its mobility header, `home_address` the Home Address option's or None."""

    update: BindingUpdate
    octets: bytes
    source: bytes
    home_address: bytes | None


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """A well-formed Heartbeat; `octets` is its mobility header."""

    message: Heartbeat
    octets: bytes
    source: bytes


@dataclass(frozen=True, slots=True)
class RevocationReceived:
    """A well-formed Binding Revocation message, fields as in `BindingUpdateReceived`."""

    message: BindingRevocation
    octets: bytes
    source: bytes
    home_address: bytes | None


@dataclass(frozen=True, slots=True)
class HomeAgentsAsked:
    """A Home Agent Address Discovery Request (RFC 6275 10.5)."""

    identifier: int
    mobile_router: bool
    source: bytes


@dataclass(frozen=True, slots=True)
class PrefixesAsked:
    """A Mobile Prefix Solicitation (RFC 6275 10.6.2); `source` is the wire source."""

    identifier: int
    source: bytes
    home_address: bytes


@quick
@dataclass(frozen=True, slots=True)
class HeaderMalformed:
    """Octets that are no usable mobility header; `pointer` is the offset in it that a complaint names, or None.

    `extension` is the header in front of `octets`, as received.
    """

    reason: str
    pointer: int | None
    source: bytes
    destination: bytes
    extension: bytes
    octets: bytes


@quick
@dataclass(frozen=True, slots=True)
class MessageUnknown:
    """A mobility header of a type that we do not know."""

    source: bytes
    home_address: bytes | None


@dataclass(frozen=True, slots=True)
class MessageIgnored:
    """A message of a known type that is nothing to a home agent."""

    kind: str


@dataclass(frozen=True, slots=True)
class HomeAddressUsed:
    """A Home Address option in front of something that is no mobility header."""

    source: bytes
    home_address: bytes
    next_header: int


@dataclass(frozen=True, slots=True)
class ForwardingReported:
    """What became of `SetForwarding`: home address -> (generation, None or why the kernel refused)."""

    results: Mapping[bytes, tuple[int, str | None]]


@dataclass(frozen=True, slots=True)
class DataPlaneChecked:
    """A look at the kernel: is an egress there, and is what we made as we made it (as far as we could repair it)?"""

    egress_present: bool
    intact: bool = True


@dataclass(frozen=True, slots=True)
class ForwardingRepaired:
    """Somebody else changed the kernel; it was made to hold `wanted` again. Home address -> None or why not."""

    wanted: Mapping[bytes, ForwardingEntry]
    results: Mapping[bytes, str | None]


@dataclass(frozen=True, slots=True)
class TableLoaded:
    """A new customer table passed all its checks."""

    table: CustomerTable


@dataclass(frozen=True, slots=True)
class PeerAsked:
    """A peer, reached over our connection to it, asks for what it has not merged of (`incarnation`, `since`)."""

    site: str
    incarnation: int
    since: int


@dataclass(frozen=True, slots=True)
class PeerUnreachable:
    """Our connection for changes to a peer is gone."""

    site: str


@dataclass(frozen=True, slots=True)
class PeerIdentified:
    """A peer opened its connection for changes to us; it wants to know where to resume."""

    site: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class RecordsReceived:
    """A peer's changes; `incarnation` is the sender's."""

    site: str
    incarnation: int
    frame: StateSyncReply


@dataclass(frozen=True, slots=True)
class RecordsAcknowledged:
    """A peer merged and installed one of our changes."""

    site: str
    frame: StateSyncAck


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """A peer lives."""

    site: str
    frame: Hello


@dataclass(frozen=True, slots=True)
class LeaseAnswered:
    """What the bridge says: its state, and how many BGP sessions are up; state "unreachable" if there is no bridge."""

    state: str
    sessions_up: int


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """An operator takes the site out of service (`drain` True) or back in."""

    drain: bool


@dataclass(frozen=True, slots=True)
class RevokeAsked:
    """An operator takes bindings away: those with these BIDs, or all."""

    home_address: bytes
    bids: tuple[int, ...]


Event = (
    TimeReached
    | ClockRead
    | BindingUpdateReceived
    | HeartbeatReceived
    | RevocationReceived
    | HomeAgentsAsked
    | PrefixesAsked
    | HeaderMalformed
    | MessageUnknown
    | MessageIgnored
    | HomeAddressUsed
    | ForwardingReported
    | DataPlaneChecked
    | ForwardingRepaired
    | TableLoaded
    | PeerAsked
    | PeerUnreachable
    | PeerIdentified
    | RecordsReceived
    | RecordsAcknowledged
    | HelloReceived
    | LeaseAnswered
    | DrainAsked
    | RevokeAsked
)


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


@dataclass(frozen=True, slots=True)
class SendRecords:
    """Send our changes to a peer."""

    site: str
    frame: StateSyncReply


@dataclass(frozen=True, slots=True)
class AskForRecords:
    """Tell a peer where to resume its changes."""

    site: str
    incarnation: int
    since: int


@dataclass(frozen=True, slots=True)
class AcknowledgeRecords:
    """Tell a peer that its change is merged and installed here."""

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


@quick
@dataclass(frozen=True, slots=True)
class Note:
    """One line for the log."""

    level: str
    message: str
    fields: Mapping[str, Any]


Effect = (
    SetForwarding
    | SendBindingAck
    | SendToRouter
    | SendHomeAgents
    | SendPrefixes
    | SendBindingError
    | SendParameterProblem
    | SendRecords
    | AskForRecords
    | AcknowledgeRecords
    | SendHello
    | RenewLease
    | Note
)
