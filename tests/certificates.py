"""An office's authority for tests: real certificates of real sites, also expired, revoked and foreign ones."""

import datetime
from pathlib import Path

from ha import credentials
from ha.credentials import Credentials
from xsp import authority
from xsp.authority import Issued

YEAR = datetime.timedelta(days=365)


class Authority:
    """An authority that is three years old, its files in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
        self._made = authority.new_authority(64500, self.now - 3 * YEAR)
        self.certificate = directory / "ca.pem"
        self.certificate.write_text(self._made.certificate)
        self._revoked: dict[str, datetime.datetime] = {}
        self.revoked = directory / "revoked.pem"
        self._write_list()

    def issue(self, site: str, days: int = 397, ago: datetime.timedelta = datetime.timedelta(0)) -> Issued:
        """A certificate, its files `SITE.pem` and `SITE.key`."""
        made = authority.new_site(site, self._made.certificate, self._made.key, days, self.now - ago)
        (self.directory / f"{site}.pem").write_text(made.certificate)
        (self.directory / f"{site}.key").write_bytes(made.key)
        return made

    def revoke(self, issued: Issued) -> None:
        """Put it on the list."""
        self._revoked[issued.serial] = self.now
        self._write_list()

    def load(self, site: str) -> Credentials:
        """What the site uses, as its files are now."""
        own, key = self.directory / f"{site}.pem", self.directory / f"{site}.key"
        return credentials.load(self.certificate, own, key, self.revoked, site)

    def site(self, site: str, days: int = 397, ago: datetime.timedelta = datetime.timedelta(0)) -> Credentials:
        """A new certificate, loaded."""
        self.issue(site, days, ago)
        return self.load(site)

    def _write_list(self) -> None:
        self.revoked.write_text(authority.revocation_list(self._made.certificate, self._made.key, self._revoked))
