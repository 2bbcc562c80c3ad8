"""Elements of the source check taken apart again, which only tests have to do."""

from dataplane.element import Element, kind_coded
from dataplane.entry import Prefix

CARE_OF_OCTETS = 16


def parts(element: Element) -> tuple[bytes, Prefix]:
    """Its care-of address and its prefix."""
    end = 1 + CARE_OF_OCTETS
    return element[1:end], kind_coded(element[0]).prefix(element[end:])
