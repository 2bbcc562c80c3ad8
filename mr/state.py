"""The state of the mobile router, and the questions its rules ask about it.

Owns no transitions (`mobile_router.py` has them all), only what follows from the state: which lines are usable, which
carry outgoing traffic, which one takes the next BU.
"""

from dataclasses import dataclass, field, replace

from dataplane.entry import UplinkPath
from mr.binding_update import Line
from mr.care_of_proof import CareOfTests
from mr.registration import BindingUpdateList
from mr.settings import Settings
from mr.stamp import Stamps
from mr.uplink import Uplink


@dataclass(slots=True)
class State:
    """Everything the mobile router remembers. Contained values are immutable, but for those that `fork` copies.

    `stop_by`: set once a stop was asked for. `lines_wanted`, `plane_wanted`: the last SetLines
    and SetUplinks; None before the first. `asked_again_at`: when somebody unproved last made us register anew;
    `revoked_stamp`: Mesg-ID of the last revocation believed. `useless`: how many home agents in a row were of no use.
    """

    settings: Settings
    uplinks: dict[int, Uplink]
    updates: BindingUpdateList
    stamps: Stamps
    name: str = "starting"
    since: float | None = None
    started: bool = False
    stop_by: float | None = None
    left: bool = False
    lines_wanted: tuple[UplinkPath, ...] | None = None
    lines_retry_at: float | None = None
    plane_wanted: tuple[UplinkPath, ...] | None = None
    plane_retry_at: float | None = None
    plane_reason: str | None = None
    deadline: float | None = None
    tests: CareOfTests = field(default_factory=CareOfTests)
    asked_again_at: float | None = None
    revoked_stamp: int = 0
    useless: int = 0

    def fork(self) -> "State":
        """An independent copy."""
        return replace(self, uplinks=dict(self.uplinks), updates=self.updates.fork(), tests=self.tests.fork())

    def usable(self) -> tuple[Line, ...]:
        """The lines packets can be sent over, in order of BID."""
        return tuple(
            Line(bid, uplink.care_of)
            for bid, uplink in sorted(self.uplinks.items())
            if uplink.usable and uplink.care_of is not None
        )

    def registered(self) -> list[Uplink]:
        """The usable lines whose present care-of address the home agent has acknowledged."""
        return [self.uplinks[line.bid] for line in self.usable() if self.updates.is_registered(line)]

    def carrying(self) -> tuple[UplinkPath, ...]:
        """The lines that take the outgoing traffic: registered, and of the best priority among those."""
        registered = self.registered()
        best = min((uplink.priority for uplink in registered), default=0)
        return _paths([uplink for uplink in registered if uplink.priority == best])

    def lines(self) -> tuple[UplinkPath, ...]:
        """The lines that need routes of their own, so that what comes from their care-of address leaves by them."""
        return _paths([self.uplinks[line.bid] for line in self.usable()])

    def source(self, attempt: int) -> Uplink:
        """The line that takes the `attempt`-th BU: a registered one of the best priority first, then each in turn."""
        registered = {uplink.bid for uplink in self.registered()}
        usable = [self.uplinks[line.bid] for line in self.usable()]
        usable.sort(key=lambda uplink: (uplink.bid not in registered, uplink.priority, uplink.bid))
        return usable[attempt % len(usable)]


def _paths(uplinks: list[Uplink]) -> tuple[UplinkPath, ...]:
    return tuple(
        UplinkPath(uplink.bid, uplink.interface, uplink.care_of, uplink.gateway, uplink.weight)
        for uplink in uplinks
        if uplink.care_of is not None and uplink.gateway is not None
    )
