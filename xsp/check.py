"""Proves rendered files with the parsers and programs that will read them, before they reach their place.

Owns which file is read by what. The only file of this folder that knows the daemons' configuration.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import bgp.config
import ha.config
import mr.config
from bgp.errors import BgpError
from xsp.errors import Refused
from xsp.model import File

EXABGP_TIMEOUT_S = 20


def check(files: Mapping[str, File]) -> None:
    """Read each file as its program will. Raises: Refused naming the first that its reader does not accept."""
    with tempfile.TemporaryDirectory(prefix="xsp-check-") as directory:
        for name, file in files.items():
            reader = _READERS.get(name)
            if reader is None:
                continue
            path = Path(directory) / name
            path.write_text(file.text)
            try:
                reader(path)
            except (BgpError, ha.config.ConfigRefused, mr.config.ConfigurationError, _NotValid) as error:
                remedy = "This is an error of xsp or of a value in the registry; nothing was written"
                raise Refused(f"the rendered {name} would not be accepted: {error}", remedy) from error


class _NotValid(Exception):
    pass


def _exabgp(path: Path) -> None:
    command = [sys.executable, "-m", "exabgp", "validate", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=EXABGP_TIMEOUT_S, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise _NotValid(said[-1] if said else f"exabgp validate exited {done.returncode}")


def _home_agent(path: Path) -> None:
    ha.config.load(path)


def _speaker(path: Path) -> None:
    bgp.config.load(path)


def _router(path: Path) -> None:
    mr.config.parse(path.read_text(), path)


_READERS: dict[str, Callable[[Path], None]] = {
    "ha.toml": _home_agent,
    "bgp.toml": _speaker,
    "exabgp.conf": _exabgp,
    "mr.toml": _router,
}
