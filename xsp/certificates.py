"""The sites' certificates in the registry: issued, revoked, and what a site is given of them.

Owns the transactions. The authority is made at its first use; its key and the sites' keys lie encrypted in the registry
and leave it only in a site's rendered `site.key`. A new certificate replaces none: the old one stays good until it ends
or is revoked, so that a site may take the new one over when it likes. Returns plain JSON values without keys.
"""

import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from xsp import authority
from xsp.database import ChangeOptions, Database, Json
from xsp.errors import Refused
from xsp.exits import Exit
from xsp.model import SiteCertificates
from xsp.tables import CertificateRow, Setting, SiteRow
from xsp.vault import Vault

DEFAULT_DAYS = 397  # a year and a month: renewed once a year, with time left to be late
MAX_DAYS = 825


class Certificates:
    """The authority and the certificates in a registry's database."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def issue(self, site: str, days: int, options: ChangeOptions) -> Json:
        """A new certificate for a site. Raises: Refused."""
        if not 1 <= days <= MAX_DAYS:
            raise Refused(f"{days} days are no lifetime for a certificate", f"Use 1 to {MAX_DAYS}", Exit.USAGE)

        def issue(session: Session) -> Json:
            _check_site(session, site)
            return issue_in(session, self._vault, site, days)

        return self._database.change("site issue-certificate", site, issue, options)

    def revoke(self, site: str, serial: str | None, options: ChangeOptions) -> Json:
        """Revoke a site's certificate of this serial number, or all that are good. Raises: Refused if none is."""

        def revoke(session: Session) -> Json:
            _check_site(session, site)
            good = [row for row in _good(session, site) if serial in (None, row.serial)]
            if not good:
                which = "no certificate" if serial is None else f"no good certificate {serial}"
                raise Refused(f"{site} has {which} to revoke", "See 'xsp site certificates' for those it has")
            for row in good:
                row.revoked_at = _now().isoformat()
            return {"site": site, "revoked": [row.serial for row in good]}

        return self._database.change("site revoke-certificate", site, revoke, options)

    def list(self, site: str) -> list[Json]:
        """All certificates of a site, oldest first. Raises: Refused."""

        def ask(session: Session) -> list[Json]:
            _check_site(session, site)
            rows = session.scalars(
                select(CertificateRow).where(CertificateRow.site == site).order_by(CertificateRow.id)
            )
            return [
                {
                    "serial": row.serial,
                    "issued_at": row.issued_at,
                    "not_after": row.not_after,
                    "state": "revoked" if row.revoked_at else "good" if _time(row.not_after) > _now() else "over",
                }
                for row in rows
            ]

        return self._database.read(ask)

    def of_site(self, site: str) -> SiteCertificates | None:
        """The newest good certificate of a site and what it is checked with; None if it has none."""

        def ask(session: Session) -> SiteCertificates | None:
            good = _good(session, site)
            if not good:
                return None
            text, key = _authority(session, self._vault)
            return SiteCertificates(
                text,
                good[-1].certificate,
                self._vault.unlock(good[-1].key).decode(),
                authority.revocation_list(text, key, _revoked(session)),
            )

        return self._database.read(ask)


def issue_in(session: Session, vault: Vault, site: str, days: int = DEFAULT_DAYS) -> Json:
    """Issue within a transaction: a site has its first certificate from the moment it is there. Raises: Refused."""
    text, key = _authority(session, vault)
    try:
        made = authority.new_site(site, text, key, days, _now())
    except ValueError as error:
        raise Refused(f"a certificate for {days} days cannot be issued: {error}", "Use fewer --days") from error
    row = CertificateRow(
        serial=made.serial,
        site=site,
        issued_at=_now().isoformat(),
        not_after=made.not_after.isoformat(),
        certificate=made.certificate,
        key=vault.lock(made.key),
        revoked_at="",
    )
    session.add(row)
    return {"site": site, "serial": made.serial, "not_after": made.not_after.isoformat()}


def _authority(session: Session, vault: Vault) -> tuple[str, bytes]:
    """The authority's certificate and key, made now if nobody needed them before."""
    known, key = session.get(Setting, "authority"), session.get(Setting, "authority_key")
    if known is not None and key is not None:
        return known.value, vault.unlock(key.value)
    made = authority.new_authority(int(session.get_one(Setting, "local_as").value), _now())
    session.add(Setting(name="authority", value=made.certificate))
    session.add(Setting(name="authority_key", value=vault.lock(made.key)))
    session.flush()
    return made.certificate, made.key


def _good(session: Session, site: str) -> list[CertificateRow]:
    """The certificates of a site that are neither revoked nor over, oldest first."""
    rows = session.scalars(select(CertificateRow).where(CertificateRow.site == site, CertificateRow.revoked_at == ""))
    return sorted((row for row in rows if _time(row.not_after) > _now()), key=lambda row: (row.issued_at, row.id))


def _revoked(session: Session) -> dict[str, datetime.datetime]:
    """The revoked certificates that are not over by themselves, and when."""
    rows = session.scalars(select(CertificateRow).where(CertificateRow.revoked_at != ""))
    return {row.serial: _time(row.revoked_at) for row in rows if _time(row.not_after) > _now()}


def _check_site(session: Session, name: str) -> None:
    if session.get(SiteRow, name) is None:
        raise Refused(f"there is no site {name}", "List them with 'xsp site list'")


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
