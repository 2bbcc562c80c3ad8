"""Blind mutations of known octets, from a seed: what runs where no coverage-guided fuzzer is installed."""

import random
from collections.abc import Iterator, Sequence

INTERESTING = (0, 1, 2, 4, 6, 16, 18, 20, 35, 59, 0x7F, 0x80, 0xFE, 0xFF)
STEPS_MAX = 6
OCTETS_MAX = 600


def mutations(corpus: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Without end, the same for the same seed."""
    draw = random.Random(seed)
    while True:
        octets = bytearray(draw.choice(corpus))
        for _ in range(draw.randint(1, STEPS_MAX)):
            _step(octets, corpus, draw)
        yield bytes(octets[:OCTETS_MAX])


def _step(octets: bytearray, corpus: Sequence[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(octets) + 1)
    kind = draw.randrange(7)
    if kind == 0 and at < len(octets):
        octets[at] ^= 1 << draw.randrange(8)
    elif kind == 1 and at < len(octets):
        octets[at] = draw.choice(INTERESTING)
    elif kind == 2:
        octets[at:at] = draw.randbytes(draw.randint(1, 24))
    elif kind == 3:
        del octets[at : at + draw.randint(1, 24)]
    elif kind == 4:
        other = draw.choice(corpus)
        start = draw.randrange(len(other))
        octets[at:at] = other[start : start + draw.randint(2, 40)]
    elif kind == 5:
        del octets[at:]
    elif at < len(octets):
        octets[at : at + 2] = draw.randbytes(2)
