"""Everything that can happen to the mobile router, and everything it can ask for; nothing else.

Events are past participles, effects imperatives. Addresses are 16 octets. Both are plain values, so a run can be
recorded and replayed; wall time enters only as `ClockObserved`.
"""

from dataclasses import dataclass
from typing import Literal

from dataplane.entry import UplinkPath
from mip6.messages import BindingAck, BindingError, BindingRevocation, BindingUpdate, Heartbeat

Level = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Started:
    """The first look at all lines is over. `last_timestamp` is the one kept on disk, 0 if none."""

    clock_offset_s: float
    last_timestamp: int


@dataclass(frozen=True, slots=True)
class ClockObserved:
    """The wall clock is now `offset_s` ahead of the monotonic one (fed after a step)."""

    offset_s: float


@dataclass(frozen=True, slots=True)
class UplinkChanged:
    """The kernel's present view of one line."""

    bid: int
    carrier: bool
    care_of: bytes | None
    gateway: bytes | None


@dataclass(frozen=True, slots=True)
class BindingAckReceived:
    """A well-formed acknowledgement, not believed yet. `octets` is the mobility header as received."""

    message: BindingAck
    octets: bytes
    source: bytes
    destination: bytes
    home_address: bytes | None
    interface_index: int


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """A well-formed Heartbeat, not believed yet."""

    message: Heartbeat
    octets: bytes
    source: bytes
    destination: bytes


@dataclass(frozen=True, slots=True)
class RevocationReceived:
    """A well-formed Binding Revocation message, not believed yet."""

    message: BindingRevocation
    octets: bytes
    source: bytes
    destination: bytes
    home_address: bytes | None


@dataclass(frozen=True, slots=True)
class BindingErrorReceived:
    """A Binding Error; nobody signs these."""

    message: BindingError
    source: bytes


@dataclass(frozen=True, slots=True)
class RefreshRequested:
    """A Binding Refresh Request; nobody signs these either."""

    source: bytes


@dataclass(frozen=True, slots=True)
class BindingUpdateNotSent:
    """The kernel would not take a packet we sent."""

    sequence: int
    reason: str


@dataclass(frozen=True, slots=True)
class RouterPlaneReported:
    """What became of a SetUplinks; `reason` is None if it is in place."""

    uplinks: tuple[UplinkPath, ...]
    reason: str | None


@dataclass(frozen=True, slots=True)
class LinesReported:
    """What became of a SetLines; `reason` is None if it is in place."""

    lines: tuple[UplinkPath, ...]
    reason: str | None


@dataclass(frozen=True, slots=True)
class TimeReached:
    """The deadline the core asked for has come."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Deregister everything and leave."""


Event = (
    Started
    | ClockObserved
    | UplinkChanged
    | BindingAckReceived
    | HeartbeatReceived
    | RevocationReceived
    | BindingErrorReceived
    | RefreshRequested
    | BindingUpdateNotSent
    | RouterPlaneReported
    | LinesReported
    | TimeReached
    | StopRequested
)


@dataclass(frozen=True, slots=True)
class SendBindingUpdate:
    """Sign `message`, wrap it with the Home Address option, send it from `care_of` out of `interface`."""

    message: BindingUpdate
    care_of: bytes
    home_agent: bytes
    home_address: bytes
    interface: str


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Sign `message` and send it from `care_of` out of `interface`, without a Home Address option."""

    message: Heartbeat
    care_of: bytes
    home_agent: bytes
    home_address: bytes
    interface: str


@dataclass(frozen=True, slots=True)
class SendRevocationAck:
    """Sign `message`, wrap it with the Home Address option, send it from `care_of` out of `interface`."""

    message: BindingRevocation
    care_of: bytes
    home_agent: bytes
    home_address: bytes
    interface: str


@dataclass(frozen=True, slots=True)
class SetHomeAgent:
    """Tunnels lead to this home agent from now on, and packets are taken from it."""

    home_agent: bytes


@dataclass(frozen=True, slots=True)
class SetLines:
    """What comes from the care-of address of each of these lines leaves by that line; registered or not."""

    lines: tuple[UplinkPath, ...]


@dataclass(frozen=True, slots=True)
class SetUplinks:
    """These lines, and no others, take the outgoing traffic; none means unreachable."""

    uplinks: tuple[UplinkPath, ...]


@dataclass(frozen=True, slots=True)
class StoreTimestamp:
    """Keep the last Mesg-ID timestamp where a restart finds it."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class Count:
    """Count one more of `name` with `label`."""

    name: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """One log line."""

    level: Level
    message: str
    fields: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing is left to do: the process may end."""


Effect = (
    SendBindingUpdate
    | SendHeartbeat
    | SendRevocationAck
    | SetHomeAgent
    | SetLines
    | SetUplinks
    | StoreTimestamp
    | Count
    | Note
    | Leave
)
