"""64-bit NTP timestamps (RFC 5905 6), the form of the Mesg-ID option (RFC 4285 6): seconds since 1900, then a fraction.

The seconds roll over in February 2036. Which turn a timestamp belongs to is read off its top bit, as RFC 4330 3
advises: set is 1968 to 2036, clear is 2036 to 2104.
"""

UNIX_EPOCH = 2208988800  # 1970-01-01 in seconds since 1900-01-01
ERA_S = 2**32
_ERA_TURN = 1 << 63


def to_timestamp(unix_s: float) -> int:
    """Unix seconds as an NTP timestamp."""
    return int((unix_s + UNIX_EPOCH) * 2**32) & 0xFFFFFFFFFFFFFFFF


def to_unix(timestamp: int) -> float:
    """An NTP timestamp as Unix seconds."""
    era_s = 0 if timestamp & _ERA_TURN else ERA_S
    return timestamp / 2**32 + era_s - UNIX_EPOCH


def difference_s(later: int, earlier: int) -> float:
    """Seconds from one NTP timestamp to another, the shorter way around, so that a turn of the era does not matter."""
    return ((later - earlier + _ERA_TURN) % (2 * _ERA_TURN) - _ERA_TURN) / 2**32
