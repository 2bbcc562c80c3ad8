"""The garbage collector of a program that holds much for long: kept from looking at all of it again and again."""

import contextlib
import gc
from collections.abc import Iterator

YOUNG = 10_000  # new objects, less those that went, until the youngest are looked at: a millisecond
MIDDLE = 5  # such looks until those that survived them are looked at: ten milliseconds
MANY = 50_000  # more than this is not looked at


def quiet() -> None:
    """What lives now lives on and is not looked at again; what comes is, as long as it is young. May be called often.

    A full collection with 100,000 customers takes over half a second, in which no lease is renewed; none is needed:
    records are no cycles. A collector that was disabled is enabled.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, 1_000_000)
    gc.enable()


@contextlib.contextmanager
def nothing_kept() -> Iterator[None]:
    """While much is made that is freed again and is no cycle: nobody looks through it, nor afterwards."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > MANY:
            gc.freeze()
        if was_enabled:
            gc.enable()
