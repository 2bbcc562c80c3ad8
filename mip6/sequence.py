"""16-bit sequence numbers of Binding Updates, compared modulo 2**16 (RFC 6275 9.5.1) and nothing else."""


def is_newer(received: int, last: int) -> bool:
    """True if `received` is one of the 32767 numbers after `last`."""
    return 1 <= (received - last) % 65536 <= 32767


def following(last: int) -> int:
    """The number after `last`."""
    return (last + 1) % 65536
