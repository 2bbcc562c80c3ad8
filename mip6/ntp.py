"""64-bit NTP timestamps (RFC 5905 6), the form of the Mesg-ID option (RFC 4285 6): seconds since 1900, then a fraction."""

UNIX_EPOCH = 2208988800  # 1970-01-01 in seconds since 1900-01-01


def to_timestamp(unix_s: float) -> int:
    """Unix seconds as an NTP timestamp."""
    return int((unix_s + UNIX_EPOCH) * 2**32) & 0xFFFFFFFFFFFFFFFF


def to_unix(timestamp: int) -> float:
    """An NTP timestamp as Unix seconds."""
    return timestamp / 2**32 - UNIX_EPOCH
