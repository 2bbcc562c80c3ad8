"""Reads the MN-HA key from its own file.

Owns the rules for that file: regular, 0600 or less, owned by root or by us, base64 in one line. Never prints what is
in it.
"""

import base64
import binascii
import os
import stat
from pathlib import Path

from mip6.auth import SecurityAssociation
from mr.config import Configuration, ConfigurationError

MIN_KEY_OCTETS = 16  # RFC 4285 5.5: 128 bits
MAX_FILE_OCTETS = 4096


def association(configuration: Configuration, file: Path) -> SecurityAssociation:
    """The security association of `configuration`, which came from `file`.

    Raises: ConfigurationError naming the key and the remedy.
    """
    path = configuration.key.secret_file
    try:
        with path.open("rb") as secret_file:
            status = os.fstat(secret_file.fileno())
            text = secret_file.read(MAX_FILE_OCTETS)
    except OSError as error:
        problem = f"cannot read {path}: {error.strerror}"
        raise ConfigurationError(file, "key.secret_file", problem, "Install the key file of this customer") from error
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        problem = f"{path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})"
        raise ConfigurationError(file, "key.secret_file", problem, f"Run: chmod 0600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        problem = f"{path} belongs to another user (uid {status.st_uid})"
        raise ConfigurationError(file, "key.secret_file", problem, f"Run: chown root {path}")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < MIN_KEY_OCTETS:
        problem = f"{path} does not hold a key of at least {MIN_KEY_OCTETS} octets in base64"
        raise ConfigurationError(file, "key.secret_file", problem, "Render the customer's files again")
    return SecurityAssociation(configuration.key.spi, configuration.key.algorithm, key)
