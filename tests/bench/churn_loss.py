"""churn-loss: what other customers lose while 5,000 care-of addresses a second change beside them.

100,000 customers, everything switched on. The first 20,000 move their first line again and again, in batches like the
daemon's, at a steady rate; packets of all others go through at full speed on another processor (see `forwarding.py`),
and each is counted where it leaves, by a program that also sees whether it was sent to the right customer's line.
Before that the same without changes: what is lost then is the measurement's own.
"""

import threading
import time
from collections.abc import Iterator
from itertools import islice

from dataplane.entry import ForwardingEntry
from dataplane.linux import LinuxHomeAgent
from ha.kernel import ORDERS_A_TURN
from tests.bench.forwarding import WAYS, Ground, ground
from tests.bench.loaded import entries, require
from tests.bench.population import CUSTOMERS
from tests.bench.result import Result

MOVING = 20_000
RATE = 5_000
FOR_S, ALONE_S = 12.0, 3.0
PACKETS = 50_000  # in one go
LOOK_EVERY_S = 1.0  # as the daemon's


def run() -> Result:
    """Both directions, one after the other."""
    samples, notes, holds = [], [], True
    with ground(CUSTOMERS, silent=MOVING) as place:
        for way in WAYS:
            sent, own, _ = _lost(place, way, ALONE_S, changing=False)
            holds &= own == 0
            sent, lost, rate = _lost(place, way, FOR_S, changing=True)
            holds &= rate >= 0.99 * RATE
            samples.append(lost)
            notes.append(f"{way}: {lost} of {sent} packets lost beside {rate:.0f} changes/s; without changes {own}")
    return Result("churn-loss", samples, "packets lost", 0, at_least=False, notes=tuple(notes), holds=holds)


def _lost(place: Ground, way: str, for_s: float, changing: bool) -> tuple[int, int, float]:
    """Packets sent and lost (or sent to another customer), and changes a second."""
    ended = threading.Event()
    sent = [0]

    def send() -> None:
        while not ended.is_set():
            place.send("ha", way, PACKETS)
            sent[0] += PACKETS

    with place.receiving("ha", way) as arrived:
        sender = threading.Thread(target=send)
        sender.start()
        try:
            rate = _change(place.site.plane, for_s) if changing else 0.0
            if not changing:
                time.sleep(for_s)
        finally:
            ended.set()
            sender.join()
        return sent[0], sent[0] - arrived().right, rate


def _change(plane: LinuxHomeAgent, for_s: float) -> float:
    began, done, moves = time.monotonic(), 0, _moves()
    looked = began
    while (now := time.monotonic()) < began + for_s:
        if done < (now - began) * RATE:
            batch = dict(islice(moves, ORDERS_A_TURN))
            require(plane.apply(batch))
            done += len(batch)
            if now - looked > LOOK_EVERY_S:
                plane.expire(now)
                looked = now
        else:
            time.sleep(ORDERS_A_TURN / RATE / 4)
    return done / (time.monotonic() - began)


def _moves() -> Iterator[tuple[bytes, ForwardingEntry]]:
    move = 0
    while True:
        move += 1
        yield from entries(range(MOVING), move).items()
