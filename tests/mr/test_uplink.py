"""Which address becomes the care-of address, and when a line is usable."""

from mr.uplink import (
    FLAG_DEPRECATED,
    FLAG_DUPLICATE,
    FLAG_TEMPORARY,
    FLAG_TENTATIVE,
    InterfaceAddress,
    Uplink,
    choose_care_of,
)
from tests.mr.cast import octets

STABLE = InterfaceAddress(octets("2001:db8:1:c::20"), 0, 0)
TEMPORARY = InterfaceAddress(octets("2001:db8:1:c::5"), 0, FLAG_TEMPORARY)
DEPRECATED = InterfaceAddress(octets("2001:db8:1:b::1"), 0, FLAG_DEPRECATED)


def test_link_local_unique_local_tentative_and_duplicate_addresses_are_no_care_of_addresses() -> None:
    assert (
        choose_care_of(
            [
                InterfaceAddress(octets("fe80::1"), 253, 0),
                InterfaceAddress(octets("fd00::1"), 0, 0),
                InterfaceAddress(STABLE.address, 0, FLAG_TENTATIVE),
                InterfaceAddress(TEMPORARY.address, 0, FLAG_TENTATIVE | FLAG_DUPLICATE),
            ]
        )
        is None
    )


def test_a_stable_address_is_preferred_to_a_temporary_and_that_to_a_deprecated_one() -> None:
    assert choose_care_of([DEPRECATED, TEMPORARY, STABLE]) == STABLE.address
    assert choose_care_of([DEPRECATED, TEMPORARY]) == TEMPORARY.address
    assert choose_care_of([DEPRECATED]) == DEPRECATED.address


def test_the_present_care_of_address_is_kept_until_it_is_deprecated() -> None:
    assert choose_care_of([TEMPORARY, STABLE], TEMPORARY.address) == TEMPORARY.address
    assert choose_care_of([DEPRECATED, STABLE], DEPRECATED.address) == STABLE.address


def test_a_line_needs_carrier_address_and_gateway() -> None:
    whole = Uplink(1, "line1", "line1", carrier=True, care_of=STABLE.address, gateway=octets("fe80::1"))
    assert whole.usable and not whole.fault
    assert Uplink(1, "line1", "line1", care_of=STABLE.address).fault == "no carrier"
    assert Uplink(1, "line1", "line1", carrier=True).fault == "no global address"
    assert Uplink(1, "line1", "line1", carrier=True, care_of=STABLE.address).fault == "no default gateway"
