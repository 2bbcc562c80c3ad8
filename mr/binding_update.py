"""What one Binding Update says, and its octets.

Owns the translation from an intent to a message and from a message to a signed packet. Refuses to decide when
something is sent. RFC 6275 6.1.7, RFC 3963 4.1, RFC 5648 4.3 (BID options instead of the Alternate Care-of Address
option), RFC 4285 (MN-HA).
"""

from dataclasses import dataclass
from enum import Enum, auto

from mip6.auth import SecurityAssociation, encode_signed
from mip6.messages import BindingUpdate
from mip6.numbers import BindingUpdateFlag
from mip6.options import (
    AlternateCareOf,
    BindingIdentifier,
    MessageIdentification,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    Option,
    Prefix,
)
from mip6.packet import plain_packet, update_packet
from mr.events import SendBindingUpdate, SendHeartbeat, SendRevocationAck
from mr.settings import Settings

NAI = 1  # RFC 4283 3.1: subtype of the Mobile Node Identifier option
HOME_REGISTRATION = (
    BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION | BindingUpdateFlag.MOBILE_ROUTER
)


class Purpose(Enum):
    """What a BU is for."""

    REGISTER = auto()
    DEREGISTER_LINES = auto()
    DEREGISTER_ALL = auto()


@dataclass(frozen=True, slots=True)
class Line:
    """A BID and its care-of address."""

    bid: int
    care_of: bytes


@dataclass(frozen=True, slots=True)
class Intent:
    """What one BU is to say. `quick`: traffic is lost until it is answered; `plain`: without a BID (RFC 6275 alone)."""

    purpose: Purpose
    lines: tuple[Line, ...] = ()
    overwrite: bool = False
    quick: bool = False
    plain: bool = False


def message(settings: Settings, intent: Intent, sequence: int, timestamp: int, care_of: bytes) -> BindingUpdate:
    """The BU that says `intent`, sent from `care_of`."""
    register = intent.purpose is Purpose.REGISTER
    options: list[Option] = []
    if register:
        priorities = {line.bid: line.priority for line in settings.lines}
        if intent.plain:
            options.append(AlternateCareOf(intent.lines[0].care_of))
        else:
            options += [
                BindingIdentifier(line.bid, priority=priorities[line.bid], care_of=line.care_of)
                for line in intent.lines
            ]
        # Networks of IPv4 have no option: the home agent knows them from its table.
        named = [prefix for prefix in settings.prefixes if settings.explicit and len(prefix.network) == 16]
        options += [MobileNetworkPrefix(Prefix(*prefix)) for prefix in named]
    elif intent.purpose is Purpose.DEREGISTER_LINES:
        options += [BindingIdentifier(line.bid) for line in intent.lines]
    else:
        options.append(AlternateCareOf(care_of))
    options += [MobileNodeIdentifier(NAI, settings.mn_identifier), MessageIdentification(timestamp)]
    flags = HOME_REGISTRATION | (BindingUpdateFlag.OVERWRITE if intent.overwrite else BindingUpdateFlag(0))
    return BindingUpdate(sequence, flags, settings.lifetime_s if register else 0, tuple(options))


def signed_packet(update: SendBindingUpdate | SendRevocationAck, association: SecurityAssociation) -> bytes:
    """The whole IPv6 packet: MN-HA option last, checksum over the home address, Home Address option in front."""
    header = encode_signed(
        update.message, association, update.care_of, update.home_address, update.home_address, update.home_agent
    )
    return update_packet(update.care_of, update.home_agent, update.home_address, header)


def signed_heartbeat(heartbeat: SendHeartbeat, association: SecurityAssociation) -> bytes:
    """The whole IPv6 packet: MN-HA option last, no Home Address option (RFC 6275 6.1: only a BU may have one)."""
    header = encode_signed(
        heartbeat.message,
        association,
        heartbeat.care_of,
        heartbeat.home_address,
        heartbeat.care_of,
        heartbeat.home_agent,
    )
    return plain_packet(heartbeat.care_of, heartbeat.home_agent, header)
