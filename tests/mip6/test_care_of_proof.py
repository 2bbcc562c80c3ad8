"""The options of the care-of test survive the wire, and other uses of their numbers are not mistaken for them."""

import pytest

from mip6 import care_of_proof, header
from mip6.messages import Heartbeat
from mip6.options import MobileNodeIdentifier, Option, UnknownOption
from tests.mip6.cast import CARE_OF_1, HOME_ADDRESS, HOME_AGENT

COOKIE = bytes(range(16))


def over_the_wire(*options: Option) -> Heartbeat:
    octets = header.encode(Heartbeat(7, options=options), CARE_OF_1, HOME_AGENT)
    message = header.decode(octets, CARE_OF_1, HOME_AGENT)
    assert isinstance(message, Heartbeat)
    return message


def test_cookie_and_home_address_come_back() -> None:
    message = over_the_wire(care_of_proof.identifier(HOME_ADDRESS), care_of_proof.cookie_option(COOKIE))
    assert care_of_proof.cookie(message) == COOKIE
    assert care_of_proof.home_address(message) == HOME_ADDRESS


@pytest.mark.parametrize(
    "option",
    [
        UnknownOption(18, b"\x01" + bytes(15)),
        UnknownOption(18, b"\x02" + bytes(16)),
        UnknownOption(18, b""),
        UnknownOption(200, b"\x01" + bytes(16)),
        MobileNodeIdentifier(1, b"office@example."),
        MobileNodeIdentifier(2, bytes(15)),
    ],
)
def test_what_others_put_there_is_not_ours(option: Option) -> None:
    message = over_the_wire(option)
    assert care_of_proof.cookie(message) is None and care_of_proof.home_address(message) is None
