"""Mobility messages as values (RFC 6275 6.1, RFC 5142, RFC 5846, RFC 5847). No octets, no rules.

     0                   1                   2                   3
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    | Payload Proto |  Header Len   |   MH Type     |   Reserved    |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           Checksum            |  Message Data ...
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Options stand in the order received; a message may hold one twice. Reserved bits are dropped, unknown numbers stay as
numbers.
"""

from dataclasses import dataclass
from typing import TypeVar

from mip6.numbers import BindingAckFlag, BindingRevocationFlag, BindingUpdateFlag
from mip6.options import Option
from mip6.quick import quick

Wanted = TypeVar("Wanted")
_NO_FLAGS = BindingRevocationFlag(0)


class _Message:
    """Looking up options by their class."""

    __slots__ = ()
    options: tuple[Option, ...]

    def first(self, kind: type[Wanted]) -> Wanted | None:
        """The first option of this class, or None."""
        for option in self.options:
            if isinstance(option, kind):
                return option
        return None

    def all(self, kind: type[Wanted]) -> list[Wanted]:
        """All options of this class, in order."""
        return [option for option in self.options if isinstance(option, kind)]


@quick
@dataclass(frozen=True, slots=True)
class BindingRefreshRequest(_Message):
    """Please register again (RFC 6275 6.1.2); Binding Identifier options name what (RFC 5648 5.5)."""

    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class HomeTestInit(_Message):
    """Return routability, by way of the home agent (RFC 6275 6.1.3). Known, so that it is not answered as unknown."""

    cookie: bytes
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class CareOfTestInit(_Message):
    """Return routability, directly (RFC 6275 6.1.4)."""

    cookie: bytes
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class HomeTest(_Message):
    """The answer to a Home Test Init (RFC 6275 6.1.5)."""

    nonce_index: int
    cookie: bytes
    keygen_token: bytes
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class CareOfTest(_Message):
    """The answer to a Care-of Test Init (RFC 6275 6.1.6)."""

    nonce_index: int
    cookie: bytes
    keygen_token: bytes
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class BindingUpdate(_Message):
    """A mobile node's registration (RFC 6275 6.1.7); `lifetime_s` 0 deletes.

                                    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
                                    |          Sequence #           |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |A|H|L|K|M|R|P|F|T|O| Reserved  |           Lifetime            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """

    sequence: int
    flags: BindingUpdateFlag
    lifetime_s: int
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class BindingAck(_Message):
    """The answer to a Binding Update (RFC 6275 6.1.8).

                                    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
                                    |   Status      |K|R|P|T|B| Res |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |           Sequence #          |           Lifetime            |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    """

    status: int
    flags: BindingAckFlag
    sequence: int
    lifetime_s: int
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class BindingError(_Message):
    """No binding, or no such message type (RFC 6275 6.1.9); the home address is :: if there was none."""

    status: int
    home_address: bytes
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class HomeAgentSwitch(_Message):
    """Go to one of these home agents (RFC 5142 4); none: find one."""

    home_agents: tuple[bytes, ...] = ()
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class Heartbeat(_Message):
    """Are you alive, and did you lose state (RFC 5847 3.3)?"""

    sequence: int
    response: bool = False
    unsolicited: bool = False
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class BindingRevocation(_Message):
    """Indication (`revocation_type` 1) or acknowledgement (2) (RFC 5846 6); `code` is the trigger or the status."""

    revocation_type: int
    code: int
    sequence: int
    flags: BindingRevocationFlag = _NO_FLAGS
    options: tuple[Option, ...] = ()


@quick
@dataclass(frozen=True, slots=True)
class UnknownMessage(_Message):
    """A message type that this code does not know: number and octets behind the checksum, untouched; no options."""

    type: int
    body: bytes
    options: tuple[Option, ...] = ()


Message = (
    BindingRefreshRequest
    | HomeTestInit
    | CareOfTestInit
    | HomeTest
    | CareOfTest
    | BindingUpdate
    | BindingAck
    | BindingError
    | HomeAgentSwitch
    | Heartbeat
    | BindingRevocation
    | UnknownMessage
)
