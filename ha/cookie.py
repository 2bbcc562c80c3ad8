"""The cookie that only somebody who hears at a care-of address can know. Pure, and nothing is stored.

HMAC over care-of address, home address and a stretch of wall clock time, with a key that all sites of a set share and
no mobile router has: whichever site hears the echo can check it.
"""

import hmac

from mip6.care_of_proof import COOKIE_OCTETS

STRETCH_S = 64.0  # a cookie is good in the stretch in which it was made and in the next one


def make(key: bytes, care_of: bytes, home_address: bytes, unix_s: float) -> bytes:
    """The cookie for now."""
    return _of_stretch(key, care_of, home_address, int(unix_s // STRETCH_S))


def is_good(cookie: bytes, key: bytes, care_of: bytes, home_address: bytes, unix_s: float) -> bool:
    """True for a cookie of this stretch or the one before; sites' clocks may differ by seconds. Constant time."""
    stretch = int(unix_s // STRETCH_S)
    matches = [
        hmac.compare_digest(cookie, _of_stretch(key, care_of, home_address, one))
        for one in (stretch - 1, stretch, stretch + 1)
    ]
    return any(matches)


def _of_stretch(key: bytes, care_of: bytes, home_address: bytes, stretch: int) -> bytes:
    return hmac.digest(key, care_of + home_address + stretch.to_bytes(8, "big"), "sha256")[:COOKIE_OCTETS]
