"""Who talks to whom in a set of home agents. Pure.

Without a reflector the sites of a set form a full mesh; with one or more a star: home agents that are no reflectors
talk to reflectors alone, these to everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xsp.model import Role, Site


@dataclass(frozen=True, slots=True)
class Peer:
    """Another site as this one is told of it; `beyond`: it is heard by way of reflectors only."""

    site: Site
    beyond: bool

    @property
    def reflects(self) -> bool:
        """Whether it passes on what others say."""
        return self.site.role is not Role.HOME_AGENT


def peers(here: Site, others: Sequence[Site]) -> list[Peer]:
    """How a site reaches the others of its set."""
    is_star = any(one.role is not Role.HOME_AGENT for one in (here, *others))
    is_client = is_star and here.role is Role.HOME_AGENT
    return [Peer(one, beyond=is_client and one.role is Role.HOME_AGENT) for one in others]
