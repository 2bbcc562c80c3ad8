"""Every event that goes into the home agent: what happened, and nothing else. What comes out: `ha.effects`.

Addresses are 16 octets; times are seconds; `clock` values are 64-bit
NTP timestamps.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dataplane.entry import ForwardingEntry
from ha.customer_table import CustomerTable
from ha.frames import Hello, StateDigest, StateRepairRequest, StateSyncAck, StateSyncReply
from ha.readiness import Mode
from mip6.messages import BindingRevocation, BindingUpdate, Heartbeat
from mip6.quick import quick


@dataclass(frozen=True, slots=True)
class TimeReached:
    """The deadline that `next_deadline` named has come."""


@dataclass(frozen=True, slots=True)
class TickReached:
    """The moment that `next_tick` named has come, in the middle of much else: what is due besides can wait."""


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


@quick
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


@quick
@dataclass(frozen=True, slots=True)
class RecordsReceived:
    """A peer's changes; `incarnation` is the sender's."""

    site: str
    incarnation: int
    frame: StateSyncReply


@dataclass(frozen=True, slots=True)
class DigestReceived:
    """What a peer holds."""

    site: str
    frame: StateDigest


@dataclass(frozen=True, slots=True)
class RepairAsked:
    """A peer found a difference between our digest and its records."""

    site: str
    frame: StateRepairRequest


@quick
@dataclass(frozen=True, slots=True)
class RecordsAcknowledged:
    """A peer, or a site that it names, merged changes of ours, and installed them if the frame says `serves`."""

    site: str
    frame: StateSyncAck


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """A peer lives."""

    site: str
    frame: Hello


@dataclass(frozen=True, slots=True)
class LeaseAnswered:
    """What the bridge says: its state, and how many BGP sessions are up; state "unreachable" if there is no bridge.

    `mrai_s`: the longest advertisement interval of the neighbours that it has now, in seconds; 0: it does not say.
    """

    state: str
    sessions_up: int
    mrai_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SelfTested:
    """The self-test's verdict has changed: why it failed, or None."""

    failure: str | None


@dataclass(frozen=True, slots=True)
class OperatorAsked:
    """What an operator wants of the site: `mode` one of `readiness.Mode`; who, and why.

    `restored`: it was asked before this start.
    """

    mode: Mode
    by: str = ""
    why: str = ""
    restored: bool = False


@dataclass(frozen=True, slots=True)
class LoadMeasured:
    """The share of the site's capacity in use, 0 to about 1."""

    share: float


@dataclass(frozen=True, slots=True)
class RevokeAsked:
    """An operator takes bindings away: those with these BIDs, or all."""

    home_address: bytes
    bids: tuple[int, ...]


Event = (
    TimeReached
    | TickReached
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
    | DigestReceived
    | RepairAsked
    | HelloReceived
    | LeaseAnswered
    | SelfTested
    | OperatorAsked
    | LoadMeasured
    | RevokeAsked
)
