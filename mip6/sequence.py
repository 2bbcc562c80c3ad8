"""16-bit sequence numbers of Binding Updates, compared modulo 2**16 (RFC 6275 9.5.1) and nothing else."""

MODULUS = 2**16
WINDOW = 32767  # numbers ahead of the last one that count as newer


def is_newer(received: int, last: int) -> bool:
    """True if `received` is one of the 32767 numbers after `last`."""
    return 1 <= (received - last) % MODULUS <= WINDOW


def following(last: int) -> int:
    """The number after `last`."""
    return (last + 1) % MODULUS
