"""The few calls every driver offers. State-based: name what should be, whatever was there before.

Twice changes nothing.
"""

from collections.abc import Iterable, Mapping, Set
from enum import StrEnum
from typing import Protocol

from dataplane.entry import ForwardingEntry, Prefix, RouterPlan, SitePlan, UplinkPath, Volume
from dataplane.tunnel_errors import TunnelError

CHECK_LINGER_S = 2.0  # a filter entry outlives its route so long, for packets under way


class Disturbance(StrEnum):
    """What of ours somebody else changed."""

    RULES = "rules"
    EGRESS = "egress"
    FILTERS = "filters"
    ROUTES = "routes"
    NEXTHOPS = "nexthops"
    OVERRUN = "overrun"  # more was changed than could be told: anything


ANYTHING: frozenset[Disturbance] = frozenset(Disturbance)


class DataPlane(Protocol):
    """The home agent's side. Every call but `apply` may raise DataPlaneError."""

    def prepare(self, plan: SitePlan) -> None:
        """Make everything that does not depend on customers. Idempotent; loses no packet when all is there."""

    def apply(self, wanted: Mapping[bytes, ForwardingEntry | None]) -> dict[bytes, str | None]:
        """Make these entries so (None: nothing). Home address -> None, or why not.

        A customer is changed entirely or stays as it was, and a refusal of one never blocks another.
        """

    def reconcile(
        self, wanted: Mapping[bytes, ForwardingEntry], disturbed: Set[Disturbance] = ANYTHING
    ) -> dict[bytes, str | None]:
        """Make the kernel hold exactly `wanted` of ours; what is right is not touched.

        What may have been `disturbed` is compared with the kernel's dump; the rest is as it was made.
        """

    def read(self) -> dict[bytes, ForwardingEntry]:
        """What the kernel holds, by its dump."""

    def expire(self, now: float) -> float | None:
        """Take out filter entries that lingered long enough; when to call again, on the same clock."""

    def counters(self) -> dict[str, int]:
        """Drops by reason and objects in use, as the kernel counts them. May run in a thread beside any other call."""

    def volumes(self, prefixes: Iterable[Prefix] | None) -> dict[Prefix, Volume]:
        """What was counted for each of these prefixes, or for all (None); those without a packet are left out.

        May run in a thread beside any other call.
        """

    def forget(self, prefixes: Iterable[Prefix]) -> None:
        """Count anew for these prefixes, which were somebody's and are not any more."""

    def egress_present(self) -> bool:
        """Does a default route lead out of the site? One that the kernel took away with its interface is put back.

        May run beside any other call, for whose end it never waits.
        """

    def owns(self, error: TunnelError) -> bool:
        """Is this ICMPv6 error about a packet tunnelled to one of our customers? Whoever sent it will be told."""

    def disturbances(self) -> set[Disturbance]:
        """What somebody else changed since the last call; `prepare` and `reconcile` repair it."""

    def purge(self) -> None:
        """Remove exactly what is ours."""


class RouterPlane(Protocol):
    """The mobile router's side. Every call may raise DataPlaneError."""

    def prepare(self, plan: RouterPlan) -> None:
        """Make everything that does not depend on which lines work. Idempotent."""

    def set_lines(self, lines: tuple[UplinkPath, ...]) -> None:
        """Let what comes from the care-of address of each of these lines, and of no other, leave by that line."""

    def apply(self, uplinks: tuple[UplinkPath, ...]) -> None:
        """Spread outgoing traffic over exactly these lines; none: answer unreachable."""

    def owns(self, error: TunnelError) -> bool:
        """Is this ICMPv6 error about a packet that we tunnelled for our networks? Whoever sent it will be told."""

    def counters(self) -> dict[str, int]:
        """Drops by reason, as the kernel counts them."""

    def purge(self) -> None:
        """Remove exactly what is ours."""
