"""How the registry keeps what a site is in its set, and changes it: each change one transaction."""

from sqlalchemy.orm import Session

from xsp.database import ChangeOptions, Database, Json
from xsp.errors import Refused
from xsp.model import Role, Site
from xsp.tables import ReflectorRow, SiteRow


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
