"""How ExaBGP is started: without rights, with a known environment, and never without its supervisor.

Owns the command line (setpriv), the environment, the run-time directories, and the checks made before the first start.
Refuses ExaBGP before 5.0, a configuration that does not validate, and a bridge that the unprivileged user cannot run:
found out beforehand, each is one sentence; found out later, it is a site that is not announced.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bgp import blocks
from bgp import running as running_files
from bgp.config import Config
from bgp.errors import BgpError
from bgp.running import Running
from runtime.exits import CONFLICT, MISSING

CHECK_TIMEOUT_S = 30.0

# What decides how ExaBGP behaves, whatever stands in an exabgp.env beside the interpreter.
SETTINGS = {
    "exabgp_api_ack": "true",  # a command without its `done` would block us
    "exabgp_api_cli": "false",  # named pipes for a command-line client we never use
    "exabgp_api_respawn": "true",
    "exabgp_api_show-routes-format": "v2",  # with their attributes
    "exabgp_api_terminate": "false",
    "exabgp_daemon_daemonize": "false",
    "exabgp_log_destination": "stderr",
    "exabgp_log_level": "INFO",
    "exabgp_log_statistics": "false",  # a line for every keepalive
    "exabgp_tcp_bind": "",  # we connect, neighbours are passive: nothing to listen on, no privileged port
}


def environment(user: str) -> dict[str, str]:
    """The whole environment of ExaBGP and the bridge."""
    return {"PATH": os.defpath, "HOME": "/", "LANG": "C.UTF-8", "exabgp_daemon_user": user, **SETTINGS}


def unprivileged(user: str, command: Sequence[str]) -> list[str]:
    """`command` without rights, killed by the kernel when we die. The signal is set last: changing uid clears it.

    Raises: BgpError if the user or setpriv is missing.
    """
    program = shutil.which("setpriv")
    if program is None:
        raise BgpError("setpriv is missing", "install util-linux", MISSING)
    words = [program, "--no-new-privs", "--pdeathsig", "KILL"]
    if os.geteuid() == 0:
        account = _account(user)
        words += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        words += ["--inh-caps=-all", "--bounding-set=-all"]
    return [*words, "--", *command]


def exabgp(*words: str) -> list[str]:
    """ExaBGP with our own interpreter, isolated from the current directory and the user's site."""
    return [sys.executable, "-I", "-m", "exabgp", *words]


def _account(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise BgpError(f"there is no user {user!r}", "name an existing user in bgp.toml", MISSING) from error


def exabgp_version() -> str:
    """The installed version.

    Raises: BgpError if it is missing or too old.
    """
    try:
        version = metadata.version("exabgp")
    except metadata.PackageNotFoundError as error:
        raise BgpError("ExaBGP is not installed", "install exabgp 5 beside xsp-bgp", MISSING) from error
    if version.split(".")[0] != "5":
        raise BgpError(f"ExaBGP {version} is not version 5", "install exabgp 5 beside xsp-bgp", MISSING)
    return version


def prepare(config: Config) -> None:
    """Make the run-time directories; the bridge's own one belongs to the user of ExaBGP.

    Raises: BgpError; also if the lease socket is somebody else's: its holder would find us, and they none.
    """
    directory = config.bridge_socket.parent
    _leave_others_alone(config)
    try:
        config.state_directory.mkdir(parents=True, exist_ok=True)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        if os.geteuid() == 0:
            account = _account(config.user)
            os.chown(directory, account.pw_uid, account.pw_gid)
        if config.lease_socket != config.bridge_socket:
            config.lease_socket.parent.mkdir(parents=True, exist_ok=True)
            fresh = config.lease_socket.with_name(config.lease_socket.name + ".new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(config.bridge_socket)
            fresh.replace(config.lease_socket)
    except OSError as error:
        raise BgpError(
            f"the run-time directories cannot be made: {error}", "run as root, or correct bgp.toml"
        ) from error
    remedy = f"open the directories above it for user {config.user} (chmod a+x)"
    _try(config.user, ["test", "-w", str(directory)], f"user {config.user} cannot write to {directory}", remedy)


def _leave_others_alone(config: Config) -> None:
    """Raises: BgpError if another bridge listens where our lease socket is to be. Our own run directory is locked."""
    place = config.lease_socket
    if os.path.realpath(place) == os.path.realpath(config.bridge_socket):
        return
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):  # nobody there
        probe.connect(str(place))
        remedy = "stop it, or give each its own lease_socket in bgp.toml"
        raise BgpError(f"another xsp-bgp serves the lease socket {place}", remedy, CONFLICT)


def is_child(pid: int, parent: int) -> bool:
    """Whether that process lives and is a child of the other."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == parent
    except (OSError, ValueError, IndexError):
        return False


def own_socket(config: Config) -> None:
    """Take over the lease socket's file from the bridge's user, so that a daemon with our uid but without
    CAP_DAC_OVERRIDE can connect; the bridge may still replace it, as the directory is its own."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # the bridge is replacing it: the next one answers soon
            os.chown(config.bridge_socket, 0, 0, follow_symlinks=False)


def running(config: Config) -> Running:
    """Where the copies that ExaBGP and the bridge read are. Raises: BgpError if there is no such user."""
    group = _account(config.user).pw_gid if os.geteuid() == 0 else None
    return Running(config.run_directory / running_files.DIRECTORY, group)


def check(config: Config) -> str:
    """Everything that can be known before ExaBGP reads a configuration; returns the text of that, as it was tried.

    Raises: BgpError.
    """
    file = config.exabgp_configuration
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BgpError(f"{file} cannot be read: {error}", "make it readable") from error
    candidate = running(config).candidate
    candidate.write(config, text)
    tried = candidate.exabgp_configuration
    run = blocks.BRIDGE.search(tried.read_text(encoding="utf-8"))
    assert run is not None, "or the candidate would not have been written"
    words = run.group(1).split()
    remedy = f"make the interpreter and the programs readable for user {config.user}"
    _try(config.user, [*words, "-n"], f"user {config.user} cannot run {words[0]} bridge", remedy)
    _try(config.user, exabgp("validate", str(tried)), f"ExaBGP refuses {file}", "render it anew, or correct it")
    _compare_neighbours(config, text)
    return text


def _compare_neighbours(config: Config, text: str) -> None:
    """A neighbour in one file only would be told nothing, or nothing be known of it. Raises: BgpError."""
    here = {str(neighbour.address) for neighbour in config.neighbour}
    there = set(blocks.split(text).blocks)
    if here != there:
        files = f"{config.exabgp_configuration} and bgp.toml"
        odd = ", ".join(sorted(here ^ there))
        raise BgpError(f"{files} differ about the neighbour {odd}", "render both files anew")


def _try(user: str, command: Sequence[str], what: str, remedy: str) -> None:
    try:
        outcome = subprocess.run(
            unprivileged(user, command),
            env=environment(user),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BgpError(f"{what}: {error}", remedy) from error
    if outcome.returncode:
        lines = outcome.stdout.decode("utf-8", "replace").split("\n")
        said = " / ".join(line.strip() for line in lines if line.strip())[-400:]
        raise BgpError(f"{what}: {said or outcome.returncode}", remedy)
