"""A run told line by line, for the human who looks for the reason."""

from collections.abc import Callable, Iterable, Sequence

from ha import effects, events
from ha.frames import WireRecord
from mip6 import ntp
from mip6.options import BindingIdentifier, MessageIdentification
from mr.events import SendBindingUpdate
from tests.simulation.schedule import UNIX

Names = Callable[[bytes], str]


def update(router: str, sent: SendBindingUpdate) -> str:
    """A Binding Update leaves a router."""
    message = sent.message
    lines = " ".join(f"{one.bid}={_short(one.care_of)}" for one in message.all(BindingIdentifier)) or "all"
    over = " O" if message.flags & 0x0040_0000 else ""
    stamp = _stamp(message.first(MessageIdentification))
    return f"{router} sends BU {message.sequence}{over} [{lines}] for {message.lifetime_s} s stamp {stamp}"


def handled(site: str, event: events.Event, done: Sequence[effects.Effect], name: Names) -> Iterable[str]:
    """What a home agent was told, and what it wants done; what happens all the time is left out."""
    shown = [line for line in (_effect(effect, name) for effect in done) if line]
    heard = _event(event, name)
    if heard or shown:
        yield f"{site} <- {heard or type(event).__name__}"
        for line in shown:
            yield f"        {line}"


def _event(event: events.Event, name: Names) -> str:
    match event:
        case events.BindingUpdateReceived(update, _, source, home):
            over = " O" if int(update.flags) & 0x0040_0000 else ""
            bids = " ".join(f"{one.bid}={_short(one.care_of)}" for one in update.all(BindingIdentifier)) or "all"
            stamp = _stamp(update.first(MessageIdentification))
            said = f"BU {update.sequence}{over} [{bids}] for {update.lifetime_s} s from {_short(source)} stamp {stamp}"
            return f"{name(home or source)}: {said}"
        case events.RecordsReceived(site, incarnation, frame):
            told = " ".join(_record(one, name) for one in frame.records)
            return f"records {frame.index} of {site} ({incarnation}): {told}"
        case events.ForwardingReported(results):
            return "kernel: " + " ".join(f"{name(home)}={why or 'in'}" for home, (_, why) in results.items())
        case (
            events.TimeReached()
            | events.TickReached()
            | events.LeaseAnswered()
            | events.HelloReceived()
            | events.HeartbeatReceived()
        ):
            return ""
        case events.TableLoaded(table):
            return f"table {table.version}"
        case events.RevokeAsked(home, bids):
            return f"revoke {name(home)} {bids or 'all'}"
    return str(event)


def _record(wire: WireRecord, name: Names) -> str:
    told = " ".join(
        f"{bid}={_short(cell.care_of)}@{_time(cell.version.time)}/{cell.version.site}"
        for bid, cell in wire.cells.items()
    )
    return f"{name(wire.home_address)}[{told} floor {_time(wire.floor.time)}]"


def _effect(effect: effects.Effect, name: Names) -> str:
    match effect:
        case effects.SendBindingAck(ack, care_of, home):
            return f"BA {ack.sequence} status {int(ack.status)} to {name(home or care_of)} at {_short(care_of)}"
        case effects.SetForwarding(home, entry, generation):
            lines = " ".join(f"{path.bid}={_short(path.care_of)}" for path in entry.paths) if entry else "nothing"
            return f"order {generation}: {name(home)} -> {lines}"
        case effects.SendRecords(site, frame):
            return f"to {site}: records {frame.index} {' '.join(_record(one, name) for one in frame.records)}"
        case effects.AcknowledgeRecords(site, ack):
            return f"to {site}: acknowledge {ack.index}"
        case effects.AskForRecords(site, incarnation, since):
            return f"to {site}: resume ({incarnation}) after {since}"
        case effects.Note(_, message, fields) if message == "readiness changed":
            return f"readiness: {fields['wanted']}, {fields['reasons']}"
    return ""


def _short(care_of: bytes | None) -> str:
    return "none" if care_of is None else f"{care_of[5]}:{care_of[7]}:{care_of[9]}:{int.from_bytes(care_of[10:])}"


def _stamp(option: MessageIdentification | None) -> str:
    return "none" if option is None else _time(option.timestamp)


def _time(timestamp: int) -> str:
    """Seconds of the world, as far as the clock was right."""
    return "0" if timestamp == 0 else f"{ntp.to_unix(timestamp) - UNIX:.4f}"
