"""tshark reads what we write: without complaint, and with the same fields."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mip6 import header, options
from mip6.messages import BindingAck, BindingRevocation, BindingUpdate, Heartbeat, HomeAgentSwitch, Message
from mip6.options import (
    AlternateCareOf,
    BindingIdentifier,
    FlowIdentification,
    FlowSummary,
    MobileNetworkPrefix,
)
from mip6.packet import plain_packet
from tests.mip6.cast import CARE_OF_1, HOME_AGENT
from tests.mip6.describe import address
from tests.mip6.strategies import any_message
from tests.mip6.tshark import needs_tshark, read

pytestmark = needs_tshark

FIELDS = (
    "_ws.malformed", "_ws.expert.severity", "mip6.mhtype", "mip6.hlen", "mip6.bu.seqnr", "mip6.bu.lifetime",
    "mip6.ba.status", "mip6.ba.seqnr", "mip6.ba.lifetime", "mip6.hb.seqnr", "mip6.bri_seqnr", "mip6.bi.bid",
    "mip6.bi.coa_ipv6", "mip6.acoa.acoa", "mip6.nemo.mnp.mnp", "mip6.nemo.mnp.pfl",
)  # fmt: skip
WARNING = 0x600000  # epan/proto.h, PI_WARN
# tshark does not know these, or reads them by the format of another RFC.
UNKNOWN_TO_TSHARK = (options.UnknownOption, options.MalformedBindingIdentifier, FlowIdentification, FlowSummary)


def is_readable(message: Message) -> bool:
    """tshark knows the message and all its options."""
    known = not any(isinstance(option, UNKNOWN_TO_TSHARK) for option in message.options)
    switches = isinstance(message, HomeAgentSwitch) and (message.options or not message.home_agents)
    # An old draft's types and reserved subtypes: tshark refuses what it has no name for.
    revokes = isinstance(message, BindingRevocation) and message.revocation_type not in (1, 2)
    odd = any(
        isinstance(option, options.Authentication) and len(option.authenticator) < 4 for option in message.options
    )
    return known and not switches and not revokes and not odd


def whole(message: Message) -> bytes:
    return plain_packet(CARE_OF_1, HOME_AGENT, header.encode(message, CARE_OF_1, HOME_AGENT))


def number(values: list[str]) -> int:
    [value] = values
    return int(value, 0)


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(st.lists(any_message.filter(is_readable), min_size=60, max_size=80))
def test_messages_of_all_kinds_are_read_as_they_were_meant(
    tmp_path_factory: pytest.TempPathFactory, messages: list[Message]
) -> None:
    directory: Path = tmp_path_factory.mktemp("tshark")
    for message, row in zip(messages, read(directory, [whole(one) for one in messages], FIELDS), strict=True):
        found = dict(zip(FIELDS, row, strict=True))
        assert found["_ws.malformed"] == [], message
        assert [value for value in found["_ws.expert.severity"] if int(value) >= WARNING] == [], message
        octets = header.frame(message)
        assert (number(found["mip6.mhtype"]), number(found["mip6.hlen"])) == (octets[2], octets[1])
        if isinstance(message, BindingUpdate):
            assert number(found["mip6.bu.seqnr"]) == message.sequence
            assert number(found["mip6.bu.lifetime"]) * 4 == message.lifetime_s
        if isinstance(message, BindingAck):
            assert number(found["mip6.ba.status"]) == message.status
            assert number(found["mip6.ba.seqnr"]) == message.sequence
            assert number(found["mip6.ba.lifetime"]) * 4 == message.lifetime_s
        if isinstance(message, Heartbeat):
            assert number(found["mip6.hb.seqnr"]) == message.sequence
        if isinstance(message, BindingRevocation):
            assert number(found["mip6.bri_seqnr"]) == message.sequence
        bids = [option for option in message.options if isinstance(option, BindingIdentifier)]
        assert [int(value, 0) for value in found["mip6.bi.bid"]] == [option.bid for option in bids]
        care_ofs = [option.care_of for option in bids if option.care_of and len(option.care_of) == 16]
        assert [address(text) for text in found["mip6.bi.coa_ipv6"]] == care_ofs
        alternates = [option.care_of for option in message.options if isinstance(option, AlternateCareOf)]
        assert [address(text) for text in found["mip6.acoa.acoa"]] == alternates
        prefixes = [option.prefix for option in message.options if isinstance(option, MobileNetworkPrefix)]
        told = zip(found["mip6.nemo.mnp.mnp"], found["mip6.nemo.mnp.pfl"], strict=True)
        assert [(address(text), int(length, 0)) for text, length in told] == prefixes
