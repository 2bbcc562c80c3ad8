"""Keeps secrets in the registry unreadable without the key file beside it (`<database>.key`, 0600)."""

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from xsp.errors import Refused
from xsp.exits import Exit


class Vault:
    """Encrypts and decrypts with one key."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)

    @classmethod
    def create(cls, path: Path) -> "Vault":
        """Make a key file that nobody had before. Raises: Refused if there is one."""
        key = Fernet.generate_key()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            remedy = "Use another --database, or remove the old key file if you are sure that nothing needs it"
            raise Refused(f"the key file {path} is there already", remedy, Exit.CONFLICT) from error
        with open(descriptor, "wb") as stream:
            stream.write(key + b"\n")
        return cls(key)

    @classmethod
    def open(cls, path: Path) -> "Vault":
        """Read the key file. Raises: Refused if it is missing, unreadable or open to others."""
        try:
            if path.stat().st_mode & 0o077:
                raise Refused(f"the key file {path} can be read by others", f"Run: chmod 600 {path}")
            return cls(path.read_bytes().strip())
        except OSError as error:
            what = f"the key file {path} cannot be read ({error.strerror})"
            raise Refused(what, "Restore it from where you keep it beside the database", Exit.UNREACHABLE) from error
        except ValueError as error:
            raise Refused(f"the key file {path} holds no key", "Restore it from a backup", Exit.UNREACHABLE) from error

    def lock(self, secret: bytes) -> str:
        """A secret as it may stand in the database."""
        return self._fernet.encrypt(secret).decode()

    def unlock(self, locked: str) -> bytes:
        """The secret again. Raises: Refused if the key is not the one it was locked with."""
        try:
            return self._fernet.decrypt(locked.encode())
        except InvalidToken as error:
            what = "the key file does not fit this database"
            raise Refused(what, "Restore the key file that was made with it", Exit.UNREACHABLE) from error
