"""The secrets that `xsp render` wrote for this site: read at the start, some again when they changed. An edge."""

import base64
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from ha import credentials
from ha.config import Config, Member
from ha.credentials import DAY_S, Credentials, CredentialsRefused
from runtime import exits, log
from runtime.counters import Counters


class CredentialFiles:
    """By what this site proves its name, and how long it can. `now`: those in force; None in plain TCP."""

    def __init__(self, config: Member, counters: Counters) -> None:
        self._config, self._counters = config, counters
        self._said_at: float | None = None
        self._seen = self._read = self._stamp()
        try:
            self.now = self._load()
        except CredentialsRefused as error:
            remedy = f"Run 'xsp site issue-certificate {config.instance}' and 'xsp render', or repair the files"
            exits.fail(f"this site cannot prove its name to its peers: {error.why}", remedy, exits.MISSING)
        if config.peer and self.now is None:
            log.get().warning("the peers are talked to in plain TCP: nobody proves who he is, and everybody can listen")

    def newer(self, *, asked: bool) -> Credentials | None:
        """Those of files that changed, or that were asked for; bad ones are said, counted and left alone.

        They are several files: a change counts only when they are the same at two looks.
        """
        stamp, before = self._stamp(), self._seen
        self._seen = stamp
        if self.now is None or not (asked or (stamp == before and stamp != self._read)):
            return None
        self._read = stamp
        try:
            self.now = self._load()
        except CredentialsRefused as error:
            self._counters.add("credentials_refused")
            log.get().error("credentials refused, the old ones stay", why=error.why)
            return None
        self._said_at = None
        log.get().info("credentials loaded", **self.status())
        return self.now

    def alarm(self) -> str:
        """What somebody must do something about, said in the log once a day; empty if all is well."""
        wall = time.time()
        if self.now is None or (found := self.now.alarm(wall)) is None:
            return ""
        level, sentence = found
        if self._said_at is None or wall - self._said_at >= DAY_S:
            self._said_at = wall
            remedy = f"run 'xsp site issue-certificate {self._config.instance}' and 'xsp render'"
            getattr(log.get(), level)(sentence, remedy=remedy)
        return sentence

    def status(self) -> dict[str, Any]:
        """The section of the status document."""
        if self.now is None:
            return {"transport": self._config.transport}
        wall = time.time()
        return {
            "transport": self._config.transport,
            "certificate": f"{self.now.serial:x}",
            "not_after": datetime.fromtimestamp(self.now.not_after, UTC).isoformat(),
            "days_left": self.now.days_left(wall),
            "revoked": len(self.now.revoked),
            "alarm": self.alarm(),
        }

    def _load(self) -> Credentials | None:
        tls = self._config.tls
        if tls is None:
            return None
        return credentials.load(tls.authority, tls.certificate, tls.key, tls.revoked, self._config.instance)

    def _stamp(self) -> tuple[tuple[int, int] | None, ...]:
        tls = self._config.tls
        if tls is None:
            return ()
        stamps: list[tuple[int, int] | None] = []
        for path in (tls.authority, tls.certificate, tls.key, tls.revoked):
            try:
                found = path.stat()
                stamps.append((found.st_mtime_ns, found.st_ino))
            except OSError:
                stamps.append(None)
        return tuple(stamps)


def cookie_key(config: Config) -> bytes:
    """The secret of the care-of test. Without a file each start of each site has its own, and proofs don't travel."""
    if config.cookie_key_file is None:
        return secrets.token_bytes(32)
    try:
        return base64.b64decode(config.cookie_key_file.read_text().strip(), validate=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not base64"
        what = f"the cookie key {config.cookie_key_file} cannot be read ({why})"
        exits.fail(what, "Render the site's files anew with 'xsp render'", exits.MISSING)
