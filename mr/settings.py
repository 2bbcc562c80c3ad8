"""What the mobile router's pure part needs to know from the configuration, as plain values.

Owns no defaults and no checks (`config.py` does). Addresses are 16 octets.
"""

from dataclasses import dataclass, replace

from dataplane.entry import Prefix


@dataclass(frozen=True, slots=True)
class LineSettings:
    """One configured line. `gateway` is None when the kernel's default route decides."""

    bid: int
    name: str
    interface: str
    weight: int
    priority: int
    gateway: bytes | None


@dataclass(frozen=True, slots=True)
class Settings:
    """One mobile router: who it is, whom it registers with, over which lines.

    `explicit`: name the mobile network prefixes in each registration (RFC 3963 explicit mode). `home_agent` is the one
    to register with, `home_agents` all that may be tried; usually there is one, whose address all sites share.
    """

    home_address: bytes
    home_agent: bytes
    prefixes: tuple[Prefix, ...]
    explicit: bool
    lifetime_s: int
    mn_identifier: bytes
    lines: tuple[LineSettings, ...]
    home_agents: tuple[bytes, ...] = ()

    def next_home_agent(self) -> "Settings":
        """The same with the home agent behind the present one, in a circle."""
        if self.home_agent not in self.home_agents:
            return self
        at = self.home_agents.index(self.home_agent) + 1
        return replace(self, home_agent=self.home_agents[at % len(self.home_agents)])
