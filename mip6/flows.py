"""Inside a Flow Identification option: binding references and traffic selectors (RFC 6089 4.2.1, RFC 6088 3).

An option value keeps its sub-options as octets, because faults in them are no faults of the message: `rule` raises
`MalformedFlow` with the status that the acknowledgement's Flow Identification option carries. Which flow exists, and
for whom, is not decided here.

PadN is read in two ways. RFC 6089 says that its length octet counts the whole sub-option, everyone else (and every
other option) that it counts what follows. Both are tried; padding must be zero, or the other reading would swallow a
sub-option. We send Pad1 only.

A selector looks from the correspondent node to the mobile network, as the home agent sees it. Each field is a range,
both ends included; the octets leave out an end that equals the start.
"""

from dataclasses import dataclass
from typing import NamedTuple

from mip6.errors import MalformedFlow, MalformedMessage
from mip6.numbers import FlowStatus, FlowSubOption
from mip6.options import FlowIdentification
from mip6.wire import Reader, Writer

SUBOPTIONS_MAX = 255 - 6

# TS format -> fields with their octets, in the order of the flags: field i starts with bit 2i, ends with bit 2i+1.
_FIELDS: dict[int, tuple[tuple[str, int], ...]] = {
    1: (
        ("source", 4),
        ("destination", 4),
        ("spi", 4),
        ("source_port", 2),
        ("destination_port", 2),
        ("traffic_class", 1),
        ("next_header", 1),
    ),
    2: (
        ("source", 16),
        ("destination", 16),
        ("spi", 4),
        ("flow_label", 4),
        ("source_port", 2),
        ("destination_port", 2),
        ("traffic_class", 1),
        ("next_header", 1),
    ),
}
_FORMAT_OF_VERSION = {4: 1, 6: 2}
_VERSION_OF_FORMAT = {1: 4, 2: 6}


class Range(NamedTuple):
    """All numbers (addresses as numbers, too) from `first` to `last`."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """Which packets of IP `version` 4 or 6 are meant; None matches everything (RFC 6088 3.1, 3.2).

    `traffic_class` is the whole octet (IPv4: DS), `next_header` is IPv4's protocol, `flow_label` is IPv6 only.
    """

    version: int
    source: Range | None = None
    destination: Range | None = None
    spi: Range | None = None
    flow_label: Range | None = None
    source_port: Range | None = None
    destination_port: Range | None = None
    traffic_class: Range | None = None
    next_header: Range | None = None


@dataclass(frozen=True, slots=True)
class FlowRule:
    """A Flow Identification option understood; `bids` or `selector` None: not there, so the old one is kept."""

    fid: int
    priority: int
    bids: tuple[int, ...] | None = None
    selector: TrafficSelector | None = None
    status: int = 0


class _SubOption(NamedTuple):
    kind: int
    body: bytes


def rule(option: FlowIdentification) -> FlowRule:
    """What a received option asks for. Raises: MalformedFlow with the status to answer (RFC 6089 5.3.2)."""
    if option.fid == 0 or option.priority == 0:
        raise MalformedFlow("flow_number_zero", FlowStatus.MALFORMED)
    bids: tuple[int, ...] | None = None
    selector: TrafficSelector | None = None
    for kind, body in _split(option.suboptions):
        if kind == FlowSubOption.BINDING_REFERENCE:
            if bids is not None or not body or len(body) % 2:
                raise MalformedFlow("flow_binding_reference", FlowStatus.MALFORMED)
            bids = tuple(int.from_bytes(body[at : at + 2], "big") for at in range(0, len(body), 2))
        elif kind == FlowSubOption.TRAFFIC_SELECTOR:
            if selector is not None:
                raise MalformedFlow("flow_selector_repeated", FlowStatus.MALFORMED)
            selector = _selector(body)
    return FlowRule(option.fid, option.priority, bids, selector, option.status)


def option(wanted: FlowRule) -> FlowIdentification:
    """The option that says `wanted`. Raises: ValueError for what the octets cannot say."""
    out = Writer(SUBOPTIONS_MAX)
    if wanted.bids is not None:
        out.put(bytes((FlowSubOption.BINDING_REFERENCE, 2 * len(wanted.bids))))
        for bid in wanted.bids:
            out.number(bid, 2)
    if wanted.selector is not None:
        body = _selector_body(wanted.selector)
        out.align(_need(body))
        out.put(bytes((FlowSubOption.TRAFFIC_SELECTOR, len(body))) + body)
    return FlowIdentification(wanted.fid, wanted.priority, wanted.status, out.octets())


def alignment(suboptions: bytes) -> int:
    """The multiple at which the whole option must stand so that its selector's fields stand right (RFC 6088 3)."""
    try:
        needs = [_need(body) for kind, body in _split(suboptions) if kind == FlowSubOption.TRAFFIC_SELECTOR]
    except MalformedFlow:
        return 2
    return max(needs, default=2)


def _split(octets: bytes) -> list[_SubOption]:
    try:
        return _chain(octets, padn_counts_itself=False)
    except MalformedFlow:
        return _chain(octets, padn_counts_itself=True)


def _chain(octets: bytes, padn_counts_itself: bool) -> list[_SubOption]:
    found: list[_SubOption] = []
    reader = Reader(octets, "flow_suboption_overrun")
    try:
        while reader.left:
            kind = reader.number(1)
            if kind == FlowSubOption.PAD1:
                continue
            size = reader.number(1)
            if kind != FlowSubOption.PADN:
                found.append(_SubOption(kind, reader.take(size)))
                continue
            if padn_counts_itself:
                size -= 2
            if size < 0 or any(reader.take(size)):
                raise MalformedMessage("flow_padding")
    except MalformedMessage as error:
        raise MalformedFlow(error.reason, FlowStatus.MALFORMED) from None
    return found


def _selector(body: bytes) -> TrafficSelector:
    """Sub-option 3 behind its length: TS format, reserved, flags, then the fields whose flags are set."""
    reader = Reader(body, "flow_selector_truncated")
    try:
        ts_format = reader.number(1)
        fields = _FIELDS.get(ts_format)
        if fields is None:
            raise MalformedFlow("flow_selector_format", FlowStatus.TRAFFIC_SELECTOR_NOT_SUPPORTED)
        reader.take(1)
        flags = reader.number(4)
        ranges: dict[str, Range] = {}
        for index, (name, size) in enumerate(fields):
            has_start, has_end = flags >> (31 - 2 * index) & 1, flags >> (30 - 2 * index) & 1
            if has_start:
                first = reader.number(size)
                ranges[name] = Range(first, reader.number(size) if has_end else first)
            elif has_end:
                raise MalformedMessage("flow_selector_end_alone")
        if reader.left:
            raise MalformedMessage("flow_selector_too_long")
        if any(last < first for first, last in ranges.values()):
            raise MalformedMessage("flow_selector_backwards")
    except MalformedFlow:
        raise
    except MalformedMessage as error:
        raise MalformedFlow(error.reason, FlowStatus.MALFORMED) from None
    return TrafficSelector(_VERSION_OF_FORMAT[ts_format], **ranges)


def _selector_body(selector: TrafficSelector) -> bytes:
    ts_format = _FORMAT_OF_VERSION[selector.version]
    if selector.version == 4 and selector.flow_label is not None:
        raise ValueError("IPv4 has no flow label")
    flags = 0
    fields = Writer(SUBOPTIONS_MAX)
    for index, (name, size) in enumerate(_FIELDS[ts_format]):
        wanted: Range | None = getattr(selector, name)
        if wanted is None:
            continue
        flags |= 1 << (31 - 2 * index)
        fields.number(wanted.first, size)
        if wanted.last != wanted.first:
            if wanted.last < wanted.first:
                raise ValueError(f"{name} ends before it starts")
            flags |= 1 << (30 - 2 * index)
            fields.number(wanted.last, size)
    return bytes((ts_format, 0)) + flags.to_bytes(4, "big") + fields.octets()


def _need(body: bytes) -> int:
    """RFC 6088 3: a selector stands at a multiple of its widest field, at most 8; the option itself at 2n."""
    flags = int.from_bytes(body[2:6], "big")
    fields = _FIELDS.get(body[0], ()) if body else ()
    widths = [size for index, (_, size) in enumerate(fields) if flags >> (31 - 2 * index) & 1]
    return min(8, max([2, *widths]))
