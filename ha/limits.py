"""What one authenticated mobile router may cost a site in a stretch of time. Pure.

A count per home address and stretch of ten seconds, forgotten with the stretch, so that the memory is bounded by
those who were busy lately. Charged only after authentication: a stranger cannot spend a customer's share. What is
sent on a captured Binding Update (status 144) has a share of its own, for anybody can replay it.
"""

from enum import IntEnum, auto

from ha.undo import Undo

STRETCH_S = 10.0


class Cost(IntEnum):
    """What is charged, each with its own share."""

    UPDATE = auto()
    CORRECTION = auto()  # an answer 144
    HEARTBEAT = auto()


# RFC 6275 12, MAX_UPDATE_RATE: 3 a second; twice that, for several lines may change at once.
MOST = {Cost.UPDATE: 60, Cost.CORRECTION: 10, Cost.HEARTBEAT: 60}


class RouterLimits:
    """The counts of the current stretch."""

    def __init__(self) -> None:
        self._spent: dict[tuple[bytes, Cost], int] = {}
        self._until = 0.0

    def exhausted(self, cost: Cost, home_address: bytes, now: float) -> bool:
        """True if nothing is left of this router's share."""
        return now < self._until and self._spent.get((home_address, cost), 0) >= MOST[cost]

    def spend(self, cost: Cost, home_address: bytes, now: float, undo: Undo) -> bool:
        """Charge one; False if nothing was left."""
        if now >= self._until:
            undo.assign(self, "_spent", {})
            undo.assign(self, "_until", now + STRETCH_S)
        key = (home_address, cost)
        spent = self._spent.get(key, 0)
        if spent >= MOST[cost]:
            return False
        undo.put(self._spent, key, spent + 1)
        return True
