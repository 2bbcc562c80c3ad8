"""Events of the home agent as lines of JSON, and lines as events. Pure.

Octets are in base64. Of a packet the octets are kept and read again; of a customer table only the version, for it
holds keys: whoever plays a journal must have the table. Two lines are no events: the first, how this home agent was
made, and what it found at its start on disk and in the kernel.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from dataplane.entry import ForwardingEntry
from ha import events
from ha.customer_table import CustomerTable
from ha.frames import WireRecord
from mip6 import header
from mip6.errors import MalformedMessage
from mip6.messages import BindingRevocation, BindingUpdate, Heartbeat

FORMAT = 1
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(events.Event)}
_MESSAGES = (events.BindingUpdateReceived, events.HeartbeatReceived, events.RevocationReceived)


class JournalRefused(Exception):
    """A line that is no line of a journal of this format. Field: `why`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Made:
    """How the home agent was made; see `HomeAgent`."""

    site: str
    incarnation: int
    now: float
    clock_offset_s: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found at the start: the snapshot's records, the kernel's entries, and what reconciling them gave."""

    records: Sequence[WireRecord]
    present: Mapping[bytes, ForwardingEntry]
    results: Mapping[bytes, str | None]
    restarts: int


Line = Made | Recovered | events.Event


def to_line(entry: Line, now: float) -> str:
    """One line, without its end."""
    fields: Any
    if isinstance(entry, _MESSAGES):
        fields = {"octets": entry.octets, "source": entry.source}
        if not isinstance(entry, events.HeartbeatReceived):
            fields["home_address"] = entry.home_address
        fields = msgspec.to_builtins(fields)
    elif isinstance(entry, events.TableLoaded):
        fields = {"version": entry.table.version}
    else:
        fields = msgspec.to_builtins(entry, str_keys=True)
    return json.dumps({"format": FORMAT, "now": now, "event": type(entry).__name__, "fields": fields})


def from_line(line: str, home_agent: bytes, table: CustomerTable) -> tuple[Line, float]:
    """The entry of a line and when it was.

    Args:
        home_agent: the address that packets were sent to.
        table: what a loaded table is taken to be.
    Raises: JournalRefused.
    """
    try:
        row = json.loads(line)
        name, fields, now = row["event"], row["fields"], float(row["now"])
        if row["format"] != FORMAT:
            raise JournalRefused(f"its format is {row['format']!r}, this program reads {FORMAT}")
        if name == "TableLoaded":
            return events.TableLoaded(table), now
        kind = {"Made": Made, "Recovered": Recovered, **_KINDS}[name]
        if kind in _MESSAGES:
            return _message(kind, fields, home_agent), now
        entry: Line = msgspec.convert(fields, kind, str_keys=True)
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError, MalformedMessage) as error:
        raise JournalRefused(f"it is not understood ({error})") from error
    return entry, now


def _message(kind: type[Any], fields: Mapping[str, Any], home_agent: bytes) -> events.Event:
    """A packet's event: its octets are decoded as they were."""
    octets: bytes = msgspec.convert(fields["octets"], bytes)
    source: bytes = msgspec.convert(fields["source"], bytes)
    home: bytes | None = msgspec.convert(fields.get("home_address"), bytes | None)
    # Where it was sent to is not kept, and only the checksum depends on it, which was right.
    blank = octets[:4] + b"\0\0" + octets[6:]
    message = header.decode(header.with_checksum(blank, home or source, home_agent), home or source, home_agent)
    if kind is events.BindingUpdateReceived and isinstance(message, BindingUpdate):
        return events.BindingUpdateReceived(message, octets, source, home)
    if kind is events.HeartbeatReceived and isinstance(message, Heartbeat):
        return events.HeartbeatReceived(message, octets, source)
    if kind is events.RevocationReceived and isinstance(message, BindingRevocation):
        return events.RevocationReceived(message, octets, source, home)
    raise JournalRefused(f"its octets are no {kind.__name__}")
