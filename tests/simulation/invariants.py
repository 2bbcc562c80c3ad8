"""What must hold at every instant, and in the end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha.effects import Effect
from ha.events import Event
from mr.events import SendBindingUpdate

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.router import Router
    from tests.simulation.world import World


class Watch:
    """Looks on."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def born(self, machine: "Machine") -> None: ...
    def recovered(self, machine: "Machine") -> None: ...
    def died(self, machine: "Machine") -> None: ...
    def handled(self, machine: "Machine", event: Event, done: Sequence[Effect]) -> None: ...
    def announcement_changed(self, machine: "Machine") -> None: ...
    def updated(self, router: "Router", update: SendBindingUpdate) -> None: ...
    def taken(self, router: "Router", care_of: bytes) -> None: ...
    def withdrawn(self, router: "Router", care_of: bytes) -> None: ...
