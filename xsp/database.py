"""Opens the registry's database: one writer at a time, every change one transaction with its audit entry.

Owns connections, transactions, idempotency and dry runs. SQLite in WAL mode; `BEGIN IMMEDIATE` takes the write lock
first, so that what is chosen in a transaction is still free when it is written.
"""

import datetime
import getpass
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.orm import Session

from xsp.errors import Refused
from xsp.exits import Exit
from xsp.tables import ONLY_TABLES_MISSING, SCHEMA, AuditRow, DoneRow, Setting, Table

BUSY_TIMEOUT_S = 5.0
Result = TypeVar("Result")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """How a change is to be made: for trial only, with which reason in the audit, and under which idempotency key."""

    dry_run: bool = False
    reason: str = ""
    idempotency_key: str | None = None


class Database:
    """A registry's database by URL. Raises: Refused for a URL that it cannot use."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise Refused(
                f"{url!r} is no database URL", "Write it as sqlite:////path/to/registry.db", Exit.USAGE
            ) from error
        if parsed.get_backend_name() != "sqlite" or not parsed.database:
            raise Refused(
                f"{url!r} is not a SQLite file", "Use sqlite:////path; PostgreSQL is not there yet", Exit.USAGE
            )
        self.path = Path(parsed.database)
        self.url = url
        self._engine = _engine(url)

    @property
    def key_file(self) -> Path:
        """Where the key of the secrets lies."""
        return self.path.with_name(self.path.name + ".key")

    def create(self) -> None:
        """Make an empty registry. Raises: Refused if there is one, or it cannot be made."""
        if self.path.exists():
            raise Refused(f"{self.path} is there already", "Use it, or name another with --database", Exit.CONFLICT)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            what = f"{self.path} cannot be made ({error.strerror})"
            raise Refused(what, "Name another place with --database, or run as root", Exit.UNREACHABLE) from error
        Table.metadata.create_all(self._engine)

    def remove(self) -> None:
        """Take back what `create` made."""
        self._engine.dispose()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction that is rolled back unless committed. Raises: Refused if the database cannot be used."""
        try:
            with Session(self._engine) as session:
                yield session
        except OperationalError as error:
            raise _unusable(self.path, error) from error
        except DatabaseError as error:
            raise Refused(
                f"{self.path} is no registry ({error.orig})", "Name the right file with --database", 3
            ) from error

    def check(self) -> None:
        """Refuse a database that is missing, not initialised or of another schema. Raises: Refused."""
        if not self.path.exists():
            remedy = "Run 'xsp init' first, or name the right file with --database"
            raise Refused(f"the registry {self.path} does not exist", remedy, Exit.UNREACHABLE)
        with self.session() as session:
            if not inspect(session.connection()).has_table("setting"):
                raise Refused(
                    f"{self.path} is not initialised", "Run 'xsp init' with another --database", Exit.UNREACHABLE
                )
            found = session.get(Setting, "schema")
            if found is not None and found.value in map(str, ONLY_TABLES_MISSING):
                Table.metadata.create_all(session.connection())
                found.value = str(SCHEMA)
                session.commit()
            if found is None or found.value != str(SCHEMA):
                what = f"{self.path} has schema {found.value if found else 'none'}, this program needs {SCHEMA}"
                raise Refused(what, "Use the release that made it", Exit.UNREACHABLE)

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Ask something."""
        with self.session() as session:
            return work(session)

    def change(self, action: str, subject: str, work: Callable[[Session], Json], options: ChangeOptions) -> Json:
        """Carry out `work` with its audit entry in one transaction; with a known idempotency key, return what it gave.

        Raises: Refused; then nothing was changed.
        """
        name = f"{action} {subject}"
        with self.session() as session:
            if options.idempotency_key and (done := session.get(DoneRow, options.idempotency_key)):
                if done.action != name:
                    what = f"the idempotency key {options.idempotency_key!r} was used for '{done.action}'"
                    raise Refused(what, "Use a new key for a new command", Exit.CONFLICT)
                known: Json = json.loads(done.result)
                return known
            result = work(session)
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            session.add(AuditRow(at=now, actor=_actor(), action=action, subject=subject, reason=options.reason))
            if options.idempotency_key:
                session.add(DoneRow(key=options.idempotency_key, action=name, result=json.dumps(result)))
            if options.dry_run:
                session.flush()
                session.rollback()
            else:
                session.commit()
        return result


def _engine(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _unusable(path: Path, error: OperationalError) -> Refused:
    reason = str(error.orig)
    if "locked" in reason or "busy" in reason:
        return Refused(f"{path} is locked by another process", "Try again in a moment", Exit.UNREACHABLE)
    return Refused(f"{path} cannot be used ({reason})", "Check the file, its folder and its disk", Exit.UNREACHABLE)


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
