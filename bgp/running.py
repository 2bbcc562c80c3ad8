"""The copies of bgp.toml and exabgp.conf that ExaBGP and its bridge really read, below the run directory.

Owns these copies. Refuses to put anything there that was not tried: what an operator renders into the configuration
directory may be wrong or half written, and a bridge that is respawned between two files would not know a neighbour that
still has our route. So both programs read only what the supervisor has checked, and each file changes at once.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from bgp import blocks
from bgp.config import Config, show
from bgp.errors import BgpError
from bgp.memory import MEMORY, Memory

DIRECTORY = "running"
CANDIDATE = "candidate-"  # before the names of what is being tried
EXABGP_CONF, BGP_TOML = "exabgp.conf", "bgp.toml"


@dataclass(frozen=True, slots=True)
class Running:
    """Where the copies are; `group` may read them beside their owner, None leaves the group alone."""

    directory: Path
    group: int | None
    prefix: str = ""

    @property
    def exabgp_configuration(self) -> Path:
        """What ExaBGP reads."""
        return self.directory / (self.prefix + EXABGP_CONF)

    @property
    def bridge_configuration(self) -> Path:
        """What the bridge reads."""
        return self.directory / (self.prefix + BGP_TOML)

    @property
    def memory(self) -> Path:
        """What a new bridge must know of those before it."""
        return self.directory / MEMORY

    @property
    def candidate(self) -> "Running":
        """The files beside them that are tried before they are used."""
        return replace(self, prefix=CANDIDATE)

    def write(self, config: Config, exabgp: str) -> None:
        """Use these from the next time that they are read. Raises: BgpError."""
        self.write_bridge(config)
        self.write_exabgp(exabgp)

    def write_bridge(self, config: Config) -> None:
        """What the bridge is told. Raises: BgpError."""
        self._replace(self.bridge_configuration, show(config))

    def write_exabgp(self, text: str) -> None:
        """What ExaBGP is told; its bridge will read our copy. Raises: BgpError."""
        self._replace(self.exabgp_configuration, blocks.aimed(text, str(self.bridge_configuration)))

    def write_memory(self, memory: Memory) -> None:
        """For the next bridge. Raises: BgpError."""
        self._replace(self.memory, memory.encode())

    def _replace(self, file: Path, text: str) -> None:
        fresh = file.with_name(file.name + ".new")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.directory.chmod(0o755)
            fresh.unlink(missing_ok=True)
            # MD5 passwords may stand there: its owner, and the group of ExaBGP's user.
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(text)
            if self.group is not None:
                os.chown(fresh, -1, self.group)
                fresh.chmod(0o640)
            fresh.replace(file)
        except OSError as error:
            raise BgpError(f"{file} cannot be written: {error}", "run as root, or correct bgp.toml") from error
