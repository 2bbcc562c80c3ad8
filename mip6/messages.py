"""Mobility messages as values (RFC 6275 6.1, RFC 5847, RFC 5142, RFC 5846). No octets, no rules.

0               1               2               3
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
| Payload Proto |  Header Len   |   MH Type     |   Reserved    |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|           Checksum            |  Message Data ...
"""

from dataclasses import dataclass
from typing import TypeVar

from mip6.numbers import BindingAckFlag, BindingUpdateFlag
from mip6.options import Option

Wanted = TypeVar("Wanted")


@dataclass(frozen=True, slots=True)
class _Message:
    def first(self, kind: type[Wanted]) -> Wanted | None:
        """The first option of this class, or None."""
        for option in self.options:  # type: ignore[attr-defined]
            if isinstance(option, kind):
                return option
        return None

    def all(self, kind: type[Wanted]) -> list[Wanted]:
        """All options of this class, in order."""
        return [option for option in self.options if isinstance(option, kind)]  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class BindingRefreshRequest(_Message):
    """Please register again (RFC 6275 6.1.2)."""

    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingUpdate(_Message):
    """A mobile node's registration (RFC 6275 6.1.7); `lifetime_s` 0 deletes."""

    sequence: int
    flags: BindingUpdateFlag
    lifetime_s: int
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingAck(_Message):
    """The answer to a Binding Update (RFC 6275 6.1.8)."""

    status: int
    flags: BindingAckFlag
    sequence: int
    lifetime_s: int
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingError(_Message):
    """No binding, or no such message type (RFC 6275 6.1.9)."""

    status: int
    home_address: bytes
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class HomeAgentSwitch(_Message):
    """Go to another home agent (RFC 5142 4)."""

    home_agents: tuple[bytes, ...]
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat(_Message):
    """Are you alive, and did you lose state (RFC 5847 3.3)?"""

    sequence: int
    response: bool = False
    unsolicited: bool = False
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingRevocation(_Message):
    """Indication (`revocation_type` 1) or acknowledgement (2) (RFC 5846 6); `code` is the trigger or the status."""

    revocation_type: int
    code: int
    sequence: int
    flags: int
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class UnknownMessage(_Message):
    """A message type of another RFC: number and octets behind the checksum, untouched."""

    type: int
    body: bytes
    options: tuple[Option, ...] = ()


Message = (
    BindingRefreshRequest
    | BindingUpdate
    | BindingAck
    | BindingError
    | HomeAgentSwitch
    | Heartbeat
    | BindingRevocation
    | UnknownMessage
)
