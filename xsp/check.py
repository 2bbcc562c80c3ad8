"""Proves rendered files with the parsers and programs that will read them, before they reach their place.

Owns which file is read by what. The only file of this folder that knows the daemons' configuration.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path

import bgp.config
import ha.config
import ha.credentials
import mr.config
from bgp.errors import BgpError
from xsp import references
from xsp.errors import Refused
from xsp.model import File

EXABGP_TIMEOUT_S = 20
PROGRAM_TIMEOUT_S = 10


def check(files: Mapping[str, File]) -> None:
    """Read each file as its program will. Raises: Refused naming the first that its reader does not accept."""
    with tempfile.TemporaryDirectory(prefix="xsp-check-") as directory:
        for name, file in files.items():  # first all of them: some are read together
            (Path(directory) / name).touch(0o600)
            (Path(directory) / name).write_text(file.text)
        for name in files:
            reader = next((reader for pattern, reader in _READERS.items() if fnmatch(name, pattern)), None)
            if reader is None:
                continue
            try:
                reader(Path(directory) / name)
            except _REFUSALS as error:
                remedy = "This is an error of xsp or of a value in the registry; nothing was written"
                raise Refused(f"the rendered {name} would not be accepted: {error}", remedy) from error


class _NotValid(Exception):
    pass


_REFUSALS = (
    BgpError,
    ha.config.ConfigRefused,
    ha.credentials.CredentialsRefused,
    mr.config.ConfigurationError,
    _NotValid,
)


def _exabgp(path: Path) -> None:
    command = [sys.executable, "-m", "exabgp", "validate", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=EXABGP_TIMEOUT_S, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise _NotValid(said[-1] if said else f"exabgp validate exited {done.returncode}")


def _frr(path: Path) -> None:
    text = path.read_text()
    if missing := references.undefined(text):
        raise _NotValid(f"it refers to {', '.join(missing)}, which it does not define")
    if unfiltered := references.unfiltered(text):
        raise _NotValid(f"no route-map stands for what goes {'; '.join(unfiltered)}")
    # A private socket directory: nothing of an FRR that runs on this machine is asked or told.
    _run_if_there("vtysh", "--vty_socket", str(path.parent), "-C", "-f", str(path))


def _bird(path: Path) -> None:
    whole = path.with_name(path.name + ".whole")
    whole.write_text("router id 192.0.2.1;\n" + path.read_text())  # what a configuration of its own would have
    _run_if_there("bird", "-p", "-c", str(whole))


def _run_if_there(name: str, *words: str) -> None:
    """The neighbour's program is not needed at the office, but where it is it must understand us."""
    program = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    if program is None:
        return
    done = subprocess.run(
        [program, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=PROGRAM_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = " / ".join((done.stderr + done.stdout).split("\n"))
        raise _NotValid(said.strip(" /")[-300:] or f"{name} exited {done.returncode}")


def _home_agent(path: Path) -> None:
    config = ha.config.load(path)
    if (tls := config.tls) is not None:  # its paths are where the files will be; here they lie beside it
        named = (tls.authority, tls.certificate, tls.key, tls.revoked)
        authority, certificate, key, revoked = (path.with_name(file.name) for file in named)
        ha.credentials.load(authority, certificate, key, revoked, config.instance)


def _speaker(path: Path) -> None:
    bgp.config.load(path)


def _router(path: Path) -> None:
    mr.config.parse(path.read_text(), path)


_READERS: dict[str, Callable[[Path], None]] = {
    "ha.toml": _home_agent,
    "bgp.toml": _speaker,
    "exabgp.conf": _exabgp,
    "mr.toml": _router,
    "neighbour-*-frr.conf": _frr,
    "neighbour-*-bird.conf": _bird,
}
