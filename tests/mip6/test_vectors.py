"""Every vector both ways: octets to fields as written in the file, fields to the same octets; or its stable fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from mip6 import header
from mip6.errors import MalformedMessage
from tests.mip6 import describe

VECTORS = Path(__file__).parent / "vectors"
VALID: list[dict[str, Any]] = json.loads((VECTORS / "valid.json").read_text())
MALFORMED: list[dict[str, Any]] = json.loads((VECTORS / "malformed.json").read_text())
BEHIND_AN_EXTENSION = [vector for vector in VALID if describe.cut(bytes.fromhex(vector["hex"])).home_address]


@pytest.mark.parametrize("vector", VALID, ids=lambda vector: vector["id"])
def test_octets_become_the_written_fields(vector: dict[str, Any]) -> None:
    packet = describe.cut(bytes.fromhex(vector["hex"]))
    message = header.decode(packet.mobility_header, *packet.pseudo_header)
    assert describe.message(message) == vector["message"]


@pytest.mark.parametrize("vector", VALID, ids=lambda vector: vector["id"])
def test_the_message_becomes_the_same_octets(vector: dict[str, Any]) -> None:
    packet = describe.cut(bytes.fromhex(vector["hex"]))
    message = header.decode(packet.mobility_header, *packet.pseudo_header)
    assert header.encode(message, *packet.pseudo_header) == packet.mobility_header


@pytest.mark.parametrize("vector", MALFORMED, ids=lambda vector: vector["id"])
def test_a_malformed_vector_has_its_reason_and_pointer(vector: dict[str, Any]) -> None:
    packet = describe.cut(bytes.fromhex(vector["hex"]))
    with pytest.raises(MalformedMessage) as caught:
        header.decode(packet.mobility_header, *packet.pseudo_header)
    assert (caught.value.reason, caught.value.pointer) == (vector["reason"], vector["pointer"])


@pytest.mark.parametrize("vector", BEHIND_AN_EXTENSION, ids=lambda vector: vector["id"])
def test_a_vector_checked_against_the_wire_addresses_has_a_wrong_checksum(vector: dict[str, Any]) -> None:
    """RFC 6275 6.1.1: the home address stands in the pseudo-header, not the care-of address."""
    packet = describe.cut(bytes.fromhex(vector["hex"]))
    with pytest.raises(MalformedMessage, match="checksum"):
        header.decode(packet.mobility_header, packet.source, packet.destination)
