"""Inside the Flow Identification option: sub-options both ways, and the status for each fault."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mip6 import flows
from mip6.errors import MalformedFlow
from mip6.flows import FlowRule, Range, TrafficSelector
from mip6.numbers import FlowStatus
from mip6.options import FlowIdentification
from tests.mip6.describe import address

HTTPS = TrafficSelector(6, destination_port=Range(443, 443), next_header=Range(6, 6))


def ranges(octets: int) -> st.SearchStrategy[Range | None]:
    """Ranges of numbers with so many octets, or none."""
    number = st.integers(0, 256**octets - 1)
    return st.none() | st.tuples(number, number).map(lambda pair: Range(min(pair), max(pair)))


def selectors(version: int, octets: int) -> st.SearchStrategy[TrafficSelector]:
    """Traffic selectors of one IP version."""
    return st.builds(
        TrafficSelector,
        st.just(version),
        ranges(octets),
        ranges(octets),
        ranges(4),
        ranges(4) if version == 6 else st.none(),
        ranges(2),
        ranges(2),
        ranges(1),
        ranges(1),
    )


bids = st.none() | st.lists(st.integers(0, 65535), min_size=1, max_size=8).map(tuple)
number = st.integers(1, 65535)
rules = st.builds(FlowRule, number, number, bids, st.none() | selectors(4, 4) | selectors(6, 16), st.integers(0, 255))


def status(suboptions: str, fid: int = 7, priority: int = 10) -> tuple[str, int]:
    """Reason and status of an option with these sub-options."""
    with pytest.raises(MalformedFlow) as caught:
        flows.rule(FlowIdentification(fid, priority, 0, bytes.fromhex(suboptions)))
    return caught.value.reason, caught.value.status


@settings(max_examples=400, deadline=None, derandomize=True)
@given(rules)
def test_a_rule_becomes_an_option_and_the_same_rule_again(rule: FlowRule) -> None:
    assert flows.rule(flows.option(rule)) == rule


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_random_suboptions_are_a_rule_or_a_malformed_flow(octets: bytes) -> None:
    try:
        rule = flows.rule(FlowIdentification(1, 1, 0, octets))
    except MalformedFlow as error:
        assert error.status >= 128
        return
    assert flows.rule(flows.option(rule)) == rule


def test_the_octets_of_a_port_and_protocol_selector() -> None:
    """The octets of vector V11 (RFC 6088 3.2: flags K and O)."""
    option = FlowIdentification(7, 10, 0, bytes.fromhex("02020001030902000022000001bb06"))
    assert flows.rule(option) == FlowRule(7, 10, (1,), HTTPS)
    assert flows.option(FlowRule(7, 10, (1,), HTTPS)) == option


def test_the_octets_of_an_ipv4_selector() -> None:
    """RFC 6088 3.1: source start and end, destination start, source port start and end, destination port start."""
    first, last = int.from_bytes(address("192.0.2.0")), int.from_bytes(address("192.0.2.255"))
    destination = int.from_bytes(address("198.51.100.20"))
    selector = TrafficSelector(
        4,
        source=Range(first, last),
        destination=Range(destination, destination),
        source_port=Range(1000, 1010),
        destination_port=Range(53, 53),
    )
    # flags A, B, C, G, H, I
    octets = bytes.fromhex("0318 0100 e3800000 c0000200 c00002ff c6336414 03e8 03f2 0035")
    assert flows.option(FlowRule(1, 1, None, selector)).suboptions == octets
    assert flows.rule(FlowIdentification(1, 1, 0, octets)).selector == selector


def test_every_field_of_an_ipv6_selector_stands_in_flag_order() -> None:
    one = Range(1, 2)
    selector = TrafficSelector(6, one, one, one, one, one, one, one, one)
    octets = flows.option(FlowRule(1, 1, None, selector)).suboptions
    sizes = (16, 16, 4, 4, 2, 2, 1, 1)
    fields = b"".join(value.to_bytes(size) for size in sizes for value in one)
    assert octets == bytes((3, 6 + len(fields), 2, 0)) + bytes.fromhex("ffff0000") + fields


def test_a_missing_suboption_is_told_from_an_empty_one() -> None:
    assert flows.rule(FlowIdentification(7, 10)) == FlowRule(7, 10, None, None)


@pytest.mark.parametrize("padn", ["0104 0000", "0102 0000", "0102", "0000"])
def test_both_readings_of_padn_are_understood(padn: str) -> None:
    """RFC 6089 4.2.1.2 counts the whole sub-option, everybody else what follows the length."""
    octets = bytes.fromhex(padn + "02020001")
    assert flows.rule(FlowIdentification(7, 10, 0, octets)).bids == (1,)


def test_an_unknown_suboption_is_skipped() -> None:
    assert flows.rule(FlowIdentification(7, 10, 0, bytes.fromhex("6302abcd02020001"))).bids == (1,)


@pytest.mark.parametrize(
    ("suboptions", "reason"),
    [
        ("02", "flow_suboption_overrun"),
        ("02040001", "flow_suboption_overrun"),
        ("0200", "flow_binding_reference"),
        ("0203000100", "flow_binding_reference"),
        ("0202000102020002", "flow_binding_reference"),
        ("030602000000000003060200" + "00000000", "flow_selector_repeated"),
        ("0300", "flow_selector_truncated"),
        ("030402000020", "flow_selector_truncated"),
        ("03060200" + "00200000", "flow_selector_truncated"),
        ("03080200" + "00100000" + "01bb", "flow_selector_end_alone"),
        ("03090200" + "00200000" + "01bb06", "flow_selector_too_long"),
        ("030a0200" + "00300000" + "01bb01ba", "flow_selector_backwards"),
        ("0103ff0000", "flow_padding"),
    ],
)
def test_a_malformed_flow_is_answered_with_130(suboptions: str, reason: str) -> None:
    assert status(suboptions) == (reason, FlowStatus.MALFORMED)


@pytest.mark.parametrize("ts_format", ["00", "03", "ff"])
def test_an_unknown_selector_format_is_answered_with_133(ts_format: str) -> None:
    expected = ("flow_selector_format", FlowStatus.TRAFFIC_SELECTOR_NOT_SUPPORTED)
    assert status(f"0306{ts_format}0000000000") == expected


@pytest.mark.parametrize(("fid", "priority"), [(0, 1), (1, 0)])
def test_zero_is_no_flow_number_and_no_priority(fid: int, priority: int) -> None:
    assert status("", fid, priority) == ("flow_number_zero", FlowStatus.MALFORMED)


@pytest.mark.parametrize(
    "selector",
    [
        TrafficSelector(4, flow_label=Range(1, 1)),
        TrafficSelector(4, source=Range(0, 2**32)),
        TrafficSelector(6, source_port=Range(2, 1)),
    ],
)
def test_what_a_selector_cannot_say_is_a_value_error(selector: TrafficSelector) -> None:
    with pytest.raises(ValueError):
        flows.option(FlowRule(1, 1, None, selector))


def test_more_references_than_fit_are_a_value_error() -> None:
    with pytest.raises(ValueError):
        flows.option(FlowRule(1, 1, tuple(range(1, 200))))
