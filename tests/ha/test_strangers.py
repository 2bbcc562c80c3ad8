"""What senders without a proof get: the complaints the RFC asks for, within one budget, and otherwise silence."""

import pytest

from ha.effects import SendBindingError, SendParameterProblem
from ha.events import (
    Event,
    HeaderMalformed,
    HomeAddressUsed,
    MessageIgnored,
    MessageUnknown,
)
from ha.strangers import AH, ESP, RATE, UNSPECIFIED
from mip6.numbers import BindingErrorStatus
from tests.ha.cast import CARE_OF_1, CARE_OF_3, HOME, HOME_AGENT, Router, Site, address, both_lines

NOW = 100.0
UDP = 17


def malformed(pointer: int | None, source: bytes = CARE_OF_1) -> HeaderMalformed:
    return HeaderMalformed("header_len_too_small", pointer, source, HOME_AGENT, b"extension", b"octets")


def test_a_fault_that_the_rfc_names_is_answered_with_the_octet() -> None:
    site = Site()
    expected = SendParameterProblem(CARE_OF_1, HOME_AGENT, b"extension", b"octets", 1)
    assert site.feed(malformed(1), NOW) == [expected]
    assert site.counters.get("mobility_headers_malformed", "header_len_too_small") == 1


def test_a_type_that_nobody_knows_is_answered_with_binding_error_2() -> None:
    unrecognized = BindingErrorStatus.UNRECOGNIZED_TYPE
    assert Site().feed(MessageUnknown(CARE_OF_1, HOME), NOW) == [SendBindingError(unrecognized, CARE_OF_1, HOME)]
    assert Site().feed(MessageUnknown(CARE_OF_1, None), NOW) == [SendBindingError(unrecognized, CARE_OF_1, UNSPECIFIED)]


def test_data_with_a_home_address_needs_a_binding_to_its_source() -> None:
    site = Site()
    site.feed(Router().update(NOW, both_lines()), NOW)
    refused = [SendBindingError(BindingErrorStatus.UNKNOWN_BINDING, CARE_OF_3, HOME)]
    assert site.feed(HomeAddressUsed(CARE_OF_1, HOME, UDP), NOW) == []
    assert site.feed(HomeAddressUsed(CARE_OF_3, HOME, UDP), NOW) == refused
    assert site.feed(HomeAddressUsed(CARE_OF_3, HOME, ESP), NOW) == []
    assert site.feed(HomeAddressUsed(CARE_OF_3, HOME, AH), NOW) == []
    assert site.feed(HomeAddressUsed(CARE_OF_1, HOME, UDP), NOW + 200) != []  # the binding has expired


@pytest.mark.parametrize(
    "event",
    [
        malformed(None),
        malformed(1, address("ff0e::1")),
        malformed(1, address("fe80::1")),
        MessageUnknown(address("ff02::1"), None),
        MessageIgnored("HomeTestInit"),
    ],
)
def test_silence_where_no_rule_asks_for_more(event: Event) -> None:
    assert Site().feed(event, NOW) == []


def test_all_complaints_share_one_budget_that_fills_again() -> None:
    site = Site()
    kinds: list[Event] = [malformed(1), MessageUnknown(CARE_OF_1, None), HomeAddressUsed(CARE_OF_1, HOME, UDP)]
    answers = [answer for _ in range(200) for event in kinds for answer in site.feed(event, NOW)]
    assert len(answers) == RATE
    assert site.counters.get("answers_suppressed", "strangers") == 600 - RATE
    assert len(site.feed(malformed(1), NOW + 1)) == 1
