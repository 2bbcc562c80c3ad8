"""The data plane port in memory: for tests and simulation, under the same contract tests as the Linux driver."""

from collections.abc import Iterable, Mapping, Set

from dataplane.entry import ForwardingEntry, Prefix, SitePlan, Volume, contains
from dataplane.plan import refusal
from dataplane.port import ANYTHING, Disturbance
from dataplane.tunnel_errors import TunnelError

REFUSED = "refused on request"


class MemoryDataPlane:
    """Holds entries in a dict; `refuse` makes it refuse one home address, as a kernel out of memory would."""

    def __init__(self) -> None:
        self._entries: dict[bytes, ForwardingEntry] = {}
        self._refused: bytes | None = None
        self._plan: SitePlan | None = None

    def refuse(self, home_address: bytes | None) -> None:
        """From now on refuse changes for this home address; None: for nobody."""
        self._refused = home_address

    def prepare(self, plan: SitePlan) -> None:
        """See the port."""
        self._plan = plan

    def apply(self, wanted: Mapping[bytes, ForwardingEntry | None]) -> dict[bytes, str | None]:
        """See the port."""
        results: dict[bytes, str | None] = {}
        for home_address, entry in wanted.items():
            why = REFUSED if home_address == self._refused else refusal(home_address, entry) if entry else None
            results[home_address] = why
            if why is not None:
                continue
            if entry is None:
                self._entries.pop(home_address, None)
            else:
                self._entries[home_address] = entry
        return results

    def reconcile(
        self, wanted: Mapping[bytes, ForwardingEntry], disturbed: Set[Disturbance] = ANYTHING
    ) -> dict[bytes, str | None]:
        """See the port."""
        for stray in self._entries.keys() - wanted.keys():
            del self._entries[stray]
        return self.apply(wanted)

    def read(self) -> dict[bytes, ForwardingEntry]:
        """See the port."""
        return dict(self._entries)

    def expire(self, now: float) -> float | None:
        """See the port: nothing lingers here."""
        return None

    def counters(self) -> dict[str, int]:
        """See the port."""
        return {"entries": len(self._entries)}

    def volumes(self, prefixes: Iterable[Prefix] | None) -> dict[Prefix, Volume]:
        """See the port: no packet passes here."""
        return {}

    def forget(self, prefixes: Iterable[Prefix]) -> None:
        """See the port: nothing was counted."""

    def egress_present(self) -> bool:
        """See the port."""
        return self._plan is None or bool(self._plan.egresses)

    def owns(self, error: TunnelError) -> bool:
        """See the port."""
        users = (entry for entry in self._entries.values() if error.exit in {path.care_of for path in entry.paths})
        prefixes = (prefix for entry in users for prefix in (Prefix(entry.home_address, 128), *entry.prefixes))
        return any(contains(prefix, error.inner_destination) for prefix in prefixes)

    def disturbances(self) -> set[Disturbance]:
        """See the port: nobody else gets here."""
        return set()

    def purge(self) -> None:
        """See the port."""
        self._entries.clear()
