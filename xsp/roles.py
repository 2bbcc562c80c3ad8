"""What a site is in its set: a home agent, a reflector of what the others say, or both. Each change one transaction.

Without a reflector the sites of a set form a full mesh; with one or more a star: home agents that are no reflectors
talk to reflectors alone, these to everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from xsp.database import ChangeOptions, Database, Json
from xsp.errors import Refused
from xsp.model import Role, Site
from xsp.tables import ReflectorRow, SiteRow


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


def new_row(site: Site) -> ReflectorRow | None:
    """What a new site's role is kept as."""
    return None if site.role is Role.HOME_AGENT else ReflectorRow(site=site.name, serves=site.role is Role.BOTH)


def of_row(row: SiteRow) -> Role:
    """The role of a site."""
    if row.reflector is None:
        return Role.HOME_AGENT
    return Role.BOTH if row.reflector.serves else Role.REFLECTOR


def change(database: Database, name: str, role: Role, options: ChangeOptions) -> Json:
    """Make a home agent a reflector as well, or no longer. Raises: Refused."""

    def change_role(session: Session) -> Json:
        row = session.get(SiteRow, name)
        if row is None:
            raise Refused(f"there is no site {name}", "List them with 'xsp site list'")
        if Role.REFLECTOR in (role, of_row(row)):
            what = f"{name} cannot become {role}: a reflector alone has neither gateway nor neighbours"
            raise Refused(what, "Add a new site instead")
        if row.reflector is not None:
            session.delete(row.reflector)
            session.flush()
            session.refresh(row)
        if role is Role.BOTH:
            session.add(ReflectorRow(site=name, serves=True))
        return {"site": name, "role": str(role)}

    return database.change("site role", name, change_role, options)
