"""MN-HA authenticators: the vectors, both algorithms, and every way in which one must not be accepted."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from mip6 import auth, header
from mip6.auth import SecurityAssociation
from mip6.messages import BindingAck, BindingUpdate, HomeAgentSwitch, Message, UnknownMessage
from mip6.numbers import BindingAckFlag
from mip6.options import (
    Authentication,
    BindingIdentifier,
    MessageIdentification,
    MobileNodeIdentifier,
    UnknownOption,
)
from tests.mip6 import describe
from tests.mip6.cast import CARE_OF_1, CARE_OF_2, HOME_ADDRESS, HOME_AGENT, HOME_REGISTRATION, OURS, RFC_4285
from tests.mip6.strategies import any_message

VALID = {one["id"]: one for one in json.loads((Path(__file__).parent / "vectors/valid.json").read_text())}
BOTH = pytest.mark.parametrize("association", [OURS, RFC_4285], ids=lambda one: one.algorithm)
UPDATE = BindingUpdate(
    7,
    HOME_REGISTRATION,
    600,
    (
        BindingIdentifier(1, care_of=CARE_OF_1),
        BindingIdentifier(2, care_of=CARE_OF_2),
        MobileNodeIdentifier(1, b"office1@xsp.example"),
        MessageIdentification(0xE91B2C3D80000000),
    ),
)


def signed(association: SecurityAssociation, message: Message = UPDATE) -> bytes:
    """The octets of a message from CARE_OF_1."""
    return auth.encode_signed(message, association, CARE_OF_1, HOME_ADDRESS, HOME_ADDRESS, HOME_AGENT)


def vector(name: str) -> tuple[bytes, bytes, bytes, bytes, Message]:
    """Mobility header, care-of address, pseudo-header and message of a vector."""
    packet = describe.cut(bytes.fromhex(VALID[name]["hex"]))
    care_of = packet.source if packet.first == 60 else packet.destination
    message = header.decode(packet.mobility_header, *packet.pseudo_header)
    return packet.mobility_header, care_of, *packet.pseudo_header, message


@pytest.mark.parametrize("name", ["V13", "V14"])
def test_the_authenticator_of_a_vector_is_right_and_made_again(name: str) -> None:
    octets, care_of, source, destination, message = vector(name)
    home_address = source if name == "V13" else destination
    assert auth.verify(octets, RFC_4285, care_of, home_address)
    unsigned = type(message)(
        **{field: getattr(message, field) for field in message.__slots__ if field != "options"},
        options=message.options[:-1],
    )
    assert auth.encode_signed(unsigned, RFC_4285, care_of, home_address, source, destination) == octets


def test_the_flipped_authenticator_of_a_vector_is_refused() -> None:
    octets, care_of, source, _, _ = vector("M15")
    assert not auth.verify(octets, RFC_4285, care_of, source)


def test_ours_is_hmac_sha256_over_the_same_octets_cut_to_16() -> None:
    octets = signed(OURS)
    covered = CARE_OF_1 + HOME_ADDRESS + octets[:4] + b"\0\0" + octets[6:-16]
    assert octets[-16:] == hmac.new(OURS.key, covered, hashlib.sha256).digest()[:16]


@BOTH
def test_a_signed_message_decodes_with_the_option_last(association: SecurityAssociation) -> None:
    message = header.decode(signed(association), HOME_ADDRESS, HOME_AGENT)
    assert message.options[:-1] == UPDATE.options
    last = message.options[-1]
    assert isinstance(last, Authentication)
    assert (last.subtype, last.spi) == (1, 256)


@BOTH
@settings(max_examples=200, deadline=None, derandomize=True)
@given(message=any_message)
def test_whatever_is_signed_verifies(association: SecurityAssociation, message: Message) -> None:
    if isinstance(message, UnknownMessage) or message.all(Authentication):
        return
    octets = signed(association, message)
    header.decode(octets, HOME_ADDRESS, HOME_AGENT)
    assert auth.verify(octets, association, CARE_OF_1, HOME_ADDRESS)


@BOTH
def test_every_flipped_bit_but_those_of_the_checksum_is_found(association: SecurityAssociation) -> None:
    octets = signed(association)
    for bit in range(8 * len(octets)):
        changed = bytearray(octets)
        changed[bit // 8] ^= 1 << bit % 8
        in_checksum = bit // 8 in (4, 5)
        assert auth.verify(bytes(changed), association, CARE_OF_1, HOME_ADDRESS) == in_checksum


@BOTH
def test_another_key_spi_care_of_or_home_address_is_refused(association: SecurityAssociation) -> None:
    octets = signed(association)
    other_key = SecurityAssociation(256, association.algorithm, b"k" * 16)
    other_spi = SecurityAssociation(257, association.algorithm, association.key)
    assert not auth.verify(octets, other_key, CARE_OF_1, HOME_ADDRESS)
    assert not auth.verify(octets, other_spi, CARE_OF_1, HOME_ADDRESS)
    assert not auth.verify(octets, association, CARE_OF_2, HOME_ADDRESS)
    assert not auth.verify(octets, association, CARE_OF_1, HOME_AGENT)


def test_the_algorithm_is_the_associations_not_the_senders() -> None:
    sha1 = SecurityAssociation(256, "hmac-sha1-96", OURS.key)
    assert not auth.verify(signed(sha1), OURS, CARE_OF_1, HOME_ADDRESS)
    assert not auth.verify(signed(OURS), sha1, CARE_OF_1, HOME_ADDRESS)


def test_a_shortened_authenticator_is_refused() -> None:
    """A one-octet authenticator would be guessed in 256 attempts."""
    octets = signed(OURS)
    at = len(octets) - 23
    for size in (0, 1, 8, 12):
        short = octets[: at + 1] + bytes((5 + size,)) + octets[at + 2 : at + 7 + size]
        assert not auth.verify(short, OURS, CARE_OF_1, HOME_ADDRESS)


def test_a_message_without_the_option_is_refused() -> None:
    octets = header.encode(UPDATE, HOME_ADDRESS, HOME_AGENT)
    assert not auth.verify(octets, OURS, CARE_OF_1, HOME_ADDRESS)


def test_an_authenticator_inside_another_option_does_not_count() -> None:
    option = Authentication(1, 256, bytes(16))
    hidden = BindingUpdate(7, HOME_REGISTRATION, 600, (UnknownOption(200, bytes((9, 21)) + option.body()),))
    octets = header.frame(hidden)
    right = OURS.authenticator(CARE_OF_1, HOME_ADDRESS, octets[: octets.index(bytes((9, 21))) + 7])
    assert not auth.verify(octets.replace(bytes(16), right), OURS, CARE_OF_1, HOME_ADDRESS)


def test_no_octets_make_verify_raise() -> None:
    octets = signed(OURS)
    for size in range(len(octets)):
        assert not auth.verify(octets[:size], OURS, CARE_OF_1, HOME_ADDRESS)
    switch = header.frame(HomeAgentSwitch())
    assert not auth.verify(switch[:6] + b"\xff\0", OURS, CARE_OF_1, HOME_ADDRESS)


def test_a_second_authentication_option_may_follow() -> None:
    """RFC 4285 5: MN-HA stands before MN-AAA."""
    aaa = Authentication(2, 3, bytes(20))
    octets = header.frame(BindingUpdate(7, HOME_REGISTRATION, 600, (Authentication(1, 256, bytes(12)), aaa)))
    at = octets.index(bytes((9, 17, 1)))
    right = RFC_4285.authenticator(CARE_OF_1, HOME_ADDRESS, octets[: at + 7])
    octets = octets[: at + 7] + right + octets[at + 19 :]
    assert auth.verify(octets, RFC_4285, CARE_OF_1, HOME_ADDRESS)


def test_an_acknowledgement_is_signed_for_the_care_of_address_it_goes_to() -> None:
    ack = BindingAck(0, BindingAckFlag.MOBILE_ROUTER, 7, 600, (BindingIdentifier(1), BindingIdentifier(2)))
    octets = auth.encode_signed(ack, OURS, CARE_OF_2, HOME_ADDRESS, HOME_AGENT, HOME_ADDRESS)
    header.decode(octets, HOME_AGENT, HOME_ADDRESS)
    assert auth.verify(octets, OURS, CARE_OF_2, HOME_ADDRESS)


@pytest.mark.parametrize(("spi", "algorithm"), [(255, "hmac-sha1-96"), (2**32, "hmac-sha1-96"), (256, "hmac-md5")])
def test_an_impossible_association_is_a_value_error(spi: int, algorithm: str) -> None:
    with pytest.raises(ValueError):
        SecurityAssociation(spi, algorithm, bytes(16))


def test_a_key_is_not_printed() -> None:
    assert "secret" not in repr(SecurityAssociation(256, "hmac-sha1-96", b"secret"))
