"""Which file of a lab lies where in its run folder. Pure paths.

etc/<site>/      what `xsp render --site` wrote, and the published customer table
etc/<customer>/  what `xsp render --customer` wrote
state/, run/     what the daemons keep, and their sockets, a folder each
frr/<node>/      FRR's files, owned by its user
logs/            one log a process
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one lab."""

    folder: Path

    @property
    def state_root(self) -> Path:
        """Where every daemon keeps its state."""
        return self.folder / "state"

    @property
    def run_root(self) -> Path:
        """Where every daemon has its sockets."""
        return self.folder / "run"

    @property
    def registry(self) -> Path:
        """The office's database."""
        return self.folder / "office" / "registry.sqlite"

    def etc(self, name: str) -> Path:
        """The configuration of a site or customer."""
        return self.folder / "etc" / name

    def frr(self, node: str) -> Path:
        """FRR's directory of a node."""
        return self.folder / "frr" / node

    def customer_table(self, site: str) -> Path:
        """Where a site reads its customer table."""
        return self.etc(site) / "customers.jsonl"

    def lease_socket(self, site: str) -> Path:
        """Where a site's bridge grants the lease."""
        return self.run_root / site / "lease.sock"

    def make(self) -> None:
        """Make the directories that others write into."""
        for path in (self.state_root, self.run_root, self.folder / "frr", self.folder / "etc", self.registry.parent):
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.chmod(0o755)
